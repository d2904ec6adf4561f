//! Connections of a lane: reused, the warmest first, and given up without losing or doubling anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hookward::deliver::{Endpoint, EndpointUrl};
use hookward::domain::DeliveryState;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{Flow, destination};
use crate::support::eventually;

/// A server that counts connections and requests and closes each connection, unannounced, after so many answers.
struct Counting {
    url: String,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    _server: JoinSet<()>,
}

impl Counting {
    async fn start(answers_max: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (opened, asked) = (Arc::clone(&connections), Arc::clone(&requests));
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                opened.fetch_add(1, Ordering::SeqCst);
                let asked = Arc::clone(&asked);
                open.spawn(async move {
                    let mut buffer = vec![0; 16 * 1024];
                    for _ in 0..answers_max {
                        // The events are small: one read is one request.
                        if stream.read(&mut buffer).await.unwrap_or(0) == 0 {
                            return;
                        }
                        asked.fetch_add(1, Ordering::SeqCst);
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                    }
                });
            }
        });
        Self { url, connections, requests, _server: server }
    }

    fn counts(&self) -> (usize, usize) {
        (self.connections.load(Ordering::SeqCst), self.requests.load(Ordering::SeqCst))
    }
}

/// Delivers one event after the other, each when the one before has arrived and the lane is idle again.
async fn deliver_in_turn(sink: &Counting, count: usize) -> Flow {
    let flow = Flow::start().await;
    let endpoint = Endpoint::new(EndpointUrl::parse(&sink.url).unwrap());
    flow.dispatcher.apply(vec![(destination("crm", 3), Some(Arc::new(endpoint)))]);
    for number in 0..count {
        flow.admit(number, &["crm"]).await;
        eventually("an idle lane", async || {
            (sink.counts().1 > number && flow.status("crm").in_flight == 0).then_some(())
        })
        .await;
    }
    flow
}

#[tokio::test]
async fn the_warmest_connection_serves_whatever_comes_one_by_one() {
    let sink = Counting::start(usize::MAX).await;
    deliver_in_turn(&sink, 100).await;
    assert_eq!(sink.counts(), (1, 100));
}

#[tokio::test]
async fn a_server_that_closes_idle_connections_costs_no_attempts() {
    let sink = Counting::start(1).await;
    let flow = deliver_in_turn(&sink, 50).await;
    let rows = flow.wait_for("crm", DeliveryState::Succeeded, 50).await;
    assert!(rows.iter().all(|row| row.attempts == 1), "{rows:?}");
    assert_eq!(sink.counts(), (50, 50));
}
