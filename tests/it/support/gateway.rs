//! A `hookward serve` child process: started, killed, restarted and asked from outside.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{Client, Metrics, PATIENCE, Port, Reply, eventually};

/// How many lines of the log a failed test shows.
const LOG_LINES_SHOWN: usize = 60;

/// A gateway with ports and a folder of its own; killed when dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    binary: PathBuf,
    /// A command that runs the binary, with its arguments; empty for none.
    under: Vec<String>,
    environment: Vec<(String, String)>,
    folder: TempDir,
    store: PathBuf,
    ingress: Port,
    admin: Port,
    child: Option<Child>,
    /// The ingress's socket, where it is ours and passed to the child.
    passed: Option<TcpListener>,
}

// === impl Gateway ===

impl Gateway {
    /// Starts a gateway and waits until it is ready.
    pub(crate) async fn start(config: &str) -> Self {
        let mut gateway = Self::prepare(config);
        gateway.run().await;
        gateway
    }

    /// Takes ports and writes the configuration; nothing runs yet.
    pub(crate) fn prepare(config: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("hookward-test-").tempdir().unwrap();
        let store = folder.path().join("data");
        let gateway = Self {
            binary: PathBuf::from(env!("CARGO_BIN_EXE_hookward")),
            under: Vec::new(),
            environment: Vec::new(),
            folder,
            store,
            ingress: Port::take(),
            admin: Port::take(),
            child: None,
            passed: None,
        };
        gateway.configure(config);
        gateway
    }

    /// Runs another build of it.
    pub(crate) fn binary(&mut self, path: &Path) {
        self.binary = path.to_owned();
    }

    /// Runs it under another command, which must leave the gateway our child.
    pub(crate) fn under(&mut self, command: Vec<String>) {
        self.under = command;
    }

    /// Puts the store elsewhere; call [`configure`](Self::configure) afterwards.
    pub(crate) fn store_at(&mut self, path: &Path) {
        path.clone_into(&mut self.store);
    }

    /// Sets a variable of the child's environment, which is empty but for PATH.
    pub(crate) fn env(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Writes the configuration. `@INGRESS@`, `@ADMIN@`, `@STORE@` and `@DIR@` stand for this gateway's own; the
    /// sections `ingress`, `admin` and `store` are added where they are not written.
    pub(crate) fn configure(&self, config: &str) {
        let has = |section: &str| config.lines().any(|line| line.starts_with(&format!("{section}:")));
        let mut text = String::new();
        for (section, body) in [
            ("ingress", "{ listen: \"@INGRESS@\" }"),
            ("admin", "{ listen: \"@ADMIN@\" }"),
            ("store", "{ path: \"@STORE@\", disk_free_min: 1MiB }"),
        ] {
            if !has(section) {
                text.push_str(&format!("{section}: {body}\n"));
            }
        }
        text.push_str(config);
        let text = text
            .replace("@INGRESS@", &self.ingress().to_string())
            .replace("@ADMIN@", &self.admin().to_string())
            .replace("@STORE@", self.store.to_str().unwrap())
            .replace("@DIR@", self.folder.path().to_str().unwrap());
        // Written beside and renamed, as every careful editor does: a reader never sees half a file.
        let beside = self.folder.path().join("hookward.yaml.new");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(beside, self.config_file()).unwrap();
    }

    /// Opens the ingress's socket here and passes it to every process from now on, as systemd does.
    pub(crate) fn pass_socket(&mut self) {
        let socket = TcpListener::bind(self.ingress()).unwrap();
        rustix::net::listen(&socket, 4096).unwrap();
        self.passed = Some(socket);
    }

    /// Starts another process beside the one that runs, which is given to the caller.
    pub(crate) fn start_next(&mut self) -> Child {
        let old = self.child.take().expect("the gateway runs");
        self.spawn();
        old
    }

    /// Starts the process and waits until it is ready.
    pub(crate) async fn run(&mut self) {
        self.spawn();
        self.ready().await;
    }

    /// Starts the process.
    pub(crate) fn spawn(&mut self) {
        assert!(self.child.is_none(), "the gateway runs already");
        let log = OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        let mut words = self.under.iter().map(OsString::from).chain([self.binary.clone().into_os_string()]);
        let (mut command, stdin) = match &self.passed {
            None => (Command::new(words.next().unwrap()), Stdio::null()),
            Some(socket) => {
                // As systemd passes it: as file 3, and said in the environment. A shell can do that.
                let script = "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"";
                let mut shell = Command::new("sh");
                shell.args(["-c", script]);
                (shell, Stdio::from(OwnedFd::from(socket.try_clone().unwrap())))
            }
        };
        let child = command
            .args(words)
            .args(["serve", "-c"])
            .arg(self.config_file())
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(stdin)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", self.binary.display()));
        self.child = Some(child);
    }

    /// Waits until `/readyz` answers 200.
    pub(crate) async fn ready(&mut self) {
        let start = Instant::now();
        while self.try_get("/readyz").await.is_none_or(|reply| reply.status != 200) {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                self.child = None;
                panic!("the gateway ended at start: {status}");
            }
            assert!(start.elapsed() < PATIENCE, "the gateway is not ready after {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits whether `/readyz` comes to answer 200; false where the process ends before.
    pub(crate) async fn becomes_ready(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < PATIENCE && self.is_running() {
            if self.try_get("/readyz").await.is_some_and(|reply| reply.status == 200) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }

    /// Where senders send.
    pub(crate) fn ingress(&self) -> SocketAddr {
        self.ingress.address()
    }

    /// Where operators ask.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin.address()
    }

    /// The folder with the configuration, the log and (unless moved) the store.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn store(&self) -> &Path {
        &self.store
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.path().join("hookward.yaml")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What it has written to stdout and stderr, over all its lives.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("the gateway runs").id()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// `kill -9`; it is gone when this returns.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks it to read its configuration again.
    pub(crate) fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Freezes it.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Waits until none of its threads can do anything more: stopped, or in the kernel and stopped on return.
    pub(crate) async fn frozen(&self) {
        let tasks = format!("/proc/{}/task", self.pid());
        eventually("a frozen process", async || {
            let mut stats = std::fs::read_dir(&tasks)
                .unwrap()
                .map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")));
            let state = |stat: String| stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
            stats.all(|stat| stat.is_ok_and(|stat| matches!(state(stat), Some('T' | 't' | 'D')))).then_some(())
        })
        .await;
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("the gateway runs");
        let pid = child.id();
        let ended = eventually(&format!("the end of process {pid}"), async || child.try_wait().unwrap()).await;
        self.child = None;
        ended
    }

    /// Whether the process is there.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Writes another configuration, sends SIGHUP and waits until the gateway says that it has read it.
    pub(crate) async fn reload(&self, config: &str) {
        let before = self.reloads("ok").await;
        self.configure(config);
        self.hang_up();
        eventually("a reload", async || (self.reloads("ok").await > before).then_some(())).await;
    }

    /// How many reloads ended so (`ok`, `failed`).
    pub(crate) async fn reloads(&self, result: &str) -> u64 {
        self.metrics().await.sum("hookward_config_reloads_total", &[("result", result)]) as u64
    }

    /// Asks the admin port; fails the test where nothing answers.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.try_get(path).await.unwrap_or_else(|| panic!("no answer to GET {path}"))
    }

    /// Asks the admin port.
    pub(crate) async fn try_get(&self, path: &str) -> Option<Reply> {
        let request = Request::get(path).body(Full::default()).unwrap();
        Client::new(self.admin()).send(request).await.ok()
    }

    /// Posts to the admin port.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        let body = Bytes::from(body.to_string());
        let request = Request::post(path).header("content-type", "application/json").body(Full::new(body)).unwrap();
        Client::new(self.admin())
            .send(request)
            .await
            .unwrap_or_else(|error| panic!("no answer to POST {path}: {error}"))
    }

    /// The `data` of a list of the API.
    pub(crate) async fn list(&self, path: &str) -> Vec<Value> {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "GET {path}: {}", String::from_utf8_lossy(&reply.body));
        reply.json()["data"].as_array().cloned().unwrap_or_else(|| panic!("GET {path} is no list"))
    }

    /// What `/metrics` says.
    pub(crate) async fn metrics(&self) -> Metrics {
        Metrics::of(String::from_utf8(self.get("/metrics").await.body.to_vec()).unwrap())
    }

    /// Waits until no delivery is pending, in flight or held.
    ///
    /// Three lists, asked one after the other, can miss a delivery that changes its state meanwhile; the lengths of
    /// the queues are looked at as one, but know nothing of what a start has not loaded yet. Both must say so.
    pub(crate) async fn drained(&self, patience: Duration) {
        super::eventually_within(patience, "an empty queue", async || {
            for state in ["pending", "in_flight", "held"] {
                let reply = self.try_get(&format!("/v1/deliveries?status={state}&limit=1")).await?;
                if reply.status != 200 || reply.json()["data"].as_array().is_none_or(|rows| !rows.is_empty()) {
                    return None;
                }
            }
            let lanes = self.list("/v1/destinations").await;
            let is_empty =
                |lane: &Value| ["pending", "in_flight", "held"].iter().all(|state| lane["queue"][state] == 0);
            (!lanes.is_empty() && lanes.iter().all(is_empty)).then_some(())
        })
        .await;
    }

    /// Its resident memory.
    pub(crate) fn rss_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines = log.lines().collect::<Vec<_>>();
            let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
            eprintln!("--- the gateway's last {} lines of {} ---\n{}", shown.len(), lines.len(), shown.join("\n"));
            let config = std::fs::read_to_string(self.config_file()).unwrap_or_default();
            eprintln!("--- its configuration ---\n{config}");
        }
    }
}

/// Runs a command of the command line and gives what it said.
pub(crate) fn hookward(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hookward"))
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(environment.iter().copied())
        .stdin(File::open("/dev/null").unwrap())
        .output()
        .unwrap()
}
