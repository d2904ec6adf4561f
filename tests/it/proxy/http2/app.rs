//! An app of the crate h2's server, of which the test sees every stream and decides what becomes of it.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::server::{self, Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::PATIENCE;

/// A listening app; its connections end with it.
pub(super) struct App {
    address: SocketAddr,
    asked: mpsc::Receiver<Asked>,
    _tasks: JoinSet<()>,
}

/// A request that has come.
pub(super) struct Asked {
    /// Which of the app's connections it came over, counted from 0.
    pub(super) connection: usize,
    pub(super) request: Request<RecvStream>,
    pub(super) respond: SendResponse<Bytes>,
    goodbye: mpsc::Sender<()>,
}

impl App {
    /// Takes so many requests at a time over one connection.
    pub(super) async fn listen(streams_max: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = mpsc::channel(1000);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, number, streams_max, tell.clone()));
            }
        });
        Self { address, asked, _tasks: tasks }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request.
    pub(super) async fn asked(&mut self) -> Asked {
        timeout(PATIENCE, self.asked.recv()).await.expect("a request").expect("an app that runs")
    }

    /// Whether a request has come that nobody has looked at.
    pub(super) fn is_asked(&mut self) -> bool {
        self.asked.try_recv().is_ok()
    }
}

/// One connection to its end.
async fn serve(stream: TcpStream, connection: usize, streams_max: u32, tell: mpsc::Sender<Asked>) {
    let mut builder = server::Builder::new();
    builder.max_concurrent_streams(streams_max);
    let Ok(mut served): Result<Connection<_, Bytes>, _> = builder.handshake(stream).await else { return };
    let (goodbye, mut told) = mpsc::channel(1);
    loop {
        tokio::select! {
            accepted = served.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                let asked = Asked { connection, request, respond, goodbye: goodbye.clone() };
                if tell.send(asked).await.is_err() {
                    return;
                }
            }
            Some(()) = told.recv() => served.graceful_shutdown(),
        }
    }
}

impl Asked {
    /// The whole body; the sender may send as much again as is read.
    pub(super) async fn body(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        let stream = self.request.body_mut();
        while let Some(data) = timeout(PATIENCE, stream.data()).await.expect("more of the body") {
            let data = data.unwrap();
            body.extend_from_slice(&data);
            stream.flow_control().release_capacity(data.len()).unwrap();
        }
        body
    }

    /// Answers with 200 and this body, whose length it says: else the gateway's answer depends on how soon the body comes.
    pub(super) fn answer(mut self, body: &'static str) {
        let mut response = Response::new(());
        response.headers_mut().insert("content-length", body.len().into());
        let mut stream = self.respond.send_response(response, false).unwrap();
        stream.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
    }

    /// Begins to answer with 200 and these fields.
    pub(super) fn begin(&mut self, fields: &[(&'static str, &'static str)]) -> SendStream<Bytes> {
        let mut response = Response::new(());
        for (name, value) in fields {
            response.headers_mut().insert(*name, value.parse().unwrap());
        }
        self.respond.send_response(response, false).unwrap()
    }

    /// Resets the stream with this error code.
    pub(super) fn reset(mut self, reason: Reason) {
        self.respond.send_reset(reason);
    }

    /// Tells the whole connection to end when its requests are answered.
    pub(super) async fn say_goodbye(&self) {
        self.goodbye.send(()).await.unwrap();
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }
}
