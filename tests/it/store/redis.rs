//! The Redis engine passes the suite, against a real server.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use hookward::domain::{Clock, DeliveryState, Next, Turn, Webhook};
use hookward::store::redis::{Address, Config, Redis};
use hookward::store::{Admission, Admitted, Claim, Store, StoreError, StoreKeys, TargetSettings, WebhooksChanged};

use super::world::{
    Factory, START, admission, body_of, claim, claim_one, deliveries, futures, keep, settlement, targets,
};
use crate::support::{Brand, RedisServer};

/// A server and a clock; engines are opened at it again and again.
pub(super) struct Server {
    pub(super) redis: RedisServer,
    pub(super) clock: Clock,
    shards: u8,
}

impl Server {
    pub(super) fn start() -> Self {
        Self::with_shards(1)
    }

    pub(super) fn with_shards(shards: u8) -> Self {
        Self { redis: RedisServer::start(), clock: Clock::manual(START), shards }
    }

    fn of(brand: Brand) -> Self {
        Self { redis: RedisServer::start_of(brand, &[]), clock: Clock::manual(START), shards: 1 }
    }

    fn open_as(&self, config: Config) -> Redis {
        let opening = Redis::open(config);
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(opening)).unwrap()
    }

    pub(super) fn config(&self) -> Config {
        let mut config = Config::new(Address::parse(&self.redis.url()).unwrap());
        config.clock = self.clock.clone();
        config.shards = self.shards;
        config
    }
}

impl Factory for Server {
    type Engine = Redis;

    fn open(&self) -> Redis {
        self.open_as(self.config())
    }

    fn open_with(&self, keys: StoreKeys) -> Redis {
        self.open_as(Config { new_keys: Some(keys), ..self.config() })
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }
}

super::suite::suite!(super::Server::start());

mod valkey {
    //! The same at Valkey.
    super::super::suite::suite!(super::super::Server::of(crate::support::Brand::Valkey));
}

mod redis_6 {
    //! The same at the oldest Redis that is supported.
    super::super::suite::suite!(super::super::Server::of(crate::support::Brand::Redis6));
}

/// What one gateway does to webhooks the others hear of, whichever change it was, and each once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_webhooks_are_told_to_other_gateways() {
    let server = Server::start();
    let (one, two) = (server.open(), server.open());
    let before = super::webhooks::webhook(&one, "a");
    one.keep_webhook(&before, None).await.unwrap();
    assert_eq!(two.webhooks().await.unwrap(), std::slice::from_ref(&before));
    let made = super::webhooks::webhook(&one, "b");
    one.keep_webhook(&made, None).await.unwrap();
    assert_eq!(two.changed_webhooks().await, WebhooksChanged::These(vec![made.id]));
    let changed = Webhook { url: "https://elsewhere.example/".into(), ..before.clone() };
    one.keep_webhook(&changed, Some(&before)).await.unwrap();
    one.forget_webhook(made.id).await.unwrap();
    let mut told = Vec::new();
    while told.len() < 2 {
        let WebhooksChanged::These(ids) = two.changed_webhooks().await else { panic!("a few only") };
        told.extend(ids);
    }
    assert_eq!(told, [changed.id, made.id]);
    assert_eq!((two.webhook(changed.id).await.unwrap(), two.webhook(made.id).await.unwrap()), (Some(changed), None));
    // A server that has lost everything, and then takes something new: whatever was known may be wrong.
    server.redis.ask("FLUSHALL");
    one.keep_webhook(&made, None).await.unwrap();
    assert_eq!(two.changed_webhooks().await, WebhooksChanged::All);
}

/// Many paused webhooks with something due hide none that is not paused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_webhooks_hide_no_others() {
    let server = Server::start();
    let store = server.open();
    let paused = |name: &str| TargetSettings {
        name: name.into(),
        queue_max: 10,
        paused: true,
        in_flight_max: None,
        ordered: false,
    };
    let names: Vec<String> = (0..600).map(|_| store.next_webhook_id().to_string()).collect();
    // Both know before there is anything: who looks meanwhile finds what flows.
    let other = server.open();
    for gateway in [&store, &other] {
        names.iter().for_each(|name| gateway.set_target(&paused(name)));
    }
    for some in names.chunks(100) {
        let to: Vec<&str> = some.iter().map(String::as_str).collect();
        keep(&store, &server.clock, &some[0], &to).await;
    }
    server.clock.advance(std::time::Duration::from_millis(5));
    let active = store.next_webhook_id().to_string();
    keep(&store, &server.clock, "e1", &[&active]).await;
    assert_eq!(other.stirred().await.iter().map(|name| &**name).collect::<Vec<_>>(), [&*active]);
}

/// Event and mark go into one shard, which the id names already: nothing is kept where they would be in two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_was_given_before_needs_the_shard_of_its_mark() {
    let server = Server::with_shards(5);
    let store = server.open();
    let mut kept = 0;
    let of_mark = store.next_event_id(admission(&server.clock, "e0", &[]).dedup.as_ref());
    let admitted = store.admit(Admission { id: Some(of_mark), ..admission(&server.clock, "e0", &["crm"]) }).await;
    assert_eq!(admitted.unwrap(), Admitted::Kept(of_mark), "it was given for this mark");
    for _ in 0..5 {
        let id = store.next_event_id(None);
        match store.admit(Admission { id: Some(id), ..admission(&server.clock, "e1", &["crm"]) }).await {
            Ok(admitted) => {
                assert_eq!(admitted, Admitted::Kept(id));
                kept += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains("needs store.shards: 1"), "{error}");
                assert!(matches!(store.event(id).await, Err(StoreError::NotFound)));
            }
        }
    }
    assert_eq!(kept, 1, "the shards come in turn, and the mark is in one of them");
    // Without a mark every shard will do; an id is taken once.
    let unmarked = |id| Admission { id: Some(id), dedup: None, ..admission(&server.clock, "e2", &["crm"]) };
    for _ in 0..5 {
        let id = store.next_event_id(None);
        assert_eq!(store.admit(unmarked(id)).await.unwrap(), Admitted::Kept(id));
        let again = store.admit(unmarked(id)).await.unwrap_err();
        assert!(again.to_string().contains("another event has this id"), "{again}");
    }
}

/// A burst at once, then the steady rate, together for all who have the store; a limit and a client each for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_are_taken_together() {
    let server = Server::with_shards(3);
    let stores = [server.open(), server.open()];
    let take = async |store: usize, limit: &str, client: u64| {
        let turn = Turn { limit: limit.into(), client, interval: Duration::from_secs(10), burst: 3 };
        stores[store].take_turn(turn).await.unwrap()
    };
    let seconds = Duration::from_secs;
    for store in [0, 1, 0] {
        assert_eq!(take(store, "a:0", 7).await, seconds(0));
    }
    assert_eq!((take(0, "a:0", 7).await, take(1, "a:0", 7).await), (seconds(10), seconds(10)));
    assert_eq!((take(0, "a:0", 8).await, take(1, "b:0", 7).await), (seconds(0), seconds(0)));
    server.clock.advance(seconds(4));
    assert_eq!(take(1, "a:0", 7).await, seconds(6));
    server.clock.advance(seconds(6));
    assert_eq!((take(1, "a:0", 7).await, take(0, "a:0", 7).await), (seconds(0), seconds(10)));
    server.clock.advance(seconds(30));
    for expected in [0, 0, 0, 10] {
        assert_eq!(take(0, "a:0", 7).await, seconds(expected));
    }
    assert!(stores[0].is_shared());
    // Who asks together is answered as if one had come after the other.
    let mut together = futures((0..5).map(|_| take(1, "c:0", 7))).await;
    together.sort_unstable();
    assert_eq!(together, [0, 0, 0, 10, 10].map(seconds));
    assert_eq!(take(0, "c:0", 7).await, seconds(10));
}

/// While somebody waits for a delivery, the event that is kept is his at once; what he does not fetch is for all again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_waits_for_is_claimed_as_it_is_kept() {
    let server = Server::start();
    let (store, other) = (server.open(), server.open());
    for gateway in [&store, &other] {
        gateway.set_targets(&targets(&["crm"]));
    }
    assert!(claim(&store, "crm", 2).await.is_empty());
    keep(&store, &server.clock, "e0", &["crm"]).await;
    assert_eq!(deliveries(&store).await[0].state, DeliveryState::Pending, "nobody waits");
    let first = claim_one(&store, "crm").await;
    store.settle(&first, settlement(&server.clock, &first, 200, Next::Succeeded));

    assert!(claim(&store, "crm", 2).await.is_empty());
    let mut due = pin!(store.due("crm"));
    poll_fn(|context| Poll::Ready(assert!(due.as_mut().poll(context).is_pending()))).await;
    for id in ["e1", "e2", "e3"] {
        keep(&store, &server.clock, id, &["crm"]).await;
    }
    due.await;
    let ids = |claims: &[Claim]| claims.iter().map(|claim| claim.event.received.body.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&claim(&other, "crm", 9).await), [body_of("e3")], "two were waited for");
    assert_eq!(ids(&claim(&store, "crm", 1).await), [body_of("e1")]);
    assert!(claim(&other, "crm", 9).await.is_empty());
    server.clock.advance(Duration::from_secs(1));
    other.due("crm").await;
    assert_eq!(ids(&claim(&other, "crm", 9).await), [body_of("e2")], "nobody had come for it");
}

/// Cancelling all ends more than one step of it, in every shard, and leaves the targets beside it alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_of_a_large_queue_is_cancelled() {
    const EVENTS: u64 = 2_500;
    let server = Server::with_shards(2);
    let store = server.open();
    store.set_targets(&targets(&["crm", "log"]));
    for number in 0..EVENTS {
        keep(&store, &server.clock, &format!("e{number}"), &["crm", "log"]).await;
    }
    assert_eq!(store.cancel_all("crm").await.unwrap(), EVENTS);
    assert_eq!(store.cancel_all("crm").await.unwrap(), 0);
    assert_eq!(store.target_totals("crm").await.unwrap().cancelled, EVENTS);
    assert_eq!(store.lane("crm").await.map(|lane| lane.pending), Some(0));
    assert_eq!(store.lane("log").await.map(|lane| lane.pending), Some(EVENTS));
    assert_eq!(store.lane("nobody").await, None);
}

mod sharded {
    //! The same over several shards, but for what is only so within one of them: that the oldest of all comes first, that
    //! `queue_max` is exact, and that one claim tells how all of them stand.

    super::super::suite::suite!(@sharded super::Server::with_shards(5));
}
