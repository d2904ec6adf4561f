//! A connection that many share: watched, made anew when it breaks, and down meanwhile.
//!
//! While it is down nobody waits for it: whoever asks is told why at once. It is up again when the server answers, its
//! settings were looked at, and the store there is ours.
//!
//! What a server has not done and says so (`again`) is sent once more: to itself, or to where the slot went.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use redis::{Cmd, RedisError};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::again;
use super::cluster::{Cluster, Node, slot};
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
    pub(super) epoch: u64,
}

/// The connection, watched.
pub(super) struct Link {
    pub(super) config: Config,
    base: Box<str>,
    /// In a cluster: the slot of these keys, and who knows where it is.
    home: Option<(Arc<Cluster>, u16)>,
    /// The server that is used, or was last.
    server: Mutex<Option<Node>>,
    /// The store that is there; known from the first connection of this gateway on.
    own: OnceLock<Identity>,
    /// Held by whoever follows a slot to its new node.
    pub(super) following: tokio::sync::Mutex<()>,
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
    /// A link that is down until it has [begun](Self::begin); in a cluster to the node that has the slot of `base`.
    pub(super) fn new(config: Config, base: &str, cluster: Option<Arc<Cluster>>) -> Self {
        let (state, _) = watch::channel(State::Down("redis was not reached yet".into()));
        let tag = base.trim_start_matches('{').split('}').next().unwrap_or_default();
        Self {
            memory: Memory::new(config.bytes_max),
            base: base.into(),
            home: cluster.map(|cluster| (cluster, slot(tag))),
            server: Mutex::default(),
            own: OnceLock::new(),
            following: tokio::sync::Mutex::default(),
            config,
            state,
            broken: Notify::new(),
            epochs: AtomicU64::new(0),
            tells_disks: AtomicBool::new(false),
        }
    }

    /// Connects for the first time, to the store that is `own` where that is known.
    pub(super) async fn begin(&self, own: Option<&Identity>) -> Result<Identity, OpenError> {
        if let Some(own) = own {
            self.own.get_or_init(|| own.clone());
        }
        let (connection, identity) = self.connect().await?;
        self.go_up(connection);
        Ok(self.own.get_or_init(|| identity).clone())
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
        if replies.iter().any(again::is_undone) {
            again::bring(self, live, &commands, &mut replies).await?;
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
            | "WRONGPASS" | "MOVED" | "ASK" | "TRYAGAIN" => {}
            _ => return Trouble::Other(words(error).into()),
        }
        let reason: Arc<str> = words(error).into();
        self.go_down(&reason);
        Trouble::Unusable(reason)
    }

    /// Keeps the connection up until the task is dropped.
    pub(super) async fn supervise(self: Arc<Self>) {
        loop {
            if let Ok(live) = self.live() {
                self.look_after(live).await;
            }
            match self.connect().await {
                Ok((connection, _)) => {
                    tracing::info!(redis = %self.server(), "the store can be used again");
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

    /// A connection to whichever server has the keys, not looked at yet.
    pub(super) async fn reach(&self) -> Result<Connection, RedisError> {
        let Some((cluster, slot)) = &self.home else { return Connection::open(&self.config).await };
        let node = cluster.home(*slot).await?;
        let opened = Connection::open_at(&self.config, &node).await;
        *self.lock_server() = Some(node);
        opened
    }

    /// A connection that can be used.
    async fn connect(&self) -> Result<(Connection, Identity), OpenError> {
        let connection = Box::pin(self.reach()).await.map_err(|error| self.failed(&error))?;
        self.prepare(connection).await
    }

    /// The node that the slot went to, with the store that we know.
    pub(super) async fn move_to(&self, node: Node) -> Result<(), Arc<str>> {
        let connection = Connection::open_at(&self.config, &node).await;
        tracing::info!(from = %self.server(), to = %node, "a shard has moved");
        *self.lock_server() = Some(node);
        let connection = connection.map_err(|error| self.failed(&error));
        let moved = match connection {
            Ok(connection) => self.prepare(connection).await,
            Err(error) => Err(error),
        };
        match moved {
            Ok((connection, _)) => {
                self.go_up(connection);
                Ok(())
            }
            Err(error) => {
                let reason: Arc<str> = error.to_string().into();
                self.go_down(&reason);
                Err(reason)
            }
        }
    }

    async fn prepare(&self, mut connection: Connection) -> Result<(Connection, Identity), OpenError> {
        let failed = |error: RedisError| self.failed(&error);
        let found = Settings::read(&mut connection).await.map_err(failed)?;
        let (durability, assumed) = (self.config.durability, self.config.assume_durable);
        if let Some(refusal) = found.refusal(durability, assumed) {
            let is_passing = found.is_loading || self.home.is_some() && found.replica_of.is_some();
            return Err(if is_passing { self.unreachable(refusal) } else { self.unfit(refusal) });
        }
        for weakness in found.weaknesses(assumed) {
            tracing::warn!(durability = "relaxed", weakness, "acknowledged events may be lost");
        }
        self.memory.note(found.memory, found.memory_max);
        self.tells_disks.store(found.tells_disks, Ordering::Release);
        if self.home.is_some() {
            // Nothing has just this key: a node that gives the slot away at the moment sends us on.
            connection.one(&command("EXISTS", &[&self.base])).await.map_err(failed)?;
        }
        let loads = pipeline(script::all().into_iter().map(script::Script::load));
        for loaded in connection.all(&loads).await.map_err(failed)? {
            loaded.map_err(failed)?;
        }
        let is_new = self.epochs.load(Ordering::Relaxed) == 0;
        let identity = identity::settle(&mut connection, &self.base, &self.config, self.own.get(), is_new).await;
        let identity = identity.map_err(|fault| match fault {
            IdentityFault::Failed(error) => self.failed(&error),
            IdentityFault::Other => self
                .unfit("the store there is not the one that this gateway began with: restart the gateway".to_owned()),
            IdentityFault::Refused(error) => error,
        })?;
        Ok((connection, identity))
    }

    fn unfit(&self, reason: String) -> OpenError {
        OpenError::Unfit { address: self.server(), reason: reason.into() }
    }

    fn unreachable(&self, reason: String) -> OpenError {
        OpenError::Unreachable { address: self.server(), reason: reason.into() }
    }

    fn failed(&self, error: &RedisError) -> OpenError {
        let passes = |code| {
            matches!(code, "LOADING" | "MASTERDOWN" | "CLUSTERDOWN")
                || self.home.is_some() && matches!(code, "MOVED" | "ASK" | "TRYAGAIN")
        };
        // Waiting helps only where the server is not there yet.
        let is_not_there = error.is_io_error() || error.code().is_some_and(passes);
        if is_not_there { self.unreachable(words(error)) } else { self.unfit(words(error)) }
    }

    /// Where the server is.
    pub(super) fn server(&self) -> Box<str> {
        self.lock_server().as_ref().map_or_else(|| self.config.address.to_string(), Node::to_string).into()
    }

    /// A reason with the server that it concerns.
    pub(super) fn named(&self, reason: &str) -> Arc<str> {
        format!("{}: {reason}", self.server()).into()
    }

    fn lock_server(&self) -> std::sync::MutexGuard<'_, Option<Node>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn broke(&self, live: &Live, error: &RedisError) -> Arc<str> {
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

    pub(super) fn go_down(&self, reason: &Arc<str>) {
        let is_new = !matches!(&*self.state.borrow(), State::Down(known) if known == reason);
        if is_new {
            tracing::error!(redis = %self.server(), reason = &**reason, "the store cannot be used");
            self.state.send_replace(State::Down(Arc::clone(reason)));
        }
        self.broken.notify_one();
    }
}

impl Trouble {
    /// The same in words.
    pub(super) fn words(self) -> Arc<str> {
        match self {
            Self::Full => "redis is out of memory".into(),
            Self::Unusable(reason) | Self::Other(reason) => reason,
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("address", &self.config.address).finish_non_exhaustive()
    }
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
        (Some("ASK" | "TRYAGAIN"), _) => "the slot is being moved to another node of the cluster".into(),
        (Some("MOVED"), _) => "redis is a node of a cluster: write `store.cluster: true`".into(),
        (Some("ERR"), Some(detail)) if detail.contains("cluster support disabled") => {
            "redis is not a node of a cluster: leave `store.cluster` out".into()
        }
        (Some(code), Some(detail)) => format!("redis answers {code} {detail}"),
        (Some(code), None) => format!("redis answers {code}"),
        (None, _) => format!("redis cannot be reached: {error}"),
    }
}
