//! The connection that everything shares: watched, made anew when it breaks, and down meanwhile.
//!
//! While it is down nobody waits for it: whoever asks is told why at once. It is up again when the server answers, its
//! settings were looked at, and the store there is ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use redis::{Cmd, RedisError, ServerErrorKind};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::config::{Config, OpenError};
use super::connection::{Connection, Reply, pipeline};
use super::identity::{self, Identity, IdentityFault};
use super::memory::Memory;
use super::script;
use super::settings::{self, Settings, command};

/// Between two tries to connect.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// Between two looks at a connection that works.
const LOOK: Duration = Duration::from_millis(500);

/// How long an admission waits for the replicas: less than for the answer itself.
const REPLICAS_WAIT_MILLIS: u64 = 1_000;

/// The same where they have to sync it first, which those with `appendfsync everysec` do once a second.
const DISKS_WAIT_MILLIS: u64 = 1_800;

/// The connection, or why there is none.
#[derive(Clone)]
pub(super) enum State {
    Up(Live),
    Down(Arc<str>),
}

/// A connection that works; `epoch` tells it from the ones before.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) connection: Connection,
    epoch: u64,
}

/// The connection, watched.
pub(super) struct Link {
    config: Config,
    base: Box<str>,
    state: watch::Sender<State>,
    broken: Notify,
    epochs: AtomicU64,
    /// What the server can be asked for by [`wait`](Self::wait).
    tells_disks: AtomicBool,
    pub(super) memory: Memory,
}

/// What an answer that is an error means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No memory: nothing was written.
    Full,
    /// The server cannot be used as it is: nothing was written.
    Unusable(Arc<str>),
    /// A defect, ours or the server's.
    Other(Arc<str>),
}

// === impl Link ===

impl Link {
    /// A link that is down until [`supervise`](Self::supervise) runs, and the connection that it begins with.
    pub(super) async fn open(config: Config, base: &str) -> Result<(Self, Identity), OpenError> {
        let (state, _) = watch::channel(State::Down("redis was not reached yet".into()));
        let link = Self {
            memory: Memory::new(config.bytes_max),
            base: base.into(),
            config,
            state,
            broken: Notify::new(),
            epochs: AtomicU64::new(0),
            tells_disks: AtomicBool::new(false),
        };
        let (connection, identity) = link.connect(None).await?;
        link.go_up(connection);
        Ok((link, identity))
    }

    /// The connection, if there is one.
    pub(super) fn live(&self) -> Result<Live, Arc<str>> {
        match &*self.state.borrow() {
            State::Up(live) => Ok(live.clone()),
            State::Down(reason) => Err(Arc::clone(reason)),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(&*self.state.borrow(), State::Up(_))
    }

    /// Hears of every change.
    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// The command whose answer says how many replicas have what was written before: on their disks where the server can
    /// tell, else in their memory.
    pub(super) fn wait(&self, replicas: u64) -> Cmd {
        if self.tells_disks.load(Ordering::Acquire) {
            // The server's own disk was waited for before it answered, where that is wanted.
            let mut command = redis::cmd("WAITAOF");
            command.arg(0).arg(replicas).arg(DISKS_WAIT_MILLIS);
            return command;
        }
        let mut command = redis::cmd("WAIT");
        command.arg(replicas).arg(REPLICAS_WAIT_MILLIS);
        command
    }

    /// Sends commands as one pipeline; scripts that the server has forgotten are loaded again.
    ///
    /// # Errors
    /// The connection is down, or broke: then what the commands did is unknown.
    pub(super) async fn all(&self, commands: impl IntoIterator<Item = Cmd>) -> Result<Vec<Reply>, Arc<str>> {
        let mut live = self.live()?;
        let commands = pipeline(commands);
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let replies = live.connection.all(&commands).await;
        let mut replies = replies.map_err(|error| self.broke(&live, &error))?;
        if replies.iter().any(is_forgotten) {
            let loads = script::all().into_iter().map(script::Script::load);
            // Whoever waited for the replicas has waited for what was not written yet.
            let is_again: Vec<bool> = commands
                .cmd_iter()
                .zip(&replies)
                .map(|(command, reply)| is_forgotten(reply) || is_wait(command))
                .collect();
            let again = commands.cmd_iter().zip(&is_again).filter(|(_, is_again)| **is_again);
            let again = pipeline(loads.chain(again.map(|(command, _)| command.clone())));
            let second = live.connection.all(&again).await.map_err(|error| self.broke(&live, &error))?;
            let mut second = second.into_iter().skip(script::all().len());
            for (reply, _) in replies.iter_mut().zip(is_again).filter(|(_, is_again)| *is_again) {
                if let Some(answer) = second.next() {
                    *reply = answer;
                }
            }
        }
        Ok(replies)
    }

    /// What an error of one command means; one that concerns the server as a whole takes the link down.
    pub(super) fn trouble(&self, error: &RedisError) -> Trouble {
        match error.code().unwrap_or_default() {
            "OOM" => {
                self.memory.refused();
                return Trouble::Full;
            }
            "READONLY" | "LOADING" | "MISCONF" | "NOAUTH" | "NOREPLICAS" | "MASTERDOWN" | "CLUSTERDOWN" | "NOPERM"
            | "WRONGPASS" => {}
            _ => return Trouble::Other(words(error).into()),
        }
        let reason: Arc<str> = words(error).into();
        self.go_down(&reason);
        Trouble::Unusable(reason)
    }

    /// Keeps the connection up until the task is dropped.
    pub(super) async fn supervise(self: Arc<Self>, identity: Identity) {
        loop {
            if let Ok(live) = self.live() {
                self.look_after(live).await;
            }
            match self.connect(Some(&identity)).await {
                Ok((connection, _)) => {
                    tracing::info!(redis = %self.config.address, "the store can be used again");
                    self.go_up(connection);
                }
                Err(OpenError::Unreachable { reason, .. } | OpenError::Unfit { reason, .. }) => {
                    self.go_down(&reason);
                    sleep(TRY_AGAIN).await;
                }
                Err(other) => {
                    self.go_down(&other.to_string().into());
                    sleep(TRY_AGAIN).await;
                }
            }
        }
    }

    /// Returns when the connection is not to be used any more.
    async fn look_after(&self, mut live: Live) {
        loop {
            tokio::select! {
                () = self.broken.notified() => {}
                () = sleep(LOOK) => {}
            }
            if !self.is_up() {
                return;
            }
            match live.connection.one(&command("INFO", &["memory"])).await {
                Ok(info) => {
                    if let Some((used, max)) = settings::memory(info) {
                        self.memory.note(used, max);
                    }
                }
                Err(error) => {
                    self.broke(&live, &error);
                    return;
                }
            }
        }
    }

    async fn connect(&self, own: Option<&Identity>) -> Result<(Connection, Identity), OpenError> {
        let unfit = |reason: String| OpenError::Unfit {
            address: self.config.address.to_string().into(),
            reason: reason.into(),
        };
        let unreachable = |reason: String| OpenError::Unreachable {
            address: self.config.address.to_string().into(),
            reason: reason.into(),
        };
        let failed = |error: RedisError| {
            // Waiting helps only where the server is not there yet.
            let is_not_there =
                error.is_io_error() || matches!(error.code(), Some("LOADING" | "MASTERDOWN" | "CLUSTERDOWN"));
            if is_not_there { unreachable(words(&error)) } else { unfit(words(&error)) }
        };
        let mut connection = Connection::open(&self.config).await.map_err(failed)?;
        let found = Settings::read(&mut connection).await.map_err(failed)?;
        let (durability, assumed) = (self.config.durability, self.config.assume_durable);
        if let Some(refusal) = found.refusal(durability, assumed) {
            return Err(if found.is_loading { unreachable(refusal) } else { unfit(refusal) });
        }
        for weakness in found.weaknesses(assumed) {
            tracing::warn!(durability = "relaxed", weakness, "acknowledged events may be lost");
        }
        self.memory.note(found.memory, found.memory_max);
        self.tells_disks.store(found.tells_disks, Ordering::Release);
        let loads = pipeline(script::all().into_iter().map(script::Script::load));
        for loaded in connection.all(&loads).await.map_err(failed)? {
            loaded.map_err(failed)?;
        }
        let identity = identity::settle(&mut connection, &self.base, &self.config, own).await;
        let identity = identity.map_err(|fault| match fault {
            IdentityFault::Failed(error) => failed(error),
            IdentityFault::Other => {
                unfit("the store there is not the one that this gateway began with: restart the gateway".to_owned())
            }
            IdentityFault::Refused(error) => error,
        })?;
        Ok((connection, identity))
    }

    fn broke(&self, live: &Live, error: &RedisError) -> Arc<str> {
        let reason: Arc<str> = words(error).into();
        let is_current = matches!(&*self.state.borrow(), State::Up(current) if current.epoch == live.epoch);
        if is_current {
            self.go_down(&reason);
        }
        reason
    }

    fn go_up(&self, connection: Connection) {
        let epoch = self.epochs.fetch_add(1, Ordering::Relaxed) + 1;
        self.state.send_replace(State::Up(Live { connection, epoch }));
    }

    fn go_down(&self, reason: &Arc<str>) {
        let is_new = !matches!(&*self.state.borrow(), State::Down(known) if known == reason);
        if is_new {
            tracing::error!(redis = %self.config.address, reason = &**reason, "the store cannot be used");
            self.state.send_replace(State::Down(Arc::clone(reason)));
        }
        self.broken.notify_one();
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("address", &self.config.address).finish_non_exhaustive()
    }
}

fn is_forgotten(reply: &Reply) -> bool {
    reply.as_ref().is_err_and(|error| error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript))
}

fn is_wait(command: &Cmd) -> bool {
    matches!(command.args_iter().next(), Some(redis::Arg::Simple(b"WAIT" | b"WAITAOF")))
}

/// An error in one sentence.
fn words(error: &RedisError) -> String {
    if error.is_timeout() {
        return "redis does not answer in time".into();
    }
    if error.is_connection_refusal() {
        return "redis cannot be reached: the connection was refused".into();
    }
    if error.kind() == redis::ErrorKind::AuthenticationFailed {
        return "redis does not let us in: user or password in store.url are wrong".into();
    }
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("redis answers {code} {detail}"),
        (Some(code), None) => format!("redis answers {code}"),
        (None, _) => format!("redis cannot be reached: {error}"),
    }
}
