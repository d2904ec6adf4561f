//! One HTTP/2 connection to an app: how many requests are on it, and the task that moves its frames.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use h2::{Ping, PingPong};
use http::Request;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::limits::{
    CONNECTION_WINDOW_BYTES, FRAME_BYTES_MAX, HEADER_LIST_BYTES_MAX, PING_INTERVAL, PING_TIMEOUT, RESETS_LOCAL_MAX,
    SEND_BUFFER_BYTES, STREAM_WINDOW_BYTES, STREAMS_MAX,
};
use super::sending::{Asks, Sender, Sent};
use crate::deliver::connection::AGE_MAX;
use crate::deliver::connector::{LOOK_UP_EVERY, Opened};
use crate::deliver::stream::Stream;
use crate::domain::AppError;
use crate::telemetry::task;

/// An open connection. When it is dropped it ends with the last request that is on it.
pub(super) struct Session {
    /// Tells whether requests may still be sent; the connection's task sends them.
    requests: SendRequest<Bytes>,
    asks: Asks,
    state: Arc<State>,
}

/// Room for one request on a connection; given back when it is dropped.
pub(in crate::deliver) struct Slot {
    asks: Asks,
    pub(super) place: Place,
}

/// The place itself, without the means to send.
pub(super) struct Place(Arc<State>);

/// What the pool and the connection's task know of it.
struct State {
    address: IpAddr,
    too_old_at: Instant,
    /// From then on it is asked whether the name still leads to the address.
    look_up_at: Mutex<Instant>,
    /// Requests that have a place.
    in_flight: AtomicUsize,
    /// As many places are there; 0 before the app has said so.
    streams_max: AtomicUsize,
    /// It takes no request any more.
    retired: AtomicBool,
    /// Somebody has waited for an answer in vain, and the app was not heard of since.
    in_doubt: AtomicBool,
    doubt: Notify,
    /// Told whenever a request may find a place that found none.
    room: Arc<Notify>,
}

// === impl Session ===

impl Session {
    /// Speaks HTTP/2 over a stream that was just opened, and waits for what the app says of itself.
    pub(super) async fn open(
        Opened { stream, address }: Opened,
        room: Arc<Notify>,
        deadline: Instant,
    ) -> Result<Self, AppError> {
        let silent = |_elapsed| AppError::NoConnection("timed out: the app has not said that it speaks HTTP/2".into());
        let other = |why: String| AppError::Unreachable(format!("the app does not speak HTTP/2: {why}").into());
        let arrivals = stream.arrivals().map_err(|error| other(error.to_string()))?;
        let handshake = timeout_at(deadline, builder().handshake(stream)).await.map_err(silent)?;
        let (requests, mut connection) = handshake.map_err(|error| other(error.to_string()))?;
        let now = Instant::now();
        let state = Arc::new(State {
            address,
            too_old_at: now + AGE_MAX,
            look_up_at: Mutex::new(now + LOOK_UP_EVERY),
            in_flight: AtomicUsize::new(0),
            streams_max: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            in_doubt: AtomicBool::new(false),
            doubt: Notify::new(),
            room,
        });
        let (tell, told) = oneshot::channel();
        let pings = connection.ping_pong();
        let (asks, sender) = Sender::new(requests.clone(), arrivals);
        drop(task::spawn("app-connection", drive(connection, sender, pings, Arc::clone(&state), tell)));
        match timeout_at(deadline, told).await.map_err(silent)? {
            Ok(Ok(())) => Ok(Self { requests, asks, state }),
            Ok(Err(why)) => Err(other(why)),
            Err(_gone) => Err(other("its connection ended".to_owned())),
        }
    }

    /// Whether it is of any more use to the pool.
    pub(super) fn is_kept(&self, now: Instant) -> bool {
        !self.state.retired.load(Relaxed) && now < self.state.too_old_at
    }

    /// A place on it, where it has one.
    pub(super) fn take(&mut self) -> Option<Slot> {
        let state = &self.state;
        if state.in_doubt.load(Relaxed) || state.in_flight.load(Relaxed) >= state.streams_max.load(Relaxed) {
            return None;
        }
        // After a GOAWAY, or its end: nothing more is sent.
        if !matches!(self.requests.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(()))) {
            state.retired.store(true, Relaxed);
            return None;
        }
        state.in_flight.fetch_add(1, Relaxed);
        Some(Slot { asks: self.asks.clone(), place: Place(Arc::clone(state)) })
    }
}

// === impl Slot, Place ===

impl Slot {
    /// Sends the head of a request, and its body where that is here as a whole; None where nothing of it was sent.
    pub(super) async fn send(self, head: Request<()>, body: Option<Bytes>) -> (Place, Option<Sent>) {
        let Self { asks, place } = self;
        (place, asks.send(head, body).await)
    }

    /// Where the connection goes, for the first who asks after a while whether its name still leads there.
    pub(super) fn address_to_look_up(&self, now: Instant) -> Option<IpAddr> {
        let mut look_up_at = self.place.0.look_up_at.lock().unwrap_or_else(PoisonError::into_inner);
        if now < *look_up_at {
            return None;
        }
        *look_up_at = now + LOOK_UP_EVERY;
        Some(self.place.0.address)
    }

    /// The connection takes no request after this.
    pub(super) fn retire(self) {
        self.place.0.retired.store(true, Relaxed);
    }
}

impl Place {
    /// No answer came in time: whether the other side is there at all is asked before the next request is sent to it.
    pub(super) fn doubt(&self) {
        self.0.in_doubt.store(true, Relaxed);
        self.0.doubt.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
        self.0.room.notify_one();
    }
}

/// h2's client, with nothing left to its defaults.
fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        // Until the app has said how many: none.
        .initial_max_send_streams(0)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_local_error_reset_streams(Some(RESETS_LOCAL_MAX));
    builder
}

/// Moves the frames of a connection until its end; `tell` hears whether it has begun.
async fn drive(
    mut connection: Connection<Stream, Bytes>,
    mut sender: Sender,
    pings: Option<PingPong>,
    state: Arc<State>,
    tell: oneshot::Sender<Result<(), String>>,
) {
    let mut tell = Some(tell);
    let frames = poll_fn(|context| {
        loop {
            let end = Pin::new(&mut connection).poll(context);
            state.has_places(connection.max_concurrent_send_streams());
            if state.streams_max.load(Relaxed) > 0
                && let Some(tell) = tell.take()
            {
                // Who gave up meanwhile does not wait for it.
                drop(tell.send(Ok(())));
            }
            if end.is_ready() || !sender.send_asked(context) {
                return end;
            }
        }
    });
    let end = tokio::select! {
        biased;
        end = frames => end.map_err(|error| error.to_string()),
        () = silence(pings, &state) => Err("no answer to a ping".to_owned()),
    };
    state.retired.store(true, Relaxed);
    state.room.notify_one();
    if let Err(why) = &end {
        tracing::debug!(address = %state.address, %why, "an HTTP/2 connection to an app ended");
    }
    if let Some(tell) = tell {
        drop(tell.send(Err(end.err().unwrap_or_else(|| "it said goodbye at once".to_owned()))));
    }
}

/// Asks whether the other side is there, now and then and when it is in doubt, until it is not.
async fn silence(pings: Option<PingPong>, state: &State) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        tokio::select! {
            () = state.doubt.notified() => {}
            () = sleep(PING_INTERVAL) => if state.in_flight.load(Relaxed) == 0 { continue },
        }
        match timeout(PING_TIMEOUT, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {
                state.in_doubt.store(false, Relaxed);
                state.room.notify_one();
            }
            // The connection ends by itself.
            Ok(Err(_)) => std::future::pending().await,
            Err(_elapsed) => return,
        }
    }
}

// === impl State ===

impl State {
    /// The app takes so many requests at a time.
    fn has_places(&self, theirs: usize) {
        let places = theirs.min(STREAMS_MAX);
        if self.streams_max.swap(places, Relaxed) < places {
            self.room.notify_one();
        }
    }
}
