//! The servers behind, each with the configuration that its own documentation gives for a reverse proxy with kept-alive
//! connections: they read our requests with their own parsers and write them again for the recorder.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::{Port, eventually};

/// A server that people have behind a gateway.
#[derive(Clone, Copy, Debug)]
pub(super) enum ServerKind {
    Nginx,
    Apache,
    Haproxy,
    Node,
}

/// A running one; killed when dropped.
#[derive(Debug)]
pub(super) struct Server {
    port: Port,
    child: Child,
    _folder: TempDir,
}

// === impl Server ===

impl Server {
    /// Starts one that passes everything on to the recorder, and waits until it listens.
    pub(super) async fn start(kind: ServerKind, recorder: SocketAddr) -> Self {
        let port = Port::take();
        let folder = tempfile::Builder::new().prefix("hookward-behind-").tempdir().unwrap();
        let mut command = kind.command(folder.path(), port.address(), recorder);
        let log = std::fs::File::create(folder.path().join("output")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{kind:?} is installed by tests/run: {error}"));
        let mut server = Self { port, child, _folder: folder };
        eventually("a server that listens", async || {
            if let Some(status) = server.child.try_wait().unwrap() {
                let said = std::fs::read_to_string(server._folder.path().join("output")).unwrap_or_default();
                panic!("{kind:?} ended: {status}: {said}");
            }
            TcpStream::connect(server.port.address()).await.ok()
        })
        .await;
        server
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.port.address()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx and apache2 have workers: they end with the one that we started when it is asked, not when it is killed.
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        drop(self.child.wait());
    }
}

// === impl ServerKind ===

impl ServerKind {
    fn command(self, folder: &Path, listen: SocketAddr, recorder: SocketAddr) -> Command {
        let write = |name: &str, text: String| {
            let text = text
                .replace("@DIR@", folder.to_str().unwrap())
                .replace("@LISTEN@", &listen.to_string())
                .replace("@RECORDER@", &recorder.to_string());
            std::fs::write(folder.join(name), text).unwrap();
            folder.join(name)
        };
        match self {
            Self::Nginx => {
                let mut command = Command::new("nginx");
                command.arg("-p").arg(folder).args(["-e", "stderr", "-c"]).arg(write("nginx.conf", NGINX.to_owned()));
                command
            }
            Self::Apache => {
                let mut command = Command::new("apache2");
                command
                    .args(["-D", "FOREGROUND", "-d"])
                    .arg(folder)
                    .arg("-f")
                    .arg(write("apache.conf", APACHE.to_owned()));
                command
            }
            Self::Haproxy => {
                let mut command = Command::new("haproxy");
                command.arg("-db").arg("-f").arg(write("haproxy.cfg", HAPROXY.to_owned()));
                command
            }
            Self::Node => {
                let mut command = Command::new("node");
                command.arg(write("app.cjs", include_str!("app.cjs").to_owned()));
                command.args([listen.port().to_string(), recorder.port().to_string()]);
                command
            }
        }
    }
}

const NGINX: &str = "daemon off;
worker_processes 1;
pid @DIR@/pid;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path @DIR@/body;
    proxy_temp_path @DIR@/proxy;
    fastcgi_temp_path @DIR@/fastcgi;
    uwsgi_temp_path @DIR@/uwsgi;
    scgi_temp_path @DIR@/scgi;
    keepalive_requests 100000;
    upstream recorder { server @RECORDER@; keepalive 16; }
    server {
        listen @LISTEN@;
        location / {
            proxy_pass http://recorder;
            proxy_http_version 1.1;
            proxy_set_header Connection '';
        }
    }
}
";

pub(in crate::proxy) const APACHE: &str = "ServerRoot @DIR@
ServerName behind
PidFile @DIR@/pid
Listen @LISTEN@
ErrorLog @DIR@/error.log
User nobody
Group nogroup
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
StartServers 1
KeepAlive On
MaxKeepAliveRequests 0
ProxyPass / http://@RECORDER@/
";

const HAPROXY: &str = "defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
frontend all
    bind @LISTEN@
    default_backend recorder
backend recorder
    http-reuse always
    server one @RECORDER@
";
