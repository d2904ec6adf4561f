//! One connection to the server: made with its time limits, and used a pipeline at a time.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisResult, TlsMode, Value};

use super::cluster::Node;
use super::config::{Address, Config};

/// What an answer may take: longer than a disk's slow sync, shorter than a sender waits.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// What TCP, TLS and the login may take together.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// The answer to one command of a pipeline.
pub(super) type Reply = RedisResult<Value>;

/// A connection that many tasks share.
#[derive(Clone)]
pub(super) struct Connection(MultiplexedConnection);

// === impl Connection ===

impl Connection {
    /// To the server of the configuration, or to the one that the sentinels call the master.
    pub(super) async fn open(config: &Config) -> RedisResult<Self> {
        let client = if config.sentinels.is_empty() {
            client(config, &config.address)?
        } else {
            Box::pin(master(config)).await?
        };
        Self::with(&client).await
    }

    /// To a node of a cluster, with the configuration's login and certificates.
    pub(super) async fn open_at(config: &Config, node: &Node) -> RedisResult<Self> {
        Self::with(&client(config, &config.address.at(node))?).await
    }

    async fn with(client: &Client) -> RedisResult<Self> {
        let limits = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_MAX))
            .set_response_timeout(Some(ANSWER_MAX));
        // Apart: the future of a TLS handshake is large.
        Box::pin(client.get_multiplexed_async_connection_with_config(&limits)).await.map(Self)
    }

    /// Sends commands as one pipeline and gives each one's answer.
    ///
    /// # Errors
    /// The connection broke or the time is up: what the commands did is unknown.
    pub(super) async fn all(&mut self, pipeline: &Pipeline) -> RedisResult<Vec<Reply>> {
        pipeline.query_async(&mut self.0).await
    }

    /// The same for one command.
    pub(super) async fn one(&mut self, command: &Cmd) -> Reply {
        command.query_async(&mut self.0).await
    }
}

fn client(config: &Config, address: &Address) -> RedisResult<Client> {
    let info = address.0.clone().set_tcp_settings(TcpSettings::default().set_nodelay(true));
    if address.is_tls() { Client::build_with_tls(info, config.tls.certificates()) } else { Client::open(info) }
}

/// The client of the server that the sentinels call the master.
async fn master(config: &Config) -> RedisResult<Client> {
    let tcp = || TcpSettings::default().set_nodelay(true);
    let addresses = config.sentinels.iter().map(|sentinel| sentinel.0.addr().clone());
    let server = config.address.0.redis_settings();
    let mut builder = SentinelClientBuilder::new(addresses, config.address.host(), SentinelServerType::Master)?
        .set_client_to_redis_db(server.db())
        .set_client_to_redis_tcp_settings(tcp())
        .set_client_to_sentinel_tcp_settings(tcp());
    if let Some(user) = server.username() {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = server.password() {
        builder = builder.set_client_to_redis_password(password);
    }
    if config.address.is_tls() {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        builder = builder.set_client_to_redis_certificates(config.tls.certificates());
    }
    if let Some(sentinel) = config.sentinels.first() {
        let login = sentinel.0.redis_settings();
        if let Some(user) = login.username() {
            builder = builder.set_client_to_sentinel_username(user);
        }
        if let Some(password) = login.password() {
            builder = builder.set_client_to_sentinel_password(password);
        }
        if sentinel.is_tls() {
            builder = builder.set_client_to_sentinel_tls_mode(TlsMode::Secure);
            builder = builder.set_client_to_sentinel_certificates(config.tls.certificates());
        }
    }
    let mut sentinels = builder.build()?;
    let asked = tokio::time::timeout(ANSWER_MAX, sentinels.async_get_client()).await;
    let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, "the sentinels do not answer in time");
    asked.unwrap_or_else(|_| Err(late().into()))
}

/// Commands that each have their own answer, also where others fail.
pub(super) fn pipeline(commands: impl IntoIterator<Item = Cmd>) -> Pipeline {
    let mut pipeline = Pipeline::new();
    pipeline.ignore_errors();
    for command in commands {
        pipeline.add_command(command);
    }
    pipeline
}
