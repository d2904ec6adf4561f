//! The demo's three services: they take webhooks as an app would, and remember what they took.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;

use crate::telemetry::task;

/// A service on a port of its own.
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    log: Log,
}

/// What a service saw of one event.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Requests that it answered with 2xx.
    pub(super) taken: u32,
    /// Requests that it refused.
    pub(super) refused: u32,
    /// The body of the last one.
    pub(super) body: Bytes,
}

type Log = Arc<Mutex<HashMap<String, Seen>>>;

#[derive(Clone)]
struct Behaviour {
    log: Log,
    /// The event that it refuses at first, and how often.
    stumbles: Option<(&'static str, u32)>,
}

// === impl Service ===

impl Service {
    /// Starts a service; `stumbles` names an event that it answers with 503 that many times before it takes it.
    pub(super) async fn start(name: &'static str, stumbles: Option<(&'static str, u32)>) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let log = Log::default();
        let app =
            Router::new().route("/webhooks", post(take)).with_state(Behaviour { log: Arc::clone(&log), stumbles });
        task::spawn("demo service", async move {
            if let Err(error) = serve(listener, app).await {
                tracing::warn!(%error, service = name, "demo service stopped");
            }
        });
        Ok(Self { name, address, log })
    }

    /// What it saw of the event with the sender's id.
    pub(super) fn seen(&self, source_event_id: &str) -> Seen {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.get(source_event_id).cloned().unwrap_or_default()
    }

    /// How many events it took, and how many of them more than once.
    pub(super) fn totals(&self) -> (usize, usize) {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = log.values().filter(|seen| seen.taken > 0).count();
        let repeated = log.values().filter(|seen| seen.taken > 1).count();
        (taken, repeated)
    }
}

async fn take(State(behaviour): State<Behaviour>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let id = headers.get("hookward-source-event-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let mut log = behaviour.log.lock().unwrap_or_else(PoisonError::into_inner);
    let stumbles = behaviour.stumbles.filter(|(event, _)| *event == id).map_or(0, |(_, times)| times);
    let seen = log.entry(id).or_default();
    if seen.refused < stumbles {
        seen.refused += 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    seen.taken += 1;
    seen.body = body;
    StatusCode::OK
}

async fn serve(listener: TcpListener, app: Router) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let service = hyper_util::service::TowerToHyperService::new(app.clone());
        task::spawn("demo connection", async move {
            let io = hyper_util::rt::TokioIo::new(stream);
            if let Err(error) = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await {
                tracing::debug!(%error, "demo connection broke");
            }
        });
    }
}
