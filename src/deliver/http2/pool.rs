//! The HTTP/2 connections to one app.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::{Instant, timeout_at};

use super::limits::CONNECTIONS_MAX;
use super::session::{Session, Slot};
use crate::deliver::EndpointUrl;
use crate::deliver::connector::{Connector, Opened};
use crate::deliver::upstream::{APPS, unconnected};
use crate::domain::AppError;

/// Connections, and who opens the next one.
pub(in crate::deliver) struct Sessions {
    /// The app may also choose HTTP/1.1.
    may_choose: bool,
    /// It has, the last time.
    has_chosen: AtomicBool,
    /// The one that was opened first comes first: the last ones run empty.
    open: Mutex<Vec<Session>>,
    /// Held by who opens a connection, so that those who come meanwhile share it; why the last one could not be opened.
    opening: AsyncMutex<Option<(Instant, AppError)>>,
    room: Arc<Notify>,
}

/// How a request goes to the app.
pub(in crate::deliver) enum Way {
    /// Over a connection with others.
    Http2(Slot),
    /// Over this one alone: the app chose HTTP/1.1.
    Http1(Opened),
}

// === impl Sessions ===

impl Sessions {
    /// No connection yet; `may_choose`: over TLS the app may choose HTTP/1.1.
    pub(in crate::deliver) fn new(may_choose: bool) -> Self {
        Self {
            may_choose,
            has_chosen: AtomicBool::new(false),
            open: Mutex::default(),
            opening: AsyncMutex::default(),
            room: Arc::new(Notify::new()),
        }
    }

    /// A place for a request, on a connection that is open or on a new one.
    pub(in crate::deliver) async fn way(
        &self,
        connector: &Connector,
        url: &EndpointUrl,
        deadline: Instant,
    ) -> Result<Way, AppError> {
        let asked_at = Instant::now();
        if let Some(slot) = self.place(connector, url, asked_at).await {
            return Ok(Way::Http2(slot));
        }
        if self.has_chosen.load(Relaxed) {
            return self.open(connector, url, deadline).await;
        }
        let full = |_elapsed| AppError::NoConnection("timed out: no connection had room".into());
        let mut failed = loop {
            // Whoever gives its place back is waited for too: the connection that is being opened may never be.
            let turn = async {
                tokio::select! {
                    biased;
                    failed = self.opening.lock() => Some(failed),
                    () = self.room.notified() => None,
                }
            };
            let turn = timeout_at(deadline, turn).await.map_err(full)?;
            if let Some(slot) = self.place(connector, url, asked_at).await {
                return Ok(Way::Http2(slot));
            }
            let Some(failed) = turn else { continue };
            // Who waited for a connection that could not be opened need not try the same again.
            if let Some((_, error)) = failed.as_ref().filter(|(at, _)| *at >= asked_at) {
                return Err(error.clone());
            }
            if self.sessions().len() < CONNECTIONS_MAX {
                break failed;
            }
            drop(failed);
            timeout_at(deadline, self.room.notified()).await.map_err(full)?;
        };
        let opened = self.open(connector, url, deadline).await;
        *failed = opened.as_ref().err().map(|error| (Instant::now(), error.clone()));
        opened
    }

    /// Lets go of connections that are of no more use.
    pub(in crate::deliver) fn tidy(&self, now: Instant) {
        self.sessions().retain(|session| session.is_kept(now));
    }

    async fn open(&self, connector: &Connector, url: &EndpointUrl, deadline: Instant) -> Result<Way, AppError> {
        let opened = connector.connect(url, &APPS, deadline).await.map_err(unconnected)?;
        let has_chosen = url.is_https() && !opened.stream.speaks_http2();
        self.has_chosen.store(has_chosen, Relaxed);
        if has_chosen && self.may_choose {
            return Ok(Way::Http1(opened));
        }
        if has_chosen {
            return Err(AppError::Unreachable("the app does not offer HTTP/2 in its TLS handshake (ALPN)".into()));
        }
        let mut session = Session::open(opened, Arc::clone(&self.room), deadline).await?;
        let slot = session.take().ok_or_else(|| AppError::Unreachable("the app took no request".into()))?;
        self.sessions().push(session);
        Ok(Way::Http2(slot))
    }

    /// A place on one of the open connections whose address is still that of the app.
    async fn place(&self, connector: &Connector, url: &EndpointUrl, now: Instant) -> Option<Slot> {
        loop {
            let slot = self.take(now)?;
            match slot.address_to_look_up(now) {
                Some(address) if !connector.leads_to(url, address).await => slot.retire(),
                Some(_) | None => return Some(slot),
            }
        }
    }

    fn take(&self, now: Instant) -> Option<Slot> {
        let mut sessions = self.sessions();
        sessions.retain(|session| session.is_kept(now));
        sessions.iter_mut().find_map(Session::take)
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
