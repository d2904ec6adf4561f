//! What one engine holds goes to the other and back, and is the same there.

use std::time::Duration;

use hookward::domain::{DeadReason, DeliveryState, EventId, Next};
use hookward::records::moving::{self, MoveError, Moved};
use hookward::store::{
    Admission, Admitted, DedupMark, EventFilter, MarkClaimed, PageRequest, Store, StoreError, TargetTotals,
};

use super::cluster::Nodes;
use super::embedded::Folder;
use super::redis::Server;
use super::world::*;

const NAMES: &[&str] = &["crm", "log"];

/// A store with deliveries in every state, one event of which nobody wants, and a body that is not UTF-8.
async fn fill(factory: &impl Factory, store: &impl Store) {
    let clock = factory.clock();
    store.set_targets(&targets(NAMES));
    for number in 0..40 {
        let mut admission = admission(clock, &format!("e{number}"), &["crm", "log"]);
        if number == 7 {
            admission.event.body = b"\xff\x00 not text \r\n".as_slice().into();
            admission.event.query = None;
            admission.event.event_type = None;
        }
        if number == 8 {
            admission.plan.deliveries.clear();
        }
        if number == 9 {
            admission.plan.deliveries[0].expires_at = Some(clock.now().plus(Duration::from_secs(5)));
            admission.plan.deliveries[1].target = "nobody".into();
            admission.plan.deliveries[1].not_before = Some(clock.now().plus(Duration::from_secs(500)));
            admission.plan.deliveries[1].batch_key = Some("a".into());
        }
        store.admit(admission).await.unwrap();
        clock.advance(Duration::from_millis(3));
    }
    let claims = claim(store, "log", 12).await;
    let later = clock.now().plus(Duration::from_secs(60));
    for (at, claim) in claims.iter().enumerate() {
        let (status, next) = match at % 3 {
            0 => (200, Next::Succeeded),
            1 => (410, Next::Dead(DeadReason::Refused)),
            _ => (503, Next::RetryAt(later)),
        };
        store.settle(claim, settlement(clock, claim, status, next));
    }
    clock.advance(Duration::from_secs(60));
    // Claims of the same moment come in any order: the first of each of them ends, the rest waits once more.
    for claim in claim(store, "log", 40).await.into_iter().filter(|claim| claim.attempt == 2) {
        let next =
            if claim.id.seq().0 % 2 == 0 { Next::Succeeded } else { Next::RetryAt(later.plus(later.since(START))) };
        store.settle(&claim, settlement(clock, &claim, 200, next));
    }
    assert!(claim(store, "crm", 1).await.len() == 1, "one is in flight, and one of the others has expired");
    store.replay(claims[0].event.id, vec![planned("crm")]).await.unwrap();
    let rows = deliveries(store).await;
    let waiting = rows.iter().find(|row| &*row.target == "crm" && row.state == DeliveryState::Pending).unwrap();
    store.cancel(waiting.id).await.unwrap();
    store.keep_webhook(&super::webhooks::webhook(store, "a"), None).await.unwrap();
    let passed = DedupMark { key: key_of("passed"), window: WINDOW };
    let MarkClaimed::Ours(ours) = store.claim_mark(&"github".into(), passed, LEASE).await.unwrap() else { panic!() };
    store.commit_mark(&ours);
}

/// Every line but the first, in the order of the text; a line for each mark.
fn lines(text: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    for line in std::str::from_utf8(text).unwrap().lines().skip(1) {
        let parsed: serde_json::Value = serde_json::from_str(line).unwrap();
        match parsed.get("marks").and_then(serde_json::Value::as_array) {
            Some(marks) => lines.extend(marks.iter().map(serde_json::Value::to_string)),
            None => lines.push(line.to_owned()),
        }
    }
    lines.sort();
    lines
}

async fn export(store: &impl Store, factory: &impl Factory) -> (Vec<u8>, Moved) {
    let mut text = Vec::new();
    let moved = moving::export(store, factory.clock().now(), &mut text, |_| {}).await.unwrap();
    assert_eq!(moved.bytes, text.len() as u64);
    (text, moved)
}

async fn import(store: &impl Store, text: &[u8]) -> Result<Moved, MoveError> {
    let opening = moving::begin(text).unwrap();
    assert_eq!(opening.keys, store.keys(), "the same ids and marks");
    moving::import(store, opening, |_| {}).await
}

async fn all_events(store: &impl Store) -> Vec<EventId> {
    let page = PageRequest { limit: 100, after: None };
    store.events(EventFilter::default(), page).await.unwrap().rows.iter().map(|row| row.id).collect()
}

/// Everything of `from` is in `to`, and once only, however often the import was begun.
async fn everything_moves(from: &impl Factory, to: &impl Factory) {
    let old = from.open();
    fill(from, &old).await;
    let (text, exported) = export(&old, from).await;
    assert_eq!((exported.events, exported.damaged, exported.marks, exported.webhooks), (40, 0, 41, 1));
    to.clock().advance(from.clock().now().since(to.clock().now()));
    let new = to.open_with(old.keys());
    new.set_targets(&targets(NAMES));
    // Cut off in the middle of a line, then whole, then once more.
    let half = import(&new, &text[..text.len() / 2]).await;
    assert!(matches!(half, Err(MoveError::CutOff)), "{half:?}");
    let there = all_events(&new).await.len() as u64;
    assert!(there > 0 && there < 40, "what came before the cut is kept: {there}");
    assert_eq!(import(&new, &text).await.unwrap(), Moved { new: 40 - there, damaged: 0, ..exported });
    assert_eq!(import(&new, &text).await.unwrap(), Moved { new: 0, damaged: 0, ..exported });
    drop(new);
    let new = to.open();
    new.set_targets(&targets(NAMES));

    // What was in flight there is due here.
    let state = |row: &hookward::store::DeliveryRow| hookward::store::DeliveryRow {
        state: if row.state == DeliveryState::InFlight { DeliveryState::Pending } else { row.state },
        ..row.clone()
    };
    let (before, after) = (deliveries(&old).await, deliveries(&new).await);
    assert_eq!(after, before.iter().map(state).collect::<Vec<_>>());
    for id in all_events(&old).await {
        let (old, new) = (old.event(id).await.unwrap(), new.event(id).await.unwrap());
        assert_eq!(
            (new.received.body.clone(), &new.received.headers),
            (old.received.body.clone(), &old.received.headers)
        );
        assert_eq!(format!("{new:?}"), format!("{old:?}"));
    }
    for row in &before {
        assert_eq!(new.delivery(row.id).await.unwrap().1, old.delivery(row.id).await.unwrap().1);
    }
    assert_eq!(lines(&export(&new, to).await.0), lines(&text), "and from there it would go on the same");
    check_totals(&old, &new).await;
    assert_eq!(new.webhooks().await.unwrap(), old.webhooks().await.unwrap());

    // Copies are known, what is open is delivered, and what comes now is kept beside it.
    let copy = new.admit(admission(to.clock(), "e3", NAMES)).await.unwrap();
    assert!(matches!(copy, Admitted::Duplicate(first) if all_events(&old).await.contains(&first)), "{copy:?}");
    let passed = DedupMark { key: key_of("passed"), window: WINDOW };
    let found = new.claim_mark(&"github".into(), passed, LEASE).await.unwrap();
    assert!(matches!(found, MarkClaimed::Duplicate(_)), "{found:?}");
    let open = before.iter().filter(|row| &*row.target == "crm" && row.state.is_open()).count();
    let claims = claim(&new, "crm", 100).await;
    assert_eq!(claims.len(), open - 1, "but for the one that has expired, which nobody has looked at before");
    assert!(claims.iter().all(|claim| claim.attempt == 1));
    keep(&new, to.clock(), "fresh", NAMES).await;
    assert_eq!(claim(&new, "crm", 100).await.len(), 1);
}

async fn check_totals(old: &impl Store, new: &impl Store) {
    let (mut old, new) = (old.totals().await.unwrap(), new.totals().await.unwrap());
    assert_eq!(new.sources, old.sources);
    // A target of which nothing has ended or was attempted may have an entry or none.
    old.targets.retain(|_, totals| *totals != TargetTotals::default());
    for (name, totals) in old.targets {
        assert_eq!(new.targets.get(&name), Some(&totals), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_embedded_to_redis() {
    everything_moves(&Folder::new(), &Server::start()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_redis_to_embedded() {
    everything_moves(&Server::start(), &Folder::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_another_number_of_shards() {
    everything_moves(&Server::with_shards(5), &Server::with_shards(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_embedded_to_several_shards() {
    everything_moves(&Folder::new(), &Server::with_shards(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_one_server_to_a_cluster_and_back() {
    everything_moves(&Server::start(), &Nodes::start()).await;
    everything_moves(&Nodes::start(), &Server::start()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_another_folder_whose_index_is_built_anew() {
    let (from, to) = (Folder::new(), Folder::new());
    everything_moves(&from, &to).await;
    let before = deliveries(&to.open()).await;
    std::fs::remove_file(to.path.path().join("index.db")).unwrap();
    assert_eq!(deliveries(&to.open()).await, before);
}

/// What is no export, or not one of this store, is refused with the line that says so; nothing of it is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_named_by_its_line() {
    let folder = Folder::new();
    let store = folder.open();
    keep(&store, &folder.clock, "e1", &["crm"]).await;
    let text = String::from_utf8(export(&store, &folder).await.0).unwrap();
    let refused = |text: &str| moving::begin(text.as_bytes()).unwrap_err().to_string();
    assert!(refused("hello\n").starts_with("line 1: "));
    assert_eq!(
        refused(&text.lines().nth(1).map(|line| format!("{line}\n")).unwrap()),
        "line 1: this is not an export: it begins with another line"
    );
    assert!(refused(&text.replace("\"format\":1", "\"format\":2")).contains("it has format 2, this build reads 1"));
    for (from, to, reason) in [
        ("\"id\":\"evt_", "\"id\":\"evil_", "line 2: "),
        ("\"state\":\"pending\"", "\"state\":\"lost\"", "line 2: lost is not a state"),
        ("\"events\":1", "\"events\":2", "line 4: lines are missing"),
    ] {
        let other = Folder::new();
        let wrong = text.replace(from, to);
        let other = other.open_with(store.keys());
        let error = import(&other, wrong.as_bytes()).await.unwrap_err().to_string();
        assert!(error.starts_with(reason), "{error}");
    }
    let id = all_events(&store).await[0].to_string();
    let last = if id.ends_with('0') { '1' } else { '0' };
    let forged = text.replace(&id, &format!("{}{last}", &id[..id.len() - 1]));
    let error = import(&Folder::new().open_with(store.keys()), forged.as_bytes()).await.unwrap_err();
    assert!(error.to_string().contains("is not an id of the store that wrote the first line"), "{error}");
}

/// A mark that is too old to count is left out, an event of that age is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_marks_are_left_out() {
    let (from, to) = (Folder::new(), Server::start());
    let old = from.open();
    keep(&old, &from.clock, "e1", &["crm"]).await;
    let (text, _) = export(&old, &from).await;
    to.clock.advance(WINDOW * 2);
    let new = to.open_with(old.keys());
    assert_eq!(import(&new, &text).await.unwrap().new, 1);
    let admitted = new.admit(Admission { id: None, ..admission(&to.clock, "e1", &["crm"]) }).await.unwrap();
    assert!(matches!(admitted, Admitted::Kept(_)), "{admitted:?}");
    assert!(matches!(new.event(new.next_event_id(None)).await, Err(StoreError::NotFound)));
}
