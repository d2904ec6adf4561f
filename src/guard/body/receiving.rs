//! The gateway's own layer for bodies: as [`BodyLayer`] for small ones, and with flat memory for large ones where the
//! service behind can take them piece by piece.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Instant, timeout_at};
use tower_layer::Layer;
use tower_service::Service;

use super::budget::Share;
use super::live::Live;
use super::looks::{Looking, Looks};
use super::received::Received;
use super::spool::{PIECE_BYTES, Spool};
use super::{BodyLayer, Buffered, Collected, Collecting, Full, began, broken, overfull, refused, too_late};
use crate::deadline::{Late, within_while};
use crate::domain::{Digested, Facts, Rejection};
use crate::guard::layer::Head;

/// A body that is larger is not held in memory, unless its source says so.
pub const LARGE_BYTES: u64 = 1 << 20;

/// What becomes of bodies larger than [`LARGE_BYTES`].
#[derive(Clone, Debug)]
pub enum Large {
    /// Held in memory like the others.
    Held,
    /// Put into a file until the guards have seen them, which they do while the body comes where they can.
    Spooled(Spool, Option<Looks>),
    /// Handed on as they come: no guard asks anything of them. Those whose length nobody says are spooled.
    Streamed(Spool),
}

/// Receives request bodies; clones share budget and spool.
#[derive(Clone, Debug)]
pub struct ReceiveLayer {
    body: BodyLayer,
    large: Large,
}

/// A service that gets bodies however large they are.
#[derive(Clone, Debug)]
pub struct Receiving<S> {
    whole: Collecting<Handed<S>>,
    large: Large,
}

/// Gives the service behind what was collected.
#[derive(Clone, Debug)]
pub struct Handed<S>(S);

pin_project! {
    /// The answer of the service behind, or why the body was refused.
    #[project = AwaitedProjection]
    pub enum Awaited<B, S>
    where
        S: Service<Request<Received>>,
    {
        /// The body is small, or held.
        Whole { #[pin] answer: Collected<B, Handed<S>> },
        /// The body is handed on as it comes.
        Streamed { #[pin] answer: S::Future },
        /// The body goes through a file. Boxed: it is rare, and everybody would pay for its size.
        Spooled { answer: Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>> },
    }
}

// === impl ReceiveLayer ===

impl ReceiveLayer {
    /// Small bodies as `body` takes them, large ones as `large` says.
    #[must_use]
    pub fn new(body: BodyLayer, large: Large) -> Self {
        Self { body, large }
    }
}

impl<S> Layer<S> for ReceiveLayer {
    type Service = Receiving<S>;

    fn layer(&self, inner: S) -> Receiving<S> {
        Receiving { whole: self.body.layer(Handed(inner)), large: self.large.clone() }
    }
}

// === impl Handed, Receiving ===

impl<S: Service<Request<Received>>> Service<Request<Buffered>> for Handed<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Buffered>) -> S::Future {
        self.0.call(request.map(Received::from))
    }
}

impl<S, B, ResB> Service<Request<B>> for Receiving<S>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>> + Send,
    S: Service<Request<Received>, Response = Response<ResB>, Future: Send> + Clone + Send + 'static,
    ResB: From<Bytes> + Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Awaited<B, S>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Service::<Request<B>>::poll_ready(&mut self.whole, context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let declared = request.body().size_hint().exact();
        // What is larger than allowed is refused as it always is.
        let is_large = declared.is_none_or(|bytes| bytes > LARGE_BYTES && bytes <= self.whole.layer.bytes_max as u64);
        // The service that was asked whether it is ready is the one to be called.
        let ready = |whole: &mut Collecting<Handed<S>>| {
            let next = whole.inner.0.clone();
            std::mem::replace(&mut whole.inner.0, next)
        };
        match &self.large {
            Large::Streamed(_) if is_large && declared.is_some() => {
                let (head, body) = request.into_parts();
                let body = Live::new(body, declared.unwrap_or_default(), began(&head) + self.whole.layer.timeout);
                Awaited::Streamed { answer: ready(&mut self.whole).call(Request::from_parts(head, body.into())) }
            }
            Large::Spooled(..) | Large::Streamed(_) if is_large => {
                let (layer, large) = (self.whole.layer.clone(), self.large.clone());
                let service = ready(&mut self.whole);
                Awaited::Spooled { answer: Box::pin(spooled(request, service, layer, large)) }
            }
            Large::Held | Large::Spooled(..) | Large::Streamed(_) => {
                Awaited::Whole { answer: self.whole.call(request) }
            }
        }
    }
}

impl<B, S, ResB> Future for Awaited<B, S>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>> + Send,
    S: Service<Request<Received>, Response = Response<ResB>>,
    ResB: From<Bytes>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            AwaitedProjection::Whole { answer } => answer.poll(context),
            AwaitedProjection::Streamed { answer } => answer.poll(context),
            AwaitedProjection::Spooled { answer } => answer.as_mut().poll(context),
        }
    }
}

/// Answers a request whose body may be large.
async fn spooled<B, S, ResB>(
    request: Request<B>,
    mut service: S,
    layer: BodyLayer,
    large: Large,
) -> Result<S::Response, S::Error>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>> + Send,
    S: Service<Request<Received>, Response = Response<ResB>>,
    ResB: From<Bytes>,
{
    let (mut head, body) = request.into_parts();
    let mut memory = layer.budget.share();
    let asked = Head { method: &head.method, uri: &head.uri, headers: &head.headers };
    let (spool, how) = match &large {
        Large::Spooled(spool, looks) => (
            spool,
            looks
                .as_ref()
                .and_then(|looks| looks.begin(asked))
                .map_or(Look::AtOnce, |looking| Look::InPieces(Box::new(looking))),
        ),
        Large::Streamed(spool) => (spool, Look::NotAtAll),
        // Never put into a file.
        Large::Held => return Ok(refused(head, overfull(Full::Memory))),
    };
    let mut trailers = None;
    let received = receive(body, began(&head), &layer, spool, how, &mut memory, &mut trailers).await;
    let (body, digested) = match received {
        Ok(received) => received,
        Err(rejection) => return Ok(refused(head, rejection)),
    };
    if trailers.is_some() {
        head.extensions.get_or_insert_default::<Facts>().trailers = trailers;
    }
    if let Some(digested) = digested {
        head.extensions.get_or_insert_default::<Facts>().digested = Some(Arc::new(digested));
    }
    // The memory of a piece is held as long as the body is on its way.
    service.call(Request::from_parts(head, body)).await
}

/// How the guards look at a body.
enum Look<'a> {
    AtOnce,
    InPieces(Box<Looking<'a>>),
    NotAtAll,
}

/// Takes a body in: into memory while it is small, then into a file.
async fn receive<B>(
    body: B,
    began: Instant,
    layer: &BodyLayer,
    spool: &Spool,
    mut how: Look<'_>,
    memory: &mut Share,
    trailers: &mut Option<Box<HeaderMap>>,
) -> Result<(Received, Option<Digested>), Rejection>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>> + Send,
{
    let deadline = began + layer.timeout;
    let came = AtomicU64::new(0);
    let looking = if let Look::InPieces(looking) = &mut how { Some(&mut **looking) } else { None };
    let taking = take_in(body, layer, spool, looking, memory, &came, trailers);
    let (file, piece) = match within_while(deadline, || came.load(Relaxed), taking).await {
        Ok(taken) => taken?,
        Err(Late) => return Err(too_late(came.into_inner())),
    };
    let Some(file) = file else { return Ok((Buffered::from(Bytes::from(piece)).into(), None)) };
    let put_aside = async {
        let (file, _) = file.write(piece).await?;
        Ok(match how {
            Look::AtOnce => (spool.look_at(file, layer.budget.share()).await?.into(), None),
            Look::InPieces(looking) => (file.pieces().into(), Some((*looking).finish())),
            Look::NotAtAll => (file.pieces().into(), None),
        })
    };
    match timeout_at(deadline, put_aside).await {
        Ok(received) => received,
        Err(_elapsed) => Err(overfull(Full::Memory)),
    }
}

/// Reads a body to its end; `came` is how much of it is here.
async fn take_in<B>(
    body: B,
    layer: &BodyLayer,
    spool: &Spool,
    mut looking: Option<&mut Looking<'_>>,
    memory: &mut Share,
    came: &AtomicU64,
    trailers: &mut Option<Box<HeaderMap>>,
) -> Result<(Option<super::spool::Writer>, Vec<u8>), Rejection>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>> + Send,
{
    let mut body = pin!(body);
    let (mut file, mut piece) = (None, Vec::new());
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let frame = frame.map_err(|error| broken(&*error.into()))?;
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(other) => {
                *trailers = other.into_trailers().ok().map(Box::new);
                continue;
            }
        };
        let bytes = came.load(Relaxed).saturating_add(data.len() as u64);
        came.store(bytes, Relaxed);
        if bytes > layer.bytes_max as u64 {
            return Err(overfull(Full::TooLarge));
        }
        if !memory.grow_to(piece.len() + data.len()) {
            return Err(overfull(Full::Memory));
        }
        if let Some(looking) = &mut looking {
            looking.take(&data);
        }
        piece.extend_from_slice(&data);
        if piece.len() >= PIECE_BYTES {
            let writer = match file.take() {
                Some(writer) => writer,
                None => spool.file().await?,
            };
            let (writer, empty) = writer.write(piece).await?;
            (file, piece) = (Some(writer), empty);
        }
    }
    Ok((file, piece))
}
