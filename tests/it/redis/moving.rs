//! `hookward export` and `import`: from a folder to Redis and back, as a person does it.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use hookward::domain::{Clock, HeaderBlock, NewEvent, Plan, PlannedDelivery};
use hookward::store::{Admission, DedupMark, Store as _};
use serde_json::{Value, json};

use crate::support::{
    Answer, Gateway, PATIENCE, RedisServer, Sender, Sink, appmint_to, event, event_of_bytes, eventually, hookward,
};

/// Events and body bytes of the move whose memory is measured: together far more than it may take.
const MANY_EVENTS: usize = 20_000;
const MANY_BODY_BYTES: usize = 8_000;

/// What moving may have in memory: a page of events in a few forms, SQLite's caches, the queues.
const PEAK_BYTES_MAX: u64 = 112 << 20;

/// Events of the move that is interrupted.
const EVENTS: usize = 3_000;

/// What a verb printed, as JSON.
#[track_caller]
fn run(arguments: &[&str]) -> Value {
    let output = hookward(arguments, &[]);
    assert!(output.status.success(), "{arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn refused(arguments: &[&str], why: &str) {
    let output = hookward(arguments, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains(why), "{arguments:?}\n{said}");
}

fn path(file: &Path) -> &str {
    file.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pending_moves_to_redis_and_back_with_every_byte() {
    let sink = Sink::start().await;
    sink.answer(|_| Answer::status(503));
    let slow = appmint_to(&[("crm", &sink)]).replace("[50ms, 50ms,", "[1h, 50ms,");
    let mut old = Gateway::start(&slow).await;
    let mut sender = Sender::new(&old);
    for number in 0..20 {
        assert_eq!(sender.send(&event(&format!("evt_{number}"), "payment.succeeded")).await.status, 200);
    }
    sink.wait_for(20).await;
    let first = &old.list("/v1/events").await[0];
    let (folder, config) = (old.folder().to_owned(), old.config_file());
    let file = folder.join("moved.ndjson");
    refused(&["export", "-c", path(&config), "-o", path(&file)], "is in use by process");
    old.terminate();
    old.ended().await;
    let said = run(&["export", "-c", path(&config), "-o", path(&file), "--json"]);
    assert_eq!((&said["events"], &said["open_deliveries"], &said["marks"]), (&20.into(), &20.into(), &20.into()));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "it holds what senders sent");
    refused(&["export", "-c", path(&config), "-o", path(&file)], "is there already");

    // Into Redis: two gateways go on with it.
    let redis = RedisServer::start();
    let new = Gateway::prepare(&(redis.store(", shards: 2") + &slow));
    let said = run(&["import", "-c", path(&new.config_file()), path(&file), "--json"]);
    assert_eq!((&said["events"], &said["new"]), (&20.into(), &20.into()));
    let said = run(&["import", "-c", path(&new.config_file()), path(&file), "--json"]);
    assert_eq!((&said["events"], &said["new"]), (&20.into(), &0.into()));
    let mut new = new;
    new.run().await;
    assert_eq!(&new.list("/v1/events").await[0], first, "the same ids");
    let copy = Sender::new(&new).send(&event("evt_7", "payment.succeeded")).await;
    assert!(copy.status == 200 && copy.is_duplicate(), "copies are known");
    new.terminate();
    new.ended().await;

    // And back, over a pipe, into a folder of its own.
    let back = Gateway::prepare(&slow);
    let exported = hookward(&["export", "-c", path(&new.config_file())], &[]);
    assert!(exported.status.success());
    let mut import = Command::new(env!("CARGO_BIN_EXE_hookward"));
    let import = import.args(["import", "-c", path(&back.config_file())]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut import = import.spawn().unwrap();
    import.stdin.take().unwrap().write_all(&exported.stdout).unwrap();
    let said = String::from_utf8(import.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.starts_with("20 events (20 of them new) with 20 open deliveries, 20 dedup marks"), "{said}");
    refused(&["import", "-c", path(&config), "/dev/null"], "this is not an export");
    let mut back = back;
    back.run().await;
    sink.answer(|_| Answer::status(200));
    let before = sink.count();
    for row in back.list("/v1/deliveries?limit=100").await {
        let again = back.post(&format!("/v1/deliveries/{}/redeliver", row["id"].as_str().unwrap()), &json!({})).await;
        assert!((200..300).contains(&again.status), "{again:?}");
    }
    let hits = sink.wait_for(before + 20).await;
    let mut bodies: Vec<_> = hits[before..].iter().map(|hit| hit.body.clone()).collect();
    let mut sent: Vec<_> = (0..20).map(|number| event(&format!("evt_{number}"), "payment.succeeded")).collect();
    bodies.sort();
    sent.sort_unstable();
    assert_eq!(bodies, sent);
    let signed = |hit: &crate::support::Hit| crate::support::sign(crate::support::SECRET, &hit.body);
    assert!(
        hits[before..].iter().all(|hit| hit.header("x-appmint-signature") == signed(hit)),
        "the signature verifies"
    );
}

/// Killed in the middle and made again: everything is there once, and is delivered once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_was_killed_is_simply_made_again() {
    let sink = Sink::start().await;
    let paused = |sink: &Sink| appmint_to(&[("crm", sink)]).replace("to: [crm]", "to: [crm], delay: 2s");
    let mut old = Gateway::start(&paused(&sink)).await;
    let mut sender = Sender::new(&old);
    for number in 0..EVENTS {
        let body = event_of_bytes(&format!("evt_{number}"), "payment.succeeded", 2_000);
        assert_eq!(sender.send(&body).await.status, 200);
    }
    old.kill();
    sink.quiet().await;
    let delivered = sink.count();
    let file = old.folder().join("moved.ndjson");
    run(&["export", "-c", path(&old.config_file()), "-o", path(&file), "--json"]);
    let redis = RedisServer::start();
    let mut new = Gateway::prepare(&(redis.store("") + &paused(&sink)));
    let mut import = Command::new(env!("CARGO_BIN_EXE_hookward"));
    let import = import.args(["import", "-c", path(&new.config_file()), path(&file)]).stdout(Stdio::null()).spawn();
    let mut import = import.unwrap();
    eventually("some of the events", async || (!redis.ask("ZCARD {hookward:0}:x").starts_with(":0")).then_some(()))
        .await;
    import.kill().unwrap();
    import.wait().unwrap();
    let there: usize = redis.ask("ZCARD {hookward:0}:x").trim_start_matches(':').trim().parse().unwrap();
    let said = run(&["import", "-c", path(&new.config_file()), path(&file), "--json"]);
    assert_eq!((&said["events"], &said["new"]), (&EVENTS.into(), &(EVENTS - there).into()));
    new.run().await;
    new.drained(PATIENCE).await;
    let open = said["open_deliveries"].as_u64().unwrap();
    let again = u64::try_from(sink.count() - delivered).unwrap();
    assert_eq!(again, open, "what was open, once");
    assert!(open > 0, "the old gateway had time for everything");
}

/// Runs a verb to its end and gives the most memory that it had.
#[track_caller]
fn peak_of(arguments: &[&str]) -> u64 {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hookward")).args(arguments).stdout(Stdio::null()).spawn().unwrap();
    let mut peak = 0;
    loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kibibytes.unwrap_or(0) * 1024);
        if let Some(ended) = child.try_wait().unwrap() {
            assert!(ended.success(), "{arguments:?}");
            return peak;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// Fills a gateway's folder, as fast as it takes events.
async fn fill(folder: &Path, events: usize) {
    let mut config = hookward::store::embedded::Config::new(folder);
    config.disk_free_min = 0;
    let store = Arc::new(hookward::store::embedded::Embedded::open(config).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for number in (worker..events).step_by(64) {
                store.admit(admission(number)).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    store.close().await.unwrap();
}

fn admission(number: usize) -> Admission {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.to_le_bytes());
    let delivery = PlannedDelivery {
        target: "crm".into(),
        route: 0,
        not_before: None,
        expires_at: None,
        order_key: None,
        batch_key: None,
    };
    Admission {
        id: None,
        event: NewEvent {
            source: "appmint".into(),
            source_event_id: Some(format!("evt_{number}").into()),
            event_type: Some("payment.succeeded".into()),
            project: "default".into(),
            received_at: Clock::machine().now(),
            method: http::Method::POST,
            query: None,
            headers: HeaderBlock::default(),
            body: event_of_bytes(&format!("evt_{number}"), "payment.succeeded", MANY_BODY_BYTES),
            signed_at: None,
            secret_index: None,
        },
        plan: Plan { deliveries: vec![delivery] },
        dedup: Some(DedupMark { key, window: std::time::Duration::from_secs(3600) }),
        also: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_holds_a_page_of_what_is_moved() {
    move_many(MANY_EVENTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a long run: by tests/redis, with five times as many events and the same memory"]
async fn long_run_of_moving() {
    move_many(5 * MANY_EVENTS).await;
}

async fn move_many(events: usize) {
    let sink = Sink::start().await;
    let (old, redis) = (Gateway::prepare(&appmint_to(&[("crm", &sink)])), RedisServer::start());
    fill(old.store(), events).await;
    let file = old.folder().join("moved.ndjson");
    let out = peak_of(&["export", "-c", path(&old.config_file()), "-o", path(&file)]);
    assert!(std::fs::metadata(&file).unwrap().len() > (events * MANY_BODY_BYTES) as u64);
    let new = Gateway::prepare(&(redis.store("") + &appmint_to(&[("crm", &sink)])));
    let into_redis = peak_of(&["import", "-c", path(&new.config_file()), path(&file)]);
    let back = Gateway::prepare(&appmint_to(&[("crm", &sink)]));
    let into_folder = peak_of(&["import", "-c", path(&back.config_file()), path(&file)]);
    let out_of_redis = peak_of(&["export", "-c", path(&new.config_file())]);
    let peaks = [out, into_redis, into_folder, out_of_redis];
    println!("peaks of {events} events: {:?} MiB", peaks.map(|bytes| bytes >> 20));
    assert!(peaks.iter().all(|peak| *peak > 0 && *peak < PEAK_BYTES_MAX), "{:?} MiB", peaks.map(|bytes| bytes >> 20));
}
