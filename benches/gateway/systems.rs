//! What is measured, each started the way its users would run it, in front of the same sink.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::admin::is_ready;
use crate::event::SECRET;
use crate::outbound;
use crate::process::{Role, Usage, Victim};

/// How long a system may take to start; on a disk that stands still this is long.
const START_MAX: Duration = Duration::from_secs(60);
/// How much of a log a failure shows.
const LOG_LINES_SHOWN: usize = 20;

/// A system under test.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum System {
    /// Bare hyper server that verifies and forgets: the limit.
    Limit,
    /// nginx `proxy_pass` with keep-alive to the sink: the yardstick.
    Nginx,
    /// hookward, queue mode, every guard, fsync.
    Hookward,
    /// hookward, proxy mode, every guard: its own 2xx is the sink's.
    HookwardProxy,
    /// hookward's sending side: emitted with a bearer token, fsync, delivered to one webhook.
    HookwardEmit,
    /// hookward on Redis: so many gateways, and whether Redis syncs before it answers (`strict`) or once a second.
    HookwardRedis { gateways: usize, strict: bool },
    /// Express + BullMQ + Redis.
    BullMq,
    /// qhook on SQLite.
    Qhook,
}

impl System {
    /// In the order in which the first round runs them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Limit, Self::Nginx, Self::Hookward, Self::HookwardProxy, Self::BullMq, Self::Qhook];
    /// What the redis mode measures: the embedded store beside one and three gateways on one Redis.
    pub(crate) const BESIDE_REDIS: [Self; 5] = [
        Self::Hookward,
        Self::HookwardRedis { gateways: 1, strict: false },
        Self::HookwardRedis { gateways: 1, strict: true },
        Self::HookwardRedis { gateways: 3, strict: false },
        Self::HookwardRedis { gateways: 3, strict: true },
    ];
    /// What the emit mode measures.
    pub(crate) const BESIDE_EMITTING: [Self; 3] = [Self::Nginx, Self::Hookward, Self::HookwardEmit];
    /// What the latency mode measures unless told otherwise: the others cannot keep up with its rate.
    pub(crate) const IN_LATENCY: [Self; 4] = [Self::Limit, Self::Nginx, Self::Hookward, Self::HookwardProxy];

    /// All that there are, each once.
    pub(crate) fn every() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().chain([Self::HookwardEmit]).chain(Self::BESIDE_REDIS.into_iter().skip(1))
    }

    /// Name on the command line and in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Nginx => "nginx",
            Self::Hookward => "hookward",
            Self::HookwardProxy => "hookward-proxy",
            Self::HookwardEmit => "hookward-emit",
            Self::HookwardRedis { gateways: 1, strict: false } => "redis-1-everysec",
            Self::HookwardRedis { gateways: 1, strict: true } => "redis-1-always",
            Self::HookwardRedis { strict: false, .. } => "redis-3-everysec",
            Self::HookwardRedis { strict: true, .. } => "redis-3-always",
            Self::BullMq => "bullmq",
            Self::Qhook => "qhook",
        }
    }

    /// Events a second that it will hardly exceed: so many signatures are made beforehand.
    pub(crate) fn rate_max(self) -> usize {
        match self {
            Self::Limit => 110_000,
            Self::Nginx | Self::Hookward | Self::HookwardProxy | Self::HookwardEmit => 70_000,
            Self::HookwardRedis { .. } => 40_000,
            Self::BullMq | Self::Qhook => 4_000,
        }
    }
}

/// A running system: where to send, and what it costs.
pub(crate) struct Running {
    /// Address of the front door; several, with commas between them, where there are several gateways.
    pub(crate) address: String,
    /// Path of the front door.
    pub(crate) path: &'static str,
    /// What the sender shows there, as [`Plan::credential`](crate::sender::Plan::credential) says it.
    pub(crate) credential: &'static str,
    /// Address of hookward's admin port (several as above); `None` for the others.
    pub(crate) admin: Option<String>,
    pub(crate) parts: Vec<Victim>,
    pub(crate) limit: Option<Role>,
    pub(crate) log: PathBuf,
}

impl Drop for Running {
    /// A run that fails shows what its system had to say.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the end of {}:\n{}", self.log.display(), tail(&self.log));
        }
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    match text {
        Ok(text) if text.trim().is_empty() => "(it is empty)".to_owned(),
        Ok(text) => {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
        }
        Err(error) => format!("(it cannot be read: {error})"),
    }
}

impl Running {
    /// CPU and memory of all its processes. Panics when there is nothing to measure any more.
    pub(crate) fn usage(&mut self) -> Usage {
        let mut sum = self.limit.as_ref().map(Role::usage).unwrap_or_default();
        for part in &self.parts {
            let one = part.usage();
            sum = Usage { cpu_micros: sum.cpu_micros + one.cpu_micros, rss_bytes: sum.rss_bytes + one.rss_bytes };
        }
        if sum.rss_bytes == 0 {
            self.check();
            panic!("/proc says nothing about the system under test");
        }
        sum
    }

    /// Panics when a part has ended by itself.
    pub(crate) fn check(&mut self) {
        self.parts.iter_mut().for_each(Victim::check);
        self.limit.iter_mut().for_each(Role::check);
    }

    /// The first process, for profilers and crashes.
    pub(crate) fn first(&mut self) -> &mut Victim {
        self.parts.first_mut().expect("a system with a process")
    }
}

/// Where the tools are (benches/install) and where runs write.
pub(crate) struct Places {
    pub(crate) tools: PathBuf,
    pub(crate) work: PathBuf,
    pub(crate) hookward: PathBuf,
}

impl Places {
    /// A command of the unpacked Debian packages, with their libraries.
    fn debian(&self, program: &str) -> Command {
        let root = self.tools.join("debian");
        let path = root.join(program);
        assert!(path.exists(), "{} is missing: run benches/install", path.display());
        let mut command = Command::new(path);
        command.env("LD_LIBRARY_PATH", root.join("usr/lib/x86_64-linux-gnu"));
        command
    }

    /// A program that `system` takes and that is not there.
    pub(crate) fn missing(&self, system: System) -> Option<PathBuf> {
        let programs = match system {
            System::Limit => vec![],
            System::Nginx => vec![self.tools.join("debian/usr/sbin/nginx")],
            System::Hookward | System::HookwardProxy | System::HookwardEmit => vec![self.hookward.clone()],
            System::HookwardRedis { .. } => vec![self.hookward.clone(), self.redis_server()],
            System::BullMq => {
                vec![self.tools.join("debian/usr/bin/redis-server"), self.tools.join("bullmq/node_modules/bullmq")]
            }
            System::Qhook => vec![self.tools.join("bin/qhook")],
        };
        programs.into_iter().find(|path| !path.exists())
    }

    /// The unpacked redis-server, else the machine's own.
    fn redis_server(&self) -> PathBuf {
        let unpacked = self.tools.join("debian/usr/bin/redis-server");
        if unpacked.exists() { unpacked } else { PathBuf::from("/usr/bin/redis-server") }
    }

    /// A gateway with this configuration.
    pub(crate) fn serve(&self, config: &Path, log: &Path) -> Victim {
        let mut command = match std::env::var("BENCH_WRAP") {
            // A profiler around the gateway, for example `perf record -g -o FILE --`.
            Ok(wrap) if !wrap.is_empty() => {
                let mut words = wrap.split_whitespace();
                let mut command = Command::new(words.next().unwrap_or("env"));
                command.args(words).arg(&self.hookward);
                command
            }
            _ => Command::new(&self.hookward),
        };
        // As nginx here: no line for each request.
        command.args(["serve", "--access-log", "off", "-c"]).arg(config);
        Victim::start(&mut command, log)
    }

    /// An empty folder for one run.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.work.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).expect("the folder of the last run removed");
        }
        std::fs::create_dir_all(&folder).expect("a folder for the run");
        folder
    }
}

/// Starts `system` in front of the sink on `sink_port` and waits until it answers.
pub(crate) fn start(system: System, places: &Places, sink_port: u16) -> Running {
    let folder = places.folder(system.name());
    let mut running = match system {
        System::Limit => limit(&folder),
        System::Nginx => nginx(places, &folder, sink_port),
        System::Hookward => hookward(places, &folder, &HookwardPlan::bench(sink_port)),
        System::HookwardProxy => {
            hookward(places, &folder, &HookwardPlan { proxy: true, ..HookwardPlan::bench(sink_port) })
        }
        System::HookwardEmit => outbound::emitter(places, &folder, sink_port),
        System::HookwardRedis { gateways, strict } => fleet(places, &folder, sink_port, gateways, strict),
        System::BullMq => bullmq(places, &folder, sink_port),
        System::Qhook => qhook(places, &folder, sink_port),
    };
    wait_for(&mut running);
    running
}

/// Waits until the front door takes connections and, where the system can tell, is ready.
pub(crate) fn wait_for(running: &mut Running) {
    let give_up = Instant::now() + START_MAX;
    let is_open = |running: &Running| running.address.split(',').all(|address| TcpStream::connect(address).is_ok());
    let says_ready = |running: &Running| running.admin.as_deref().is_none_or(|all| all.split(',').all(is_ready));
    while !(is_open(running) && says_ready(running)) {
        running.check();
        assert!(Instant::now() < give_up, "{} was not ready in {START_MAX:?}; its log follows", running.address);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound address").port()
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

fn limit(folder: &Path) -> Running {
    let mut role = Role::start(&["limit".to_owned()]);
    let address = format!("127.0.0.1:{}", role.port());
    Running {
        address,
        path: "/webhooks/appmint",
        credential: "X-Appmint-Signature",
        admin: None,
        parts: Vec::new(),
        limit: Some(role),
        log: folder.join("log"),
    }
}

fn nginx(places: &Places, folder: &Path, sink_port: u16) -> Running {
    let port = free_port();
    let user = if rustix::process::getuid().is_root() { "user root;" } else { "" };
    let at = folder.display();
    write(
        &folder.join("nginx.conf"),
        &format!(
            "daemon off; {user} worker_processes 2; pid {at}/pid; error_log stderr error;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_timeout 300s; keepalive_requests 100000000; client_body_buffer_size 16k;
  client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
  uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
  upstream sink {{ server 127.0.0.1:{sink_port}; keepalive 256; keepalive_requests 100000000; keepalive_timeout 300s; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://sink; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}
  }}
}}
"
        ),
    );
    let log = folder.join("log");
    let mut command = places.debian("usr/sbin/nginx");
    command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf")).arg("-e").arg(&log);
    Running {
        address: format!("127.0.0.1:{port}"),
        path: "/webhooks/appmint",
        credential: "X-Appmint-Signature",
        admin: None,
        parts: vec![Victim::start(&mut command, &log)],
        limit: None,
        log,
    }
}

/// What differs between the uses of hookward here.
pub(crate) struct HookwardPlan {
    pub(crate) port: u16,
    pub(crate) sink_port: u16,
    pub(crate) queue_max: u64,
    pub(crate) concurrency: u32,
    /// Passed on to the sink instead of kept and delivered to it.
    pub(crate) proxy: bool,
    /// More of the section `store`.
    pub(crate) store: String,
}

impl HookwardPlan {
    /// As the throughput table measures it.
    pub(crate) fn bench(sink_port: u16) -> Self {
        let concurrency = std::env::var("BENCH_CONCURRENCY").ok().and_then(|text| text.parse().ok()).unwrap_or(64);
        Self { port: free_port(), sink_port, queue_max: 1_000_000, concurrency, proxy: false, store: String::new() }
    }
}

/// Starts hookward in `folder` (its data may already be there), without waiting for it.
pub(crate) fn hookward(places: &Places, folder: &Path, plan: &HookwardPlan) -> Running {
    let config = folder.join("hookward.yaml");
    let admin = format!("127.0.0.1:{}", free_port());
    let HookwardPlan { port, sink_port, queue_max, concurrency, proxy, store } = plan;
    let (mode, routes) = if *proxy {
        (format!("    mode: proxy\n    app: \"http://127.0.0.1:{sink_port}\"\n"), String::new())
    } else {
        let sink =
            format!("url: \"http://127.0.0.1:{sink_port}/hook\", concurrency: {concurrency}, queue_max: {queue_max}");
        (String::new(), format!("routes:\n  - {{ from: appmint, to: [sink] }}\ndestinations:\n  sink: {{ {sink} }}\n"))
    };
    write(
        &config,
        &format!(
            "ingress:
  listen: 127.0.0.1:{port}
admin:
  listen: {admin}
store:
  path: {}
{store}sources:
  appmint:
    path: /webhooks/appmint
    allow_ips: [127.0.0.1]
    rate_limit: {{ requests: 1000000, per: 1s, burst: 1000000, by: ip }}
    verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }}
{mode}{routes}",
            folder.join("data").display()
        ),
    );
    let log = folder.join("log");
    Running {
        address: format!("127.0.0.1:{port}"),
        path: "/webhooks/appmint",
        credential: "X-Appmint-Signature",
        admin: Some(admin),
        parts: vec![places.serve(&config, &log)],
        limit: None,
        log,
    }
}

fn qhook(places: &Places, folder: &Path, sink_port: u16) -> Running {
    let port = free_port();
    let config = folder.join("qhook.yaml");
    write(
        &config,
        &format!(
            "database: {{ driver: sqlite, url: \"sqlite:{}/qhook.db?mode=rwc\" }}
server: {{ port: {port}, max_inbound: 1000, allow_private_urls: true }}
worker: {{ max_concurrency: 64, batch_size: 64 }}
sources:
  github: {{ type: webhook, verify: github, secret: \"{SECRET}\", allowed_ips: [\"127.0.0.1\"] }}
handlers:
  sink: {{ source: github, url: \"http://127.0.0.1:{sink_port}/hook\", idempotency_key: \"$.id\" }}
",
            folder.display()
        ),
    );
    let log = folder.join("log");
    let program = places.tools.join("bin/qhook");
    assert!(program.exists(), "{} is missing: run benches/install", program.display());
    let mut command = Command::new(program);
    command.args(["start", "-c"]).arg(&config).env("RUST_LOG", "warn").current_dir(folder);
    Running {
        address: format!("127.0.0.1:{port}"),
        path: "/webhooks/github",
        credential: "X-Hub-Signature-256",
        admin: None,
        parts: vec![Victim::start(&mut command, &log)],
        limit: None,
        log,
    }
}

/// Gateways that share one Redis, each in a folder of its own.
fn fleet(places: &Places, folder: &Path, sink_port: u16, gateways: usize, strict: bool) -> Running {
    let (port, log) = (free_port(), folder.join("log"));
    let sync = if strict { "always" } else { "everysec" };
    let mut parts = vec![redis(places, folder, port, sync)];
    let durability = if strict { "strict" } else { "relaxed" };
    let store = format!("  engine: redis\n  url: redis://127.0.0.1:{port}/0\n  durability: {durability}\n");
    let (mut addresses, mut admins) = (Vec::new(), Vec::new());
    for number in 0..gateways {
        let own = folder.join(number.to_string());
        std::fs::create_dir_all(&own).expect("a folder for a gateway");
        let plan = HookwardPlan { store: store.clone(), ..HookwardPlan::bench(sink_port) };
        let mut running = hookward(places, &own, &plan);
        // One after the other: the first makes the store.
        wait_for(&mut running);
        parts.append(&mut running.parts);
        addresses.push(running.address.clone());
        admins.extend(running.admin.clone());
    }
    Running {
        address: addresses.join(","),
        path: "/webhooks/appmint",
        credential: "X-Appmint-Signature",
        admin: Some(admins.join(",")),
        parts,
        limit: None,
        log,
    }
}

/// A redis-server with an append-only file in `folder`, once it takes connections.
fn redis(places: &Places, folder: &Path, port: u16, sync: &str) -> Victim {
    let log = folder.join("log");
    let mut redis = Command::new(places.redis_server());
    redis.env("LD_LIBRARY_PATH", places.tools.join("debian/usr/lib/x86_64-linux-gnu"));
    redis
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
        .args(["--appendfsync", sync, "--maxmemory-policy", "noeviction", "--dir"])
        .arg(folder);
    let mut victim = Victim::start(&mut redis, &log);
    let give_up = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        let late = Instant::now() >= give_up;
        assert!(!late && victim.is_running(), "redis does not take connections:\n{}", tail(&log));
        std::thread::sleep(Duration::from_millis(20));
    }
    victim
}

fn bullmq(places: &Places, folder: &Path, sink_port: u16) -> Running {
    let (port, redis_port) = (free_port(), free_port());
    let log = folder.join("log");
    let receiver = places.tools.join("bullmq/receiver.mjs");
    assert!(receiver.exists(), "{} is missing: run benches/install", receiver.display());
    // appendfsync everysec is Redis' own default once the append-only file is on, and what its users run.
    let mut parts = vec![redis(places, folder, redis_port, "everysec")];
    for role in ["receive", "work"] {
        let mut node = Command::new("node");
        node.arg(&receiver)
            .arg(role)
            .env("NODE_ENV", "production")
            .env("PORT", port.to_string())
            .env("REDIS_PORT", redis_port.to_string())
            .env("SINK_PORT", sink_port.to_string())
            .env("SECRET", SECRET);
        parts.push(Victim::start(&mut node, &log));
    }
    Running {
        address: format!("127.0.0.1:{port}"),
        path: "/webhooks/appmint",
        credential: "X-Appmint-Signature",
        admin: None,
        parts,
        limit: None,
        log,
    }
}
