//! DNS rebinding: a name server that says one thing when a URL is saved and another when it is called.
//!
//! The system's resolver asks whom `/etc/resolv.conf` names, so the test runs once more in a mount namespace of its own,
//! where that file is the test's. `127.8.0.0/16` plays the public internet there, by `allow_private`; whatever else is
//! of this machine must not be called.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hookward::deliver::{Client, Endpoint, EndpointUrl, KeepSignatures, Parcel, Policy, UrlRefused, Vetting};
use hookward::domain::{Attempt, Clock, Event, HeaderBlock, IdMint, NewEvent, OutcomeClass, Seq, Timestamp};
use http::Method;
use std::io::{Read, Write};

use super::name_server::{Family, NameServer};

/// Set in the namespace; what it says is the name server's address.
const INSIDE: &str = "HOOKWARD_TEST_NAME_SERVER";

/// How often a name is called that flips.
const CALLS: usize = 20;

/// What may be called, and what must not.
pub(super) const PUBLIC: &str = "127.8.0.1";
const FORBIDDEN: [&str; 3] = ["127.0.0.1", "127.9.0.1", "::1"];

#[test]
fn no_answer_of_a_name_server_leads_to_an_address_that_may_not_be_called() {
    match std::env::var(INSIDE) {
        Ok(address) => inside(format!("{address}:53").parse().unwrap()),
        Err(_outside) => outside(),
    }
}

/// Runs this very test in a namespace, where the resolver asks the test's own server.
fn outside() {
    let folder = tempfile::tempdir().unwrap();
    let id = std::process::id().to_be_bytes();
    let server = format!("127.{}.{}.{}", 64 | (id[1] & 63), id[2], id[3] | 1);
    let resolver = folder.path().join("resolv.conf");
    std::fs::write(&resolver, format!("nameserver {server}\noptions timeout:2 attempts:2\n")).unwrap();
    let thread = std::thread::current();
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\""])
        .arg(&resolver)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", thread.name().unwrap(), "--nocapture"])
        .env(INSIDE, &server)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert!(said.contains("called at public addresses only"), "{said}");
}

/// A listener that answers every request with 200, and counts its connections.
fn listen(address: SocketAddr) -> std::io::Result<Arc<AtomicUsize>> {
    let listener = TcpListener::bind(address)?;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            // Whoever connects and says nothing has been counted too.
            let _bytes = stream.read(&mut request);
            let _told = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    Ok(count)
}

/// A port that is free at every address, with the counts of the public one and of the others.
pub(super) fn listeners() -> (u16, Arc<AtomicUsize>, Vec<Arc<AtomicUsize>>) {
    for _ in 0..50 {
        let probe = TcpListener::bind((PUBLIC, 0)).unwrap();
        let port = probe.local_addr().unwrap().port();
        drop(probe);
        let at = |address: &str| listen(SocketAddr::new(address.parse().unwrap(), port));
        if let (Ok(public), Ok(forbidden)) = (at(PUBLIC), FORBIDDEN.iter().map(|address| at(address)).collect()) {
            return (port, public, forbidden);
        }
    }
    panic!("no port is free at every address");
}

/// What the name server says. Names that flip say something else with every question for IPv4.
fn addresses(flips: &AtomicUsize, name: &str, family: Family) -> Vec<IpAddr> {
    let list = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
    let flip = |values: [&[&str]; 2]| list(values[flips.fetch_add(1, Ordering::SeqCst) % 2]);
    match (name.split('.').next().unwrap(), family) {
        ("steady", Family::V4) => list(&[PUBLIC]),
        ("flip", Family::V4) => flip([&[PUBLIC], &["127.0.0.1"]]),
        ("grow", Family::V4) => flip([&[PUBLIC], &[PUBLIC, "127.9.0.1"]]),
        ("both", Family::V4) => list(&[PUBLIC, "127.0.0.1"]),
        ("second", Family::V4) => list(&["127.9.0.1", PUBLIC]),
        ("six", Family::V4) => list(&[PUBLIC]),
        ("six", Family::V6) => list(&["::1"]),
        ("metadata", Family::V4) => list(&["169.254.169.254"]),
        ("zero", Family::V4) => list(&["0.0.0.0"]),
        ("mapped", Family::V6) => list(&["::ffff:127.0.0.1"]),
        ("compatible", Family::V6) => list(&["::127.0.0.1"]),
        ("nat64", Family::V6) => list(&["64:ff9b::127.0.0.1"]),
        ("local6", Family::V6) => list(&["fe80::1"]),
        ("nowhere", _) => Vec::new(),
        _ => Vec::new(),
    }
}

fn inside(server: SocketAddr) {
    let flips = AtomicUsize::new(0);
    let server = NameServer::start(server, move |name, family| Some(addresses(&flips, name, family)));
    let (port, public, forbidden) = listeners();
    let forbidden = || forbidden.iter().map(|count| count.load(Ordering::SeqCst)).sum::<usize>();
    let policy = Policy::public(["127.8.0.0/16".parse().unwrap()]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = |name: &str| format!("http://{name}.rebind.test:{port}/hook");
    // Each with a memory of its own: nothing that one look-up found serves the next.
    let vet = |name: &str| runtime.block_on(Vetting::default().vet(&url(name), &policy, Duration::from_secs(5)));
    let call = |name: &str, policy: &Policy| runtime.block_on(attempt(&url(name), policy));

    assert!(vet("steady").is_ok());
    assert_eq!(call("steady", &policy).status, Some(200));
    assert_eq!(public.load(Ordering::SeqCst), 1);
    assert!(vet("nowhere").is_ok(), "a name that is not known yet may be saved");
    assert_eq!(call("nowhere", &policy).outcome, OutcomeClass::Dns);

    for name in ["both", "second", "six", "metadata", "zero", "mapped", "compatible", "nat64", "local6"] {
        assert_eq!(vet(name).unwrap_err(), UrlRefused::Resolved, "{name}");
        refused(&call(name, &policy), name);
    }
    assert_eq!((public.load(Ordering::SeqCst), forbidden()), (1, 0), "one refused address is enough to call none");

    for name in ["flip", "grow"] {
        let (mut reached, mut turned_away, mut saved) = (0, 0, 0);
        for _ in 0..CALLS {
            // Saved while the name looks harmless, or not: the call is judged by itself.
            saved += usize::from(vet(name).is_ok());
            for _ in 0..3 {
                let attempt = call(name, &policy);
                if attempt.status == Some(200) {
                    reached += 1;
                } else {
                    refused(&attempt, name);
                    turned_away += 1;
                }
            }
        }
        assert!(
            reached >= CALLS && turned_away >= CALLS && saved >= CALLS / 4,
            "{name}: {reached} {turned_away} {saved}"
        );
        assert_eq!(forbidden(), 0, "{name}");
    }

    // The listeners do count: without a policy the same names lead there.
    let without: usize = (0..4).map(|_| usize::from(call("flip", &Policy::anywhere()).status == Some(200))).sum();
    assert_eq!((without, forbidden()), (4, 2));
    assert!(server.questions.load(Ordering::SeqCst) > 2 * CALLS);
    println!("called at public addresses only");
}

fn refused(attempt: &Attempt, name: &str) {
    let error = attempt.error.as_deref().unwrap_or_default();
    assert_eq!((attempt.outcome, attempt.status), (OutcomeClass::Connect, None), "{name}: {error}");
    assert!(error.contains(&format!("{name}.rebind.test")), "{error}");
    for secret in ["127.", "169.254", "::", "0.0.0.0", "private", "loopback"] {
        assert!(!error.contains(secret), "a customer reads this: {error}");
    }
}

async fn attempt(url: &str, policy: &Policy) -> Attempt {
    let client = Client::new(Clock::machine(), Arc::new(KeepSignatures));
    let mut endpoint = Endpoint::new(EndpointUrl::parse(url).unwrap());
    endpoint.policy = policy.clone();
    let seq = Seq::first_at(Timestamp(1_763_921_045_678));
    let received = NewEvent {
        source: "emitted".into(),
        source_event_id: None,
        event_type: None,
        project: "default".into(),
        received_at: seq.time(),
        method: Method::POST,
        query: None,
        headers: HeaderBlock::default(),
        body: Bytes::from_static(b"{}"),
        signed_at: None,
        secret_index: None,
    };
    let mint = IdMint::new([7; 16]);
    let event = Event { id: mint.event(seq), seq, received };
    let parcel = Parcel { event: &event, delivery: mint.delivery(seq, 0), attempt: 1 };
    client.attempt(&endpoint, &mut None, parcel, tokio::time::Instant::now()).await
}
