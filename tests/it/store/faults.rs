//! F05, F07, F12: a disk that fails, a disk that is full, a folder that cannot be used.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use hookward::domain::{Clock, DeliveryState, Next, Reason, Rejection};
use hookward::store::embedded::{Config, Durability, Embedded, OpenError};
use hookward::store::{AdmitError, Admitted, RejectedRequest, Retention, Store};

use super::embedded::Folder;
use super::world::*;

/// Set for the process that a test of this file runs under strace.
const CHILD: &str = "HOOKWARD_STORE_CHILD";

/// Admits one event after the other and prints what became of each. Only a child of [`f05`] runs it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_admits_until_told() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let mut config = Config::new(&path);
    config.disk_free_min = 0;
    let store = Embedded::open(config).unwrap();
    let clock = Clock::machine();
    for number in 0..12 {
        match store.admit(admission(&clock, &format!("e{number}"), &["crm"])).await {
            Ok(_) => println!("child e{number} kept"),
            Err(error) => println!("child e{number} refused: {error}"),
        }
    }
    println!("child health {:?}", store.health().reasons);
    std::process::exit(0);
}

#[test]
fn f05_after_a_failed_sync_nothing_is_acknowledged_and_a_restart_verifies() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    // The third and only failure: whoever asks again would be told that all is well.
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=9"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "store::faults::child_admits_until_told", "--nocapture"])
        .env(CHILD, folder.path())
        .stderr(Stdio::inherit())
        .output()
        .expect("strace is installed");
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.lines().filter_map(|line| line.split("child ").nth(1)).collect();
    let kept = lines.iter().filter(|line| line.ends_with("kept")).count();
    let first_refused = lines.iter().position(|line| line.contains("refused")).expect("one sync failed");
    assert_eq!(first_refused, kept, "after the failure nothing is acknowledged: {lines:?}");
    assert!(kept > 0 && kept < 12, "{lines:?}");
    assert!(lines[first_refused].contains("takes nothing"), "{lines:?}");
    assert!(lines.last().unwrap().contains("writing the journal"), "health says why: {lines:?}");

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = Config::new(folder.path());
        config.disk_free_min = 0;
        let store = Embedded::open(config).unwrap();
        store.set_targets(&targets(&["crm"]));
        let found = claim(&store, "crm", 100).await;
        assert!(found.len() >= kept, "what was acknowledged is there");
        for (number, claim) in found.iter().enumerate() {
            assert_eq!(claim.event.received.body, body_of(&format!("e{number}")));
        }
        keep(&store, &Clock::machine(), "after", &["crm"]).await;
    });
}

/// A file system of its own; unmounted when it goes.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(options: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder.path()).status();
        assert!(status.unwrap().success(), "this test must run as root, it mounts a small file system");
        Self(folder)
    }

    fn remount(&self, options: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.0.path()).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f07_a_full_disk_refuses_goes_on_delivering_and_recovers_by_itself() {
    let disk = Mounted::new("size=4m");
    let clock = Clock::manual(START);
    let mut config = Config::new(disk.0.path().join("store"));
    config.disk_free_min = 0;
    config.clock = clock.clone();
    let store = Embedded::open(config.clone()).unwrap();
    store.set_targets(&targets(&["crm"]));
    let mut kept = Vec::new();
    let mut refused = None;
    for number in 0..400 {
        let id = format!("e{number}");
        let mut admission = admission(&clock, &id, &["crm"]);
        admission.event.body = body_of(&id.repeat(400));
        match store.admit(admission).await {
            Ok(Admitted::Kept(_)) => kept.push(id),
            Ok(other) => panic!("{id}: {other:?}"),
            Err(error) => {
                refused = Some((id, error));
                break;
            }
        }
    }
    let (first_refused, error) = refused.expect("4 MiB are full at last");
    assert!(matches!(error, AdmitError::Full(_)), "{error}");
    assert!(!store.health().reasons.is_empty());
    // What is there is delivered and its outcome written meanwhile.
    let claims = claim(&store, "crm", 10).await;
    assert_eq!(claims.len(), 10);
    for claim in &claims {
        store.settle(claim, settlement(&clock, claim, 200, Next::Succeeded));
    }
    disk.remount("size=64m");
    let patience = std::time::Instant::now();
    while !store.health().reasons.is_empty() {
        assert!(patience.elapsed() < Duration::from_secs(10), "it does not recover: {:?}", store.health());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(matches!(store.admit(admission(&clock, &first_refused, &["crm"])).await, Ok(Admitted::Kept(_))));
    store.close().await.unwrap();
    drop(store);
    let store = Embedded::open(config).unwrap();
    store.set_targets(&targets(&["crm"]));
    assert_eq!(claim(&store, "crm", 1000).await.len(), kept.len() - 10 + 1);
    assert_eq!(store.health().damaged_records, 0);
}

/// Refused requests with bodies, as many as the ledger takes at a time.
async fn refuse_many(store: &Embedded, clock: &Clock) {
    for _ in 0..1000 {
        store.reject(RejectedRequest {
            source: Some("appmint".into()),
            rejection: Rejection::new(Reason::StoreFull, "the disk is full"),
            at: clock.now(),
            client: None,
            request_line: "POST /in".into(),
            headers: "".into(),
            body: vec![b'r'; 3000].into(),
        });
    }
    drop(store.rejections(Default::default(), FIRST_PAGE).await.unwrap());
}

/// Admits events until there is no room; how many were kept.
async fn fill(store: &Embedded, clock: &Clock, round: &str) -> usize {
    const AT_ONCE: usize = 250;
    let mut kept = 0;
    for batch in 0.. {
        let ids: Vec<String> = (0..AT_ONCE).map(|number| format!("{round}-{batch}-{number}")).collect();
        let outcomes = futures(ids.iter().map(|id| store.admit(admission(clock, id, &["crm"])))).await;
        let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(AdmitError::Full(_)))).count();
        kept += AT_ONCE - refused;
        if refused > 0 {
            break;
        }
    }
    kept
}

async fn deliver_all(store: &Embedded, clock: &Clock, kept: usize) {
    let mut delivered = 0;
    while delivered < kept {
        let claims = claim(store, "crm", 1000).await;
        assert!(!claims.is_empty(), "{delivered} of {kept}");
        for claim in &claims {
            store.settle(claim, settlement(clock, claim, 200, Next::Succeeded));
        }
        delivered += claims.len();
    }
}

/// A step of retention. One that finds no space has made some: it is tried again, as the gateway does.
async fn step(store: &Embedded, retention: Retention, freed: &mut u64, failed: &mut u32) {
    match store.sweep(retention).await {
        Ok(swept) => *freed += swept.bytes,
        Err(error) => {
            *failed += 1;
            assert!(*failed < 20, "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f07_a_store_that_has_filled_its_disk_starts_again_and_frees_it_by_itself() {
    let disk = Mounted::new("size=48m");
    let clock = Clock::manual(START);
    let mut config = Config::new(disk.0.path().join("store"));
    config.disk_free_min = 0;
    config.clock = clock.clone();
    let retention = Retention { events: Duration::from_secs(3600), rejections: WINDOW, bytes_max: None };
    let store = Embedded::open(config.clone()).unwrap();
    store.set_targets(&targets(&["crm"]));
    let mut kept = fill(&store, &clock, "first").await;
    assert!(kept > 1000, "{kept}");
    // What is refused meanwhile does not get the space that the store needs to become smaller.
    for _ in 0..8 {
        refuse_many(&store, &clock).await;
    }
    store.close().await.unwrap();
    drop(store);
    let store = Embedded::open(config).unwrap();
    store.set_targets(&targets(&["crm"]));
    kept += fill(&store, &clock, "second").await;
    deliver_all(&store, &clock, kept).await;
    clock.advance(retention.events * 2);
    let (mut freed, mut failed) = (0, 0);
    while freed < 10 << 20 || !store.health().reasons.is_empty() {
        step(&store, retention, &mut freed, &mut failed).await;
    }
    keep(&store, &clock, "after", &["crm"]).await;
    assert_eq!(store.health().damaged_records, 0);
}

/// Takes what is left of a disk, but for so many bytes.
fn fill_up(disk: &Mounted, left: u64) -> std::path::PathBuf {
    let path = disk.0.path().join("others");
    let file = std::fs::File::create(&path).unwrap();
    loop {
        let free = rustix::fs::statvfs(disk.0.path()).unwrap();
        let bytes = (free.f_bavail * free.f_frsize).saturating_sub(left);
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes.max(1)) {
            Ok(()) => return path,
            // The store took some in between.
            Err(rustix::io::Errno::NOSPC) if bytes > 0 => {}
            Err(error) => panic!("the disk cannot be filled: {error}"),
        }
    }
}

/// Waits until nothing is wrong with the store.
async fn well(store: &Embedded) {
    let patience = std::time::Instant::now();
    while !store.health().reasons.is_empty() {
        assert!(patience.elapsed() < Duration::from_secs(30), "it does not recover: {:?}", store.health());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn small(disk: &Mounted, clock: &Clock) -> Config {
    let mut config = Config::new(disk.0.path().join("store"));
    config.disk_free_min = 0;
    config.clock = clock.clone();
    config
}

async fn keep_many(store: &Embedded, clock: &Clock, count: usize) {
    let ids: Vec<String> = (0..count).map(|number| format!("e{number}")).collect();
    for some in ids.chunks(500) {
        let outcomes = futures(some.iter().map(|id| store.admit(admission(clock, id, &["crm"])))).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Admitted::Kept(_)))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f07_outcomes_that_find_no_space_wait_for_it() {
    let disk = Mounted::new("size=16m");
    let clock = Clock::manual(START);
    let store = Embedded::open(small(&disk, &clock)).unwrap();
    store.set_targets(&targets(&["crm"]));
    keep_many(&store, &clock, 100).await;
    let others = fill_up(&disk, 0);
    // Until the last journal file is full.
    while !store.health().reasons.iter().any(|reason| reason.contains("no space for a journal file")) {
        for claim in claim(&store, "crm", 100).await {
            store.settle(&claim, settlement(&clock, &claim, 500, Next::RetryAt(clock.now())));
        }
        tokio::task::yield_now().await;
    }
    let claims = claim(&store, "crm", 1000).await;
    assert_eq!(claims.len(), 100);
    let mut attempts: Vec<_> = claims.iter().map(|claim| claim.attempt).collect();
    for claim in &claims {
        store.settle(claim, settlement(&clock, claim, 200, Next::Succeeded));
    }
    std::fs::remove_file(others).unwrap();
    well(&store).await;
    let ended = deliveries(&store).await;
    assert_eq!(ended.iter().filter(|row| row.state == DeliveryState::Succeeded).count(), 100);
    let mut told: Vec<_> = ended.iter().map(|row| row.attempts).collect();
    told.sort_unstable();
    attempts.sort_unstable();
    assert_eq!(told, attempts);
    store.close().await.unwrap();
    drop(store);
    let store = Embedded::open(small(&disk, &clock)).unwrap();
    store.set_targets(&targets(&["crm"]));
    assert!(claim(&store, "crm", 1000).await.is_empty(), "no outcome was forgotten");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f07_retention_frees_a_disk_that_others_have_filled_to_the_last_byte() {
    let disk = Mounted::new("size=24m");
    let clock = Clock::manual(START);
    let store = Embedded::open(small(&disk, &clock)).unwrap();
    store.set_targets(&targets(&["crm"]));
    keep_many(&store, &clock, 6000).await;
    deliver_all(&store, &clock, 6000).await;
    assert_eq!(deliveries(&store).await.len(), FIRST_PAGE.limit);
    let others = fill_up(&disk, 0);
    // Behind their window, or their marks would be written anew.
    clock.advance(WINDOW * 2);
    let retention = Retention { events: Duration::from_secs(3600), rejections: WINDOW, bytes_max: None };
    let (mut freed, mut failed) = (0, 0);
    while freed == 0 || store.count_events().await.unwrap() > 0 {
        step(&store, retention, &mut freed, &mut failed).await;
    }
    // What it has given back may be less than what has to stay free for more.
    std::fs::remove_file(others).unwrap();
    well(&store).await;
    keep(&store, &clock, "after", &["crm"]).await;
    assert_eq!(store.health().damaged_records, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f07_a_start_goes_on_without_space_for_the_index() {
    let disk = Mounted::new("size=24m");
    let clock = Clock::manual(START);
    let store = Embedded::open(small(&disk, &clock)).unwrap();
    store.set_targets(&targets(&["crm"]));
    keep_many(&store, &clock, 12_000).await;
    let claims = claim(&store, "crm", 1000).await;
    for claim in &claims {
        store.settle(claim, settlement(&clock, claim, 200, Next::Succeeded));
    }
    store.close().await.unwrap();
    drop(store);
    std::fs::remove_file(disk.0.path().join("store/index.db")).unwrap();
    let others = fill_up(&disk, 1 << 20);
    let store = Embedded::open(small(&disk, &clock)).unwrap();
    store.set_targets(&targets(&["crm"]));
    let reasons = store.health().reasons;
    assert!(reasons.iter().any(|reason| reason.contains("the index cannot be written")), "{reasons:?}");
    assert!(matches!(store.admit(admission(&clock, "new", &["crm"])).await, Err(AdmitError::Full(_))));
    let open = claim(&store, "crm", 20_000).await;
    assert_eq!(open.len(), 12_000 - claims.len());
    for claim in &open {
        assert!(!claim.event.received.body.is_empty());
        store.settle(claim, settlement(&clock, claim, 200, Next::Succeeded));
    }
    std::fs::remove_file(others).unwrap();
    well(&store).await;
    let copy = store.admit(admission(&clock, "e11999", &["crm"])).await.unwrap();
    assert!(matches!(copy, Admitted::Duplicate(_)), "{copy:?}");
    assert_eq!(store.count_events().await.unwrap(), 12_000);
    store.close().await.unwrap();
    drop(store);
    let store = Embedded::open(small(&disk, &clock)).unwrap();
    store.set_targets(&targets(&["crm"]));
    assert!(claim(&store, "crm", 1000).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_a_folder_that_cannot_be_used_is_named() {
    let folder = Folder::new();
    let store = Embedded::open(folder.config()).unwrap();
    let error = Embedded::open(folder.config()).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, OpenError::InUse { .. }), "{text}");
    assert!(text.contains(&std::process::id().to_string()), "the holder is named: {text}");
    assert!(text.contains(folder.path.path().to_str().unwrap()), "{text}");
    drop(store);
    drop(Embedded::open(folder.config()).unwrap());

    let read_only = Mounted::new("size=4m");
    read_only.remount("ro");
    check_refused(&read_only.0.path().join("store"));
    let file = folder.path.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    check_refused(&file);
    check_refused(&file.join("below"));
}

#[track_caller]
fn check_refused(path: &Path) {
    let error = Embedded::open(Config::new(path)).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, OpenError::Folder { .. }), "{text}");
    assert!(text.contains(path.to_str().unwrap()) && text.contains("check"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_belong_to_their_owner_alone() {
    let folder = Folder::new();
    let mut config = folder.config();
    config.path = folder.path.path().join("new");
    let store = Embedded::open(config.clone()).unwrap();
    keep(&store, &folder.clock, "e1", &["crm"]).await;
    deliveries(&store).await;
    let mut seen = 0;
    let mut open = vec![config.path.clone()];
    while let Some(path) = open.pop() {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        seen += 1;
    }
    assert!(seen > 6);
}

/// How many of 50 events were acknowledged without a sync between their admission and their answer.
async fn acknowledged_without_a_sync(durability: Durability) -> usize {
    let folder = Folder::new();
    let config = Config { durability, ..folder.config() };
    let syncs = config.metrics.fsync_duration.clone();
    let store = Embedded::open(config.clone()).unwrap();
    let mut without = 0;
    for number in 0..50 {
        let before = syncs.count();
        keep(&store, &folder.clock, &format!("e{number}"), &["crm"]).await;
        without += usize::from(syncs.count() == before);
    }
    drop(store);
    let store = Embedded::open(config).unwrap();
    assert_eq!(deliveries(&store).await.len(), 50);
    without
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relaxed_durability_answers_before_the_sync_and_strict_after_it() {
    assert_eq!(acknowledged_without_a_sync(Durability::Strict).await, 0);
    // One in 200 ms may meet the sync that comes by itself; of a machine that stands still all could.
    assert!(acknowledged_without_a_sync(Durability::Relaxed).await > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relaxed_durability_syncs_soon_by_itself() {
    let folder = Folder::new();
    let config = Config { durability: Durability::Relaxed, ..folder.config() };
    let syncs = config.metrics.fsync_duration.clone();
    let store = Embedded::open(config).unwrap();
    let before = syncs.count();
    keep(&store, &folder.clock, "e1", &["crm"]).await;
    let patience = std::time::Instant::now();
    while syncs.count() == before {
        assert!(patience.elapsed() < Duration::from_secs(10), "never synced");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
