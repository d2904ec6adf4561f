//! F41: running out of file descriptors is survived, without spinning, and over as soon as it is over.
//!
//! The limit is a process's own, so the test runs itself again as a child whose limit is low.

use std::process::Command;
use std::time::{Duration, Instant};

use hookward::ingress::Config;
use hookward::ingress::listener::ACCEPT_PAUSE;
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::net::TcpStream;

use super::gate::{PATIENCE, Peer, short};
use super::{Gate, request};

const IN_CHILD: &str = "HOOKWARD_TEST_SHORTAGE";

#[test]
fn f41_no_file_descriptors_left_is_survived() {
    if std::env::var_os(IN_CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(starve());
    }
    let name = std::thread::current().name().unwrap().to_owned();
    let child = Command::new(std::env::current_exe().unwrap())
        .args([&name, "--exact", "--nocapture"])
        .env(IN_CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&child.stderr));
}

async fn starve() {
    let gate = Gate::open(Config { header_timeout: Duration::from_secs(60), ..short() }).await;
    // Both ends of every connection are ours: clients first, until there is nothing left for the server's ends.
    let limit = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64 + 40;
    setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum: Some(limit) }).unwrap();
    let mut clients = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect(gate.address) {
        clients.push(stream);
    }
    assert!(clients.len() >= 30, "{}", clients.len());
    // Nothing can be accepted: it is tried again and again, with a pause in between however busy the machine is.
    let started = Instant::now();
    while gate.metrics.accepts_failed.get() < 5 {
        assert!(started.elapsed() < PATIENCE, "not trying again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let tried = gate.metrics.accepts_failed.get();
    let pauses = started.elapsed().as_millis() / ACCEPT_PAUSE.as_millis();
    assert!(u128::from(tried) <= pauses + 2, "spinning: {tried} tries in {:?}", started.elapsed());
    assert_eq!(gate.metrics.connections_accepted.get(), 0);
    // A third of the clients go, and there is room for the others' other ends within a second.
    drop(clients.split_off(10));
    let freed = Instant::now();
    while gate.metrics.connections_accepted.get() == 0 {
        assert!(freed.elapsed() < Duration::from_secs(1), "not accepting again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    clients[0].set_nonblocking(true).unwrap();
    let mut peer = Peer::over(TcpStream::from_std(clients.remove(0)).unwrap());
    peer.write(request("/hook", "x")).await;
    assert_eq!(peer.answer().await.status, 200);
}
