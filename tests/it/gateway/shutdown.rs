//! SIGTERM under load (F50): every request on an open connection is answered, and nothing is lost or repeated.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::support::{Answer, Client, Gateway, PATIENCE, Sender, Sink, appmint_to, event, eventually};

/// What became of a connection's requests.
#[derive(Debug, Default)]
struct Log {
    acknowledged: Vec<String>,
    /// A request on a connection that had been open got no answer.
    cut: Option<String>,
}

/// Sends until it is told to go away, as a load balancer does: by `Connection: close`, 503 or a refused connection.
async fn send_until_told(mut sender: Sender, connection: usize) -> Log {
    let mut log = Log::default();
    for number in 0.. {
        let id = format!("evt_{connection}_{number}");
        match sender.try_send(&event(&id, "payment.succeeded")).await {
            Ok(reply) => {
                assert!(matches!(reply.status, 200 | 503), "{reply:?}");
                if reply.status == 200 {
                    log.acknowledged.push(id);
                }
                if reply.status == 503 || reply.header("connection").eq_ignore_ascii_case("close") {
                    break;
                }
            }
            Err(error) if error.contains("refused") => break,
            Err(error) => {
                log.cut = Some(format!("{id}: {error}"));
                break;
            }
        }
    }
    log
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_resets_no_connection_and_loses_and_repeats_nothing() {
    let sink = Sink::answering(|_| Answer::status(200).after(Duration::from_millis(20))).await;
    let mut gateway = Gateway::start(&appmint_to(&[("crm", &sink)])).await;
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let before = sink.count();
        let mut tasks = JoinSet::new();
        for connection in 0..16 {
            tasks.spawn(send_until_told(Sender::new(&gateway), round * 100 + connection));
        }
        sink.wait_for(before + 200).await;
        gateway.terminate();
        for log in tasks.join_all().await {
            assert_eq!(log.cut, None, "round {round}");
            acknowledged.extend(log.acknowledged);
        }
        let status = gateway.ended().await;
        assert!(status.success(), "round {round}: {status}");
        gateway.run().await;
    }
    gateway.drained(PATIENCE).await;
    let mut arrived: HashMap<String, usize> = HashMap::new();
    for hit in sink.hits() {
        *arrived.entry(hit.header("hookward-source-event-id").to_owned()).or_default() += 1;
    }
    for id in &acknowledged {
        assert_eq!(arrived.get(id), Some(&1), "{id}: an orderly end loses and repeats nothing");
    }
}

#[tokio::test]
async fn readiness_goes_before_the_listener_and_a_request_under_way_is_finished() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let sink = Sink::start().await;
    let mut gateway = Gateway::start(&appmint_to(&[("crm", &sink)])).await;
    let body = event("evt_1", "payment.succeeded");
    let mut stream = tokio::net::TcpStream::connect(gateway.ingress()).await.unwrap();
    let head = format!(
        "POST /in HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nx-appmint-signature: {}\r\ncontent-length: {}\r\n\r\n",
        crate::support::sign(crate::support::SECRET, &body),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body[..10]).await.unwrap();
    eventually("the open connection", async || {
        (gateway.metrics().await.sum("hookward_connections_open", &[]) >= 1.0).then_some(())
    })
    .await;
    gateway.terminate();
    eventually("unreadiness", async || {
        let reply = Client::new(gateway.admin())
            .send(http::Request::get("/readyz").body(http_body_util::Full::default()).unwrap())
            .await;
        (reply.ok()?.status == 503).then_some(())
    })
    .await;
    assert!(gateway.is_running(), "a request is under way");
    stream.write_all(&body[10..]).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    assert!(gateway.ended().await.success());
    gateway.run().await;
    assert!(sink.wait_for(1).await[0].body == body);
}
