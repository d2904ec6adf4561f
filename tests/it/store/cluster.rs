//! The Redis engine passes the suite against a cluster too: masters that share the slots, and more shards than masters.

use hookward::domain::Clock;
use hookward::store::redis::{Address, Config, Redis};
use hookward::store::{Store, StoreKeys};

use super::world::{Factory, START, keep};
use crate::support::RedisCluster;

const MASTERS: usize = 3;
const SHARDS: u8 = 7;

/// A cluster and a clock; engines are opened at it again and again.
pub(super) struct Nodes {
    redis: RedisCluster,
    clock: Clock,
}

impl Nodes {
    pub(super) fn start() -> Self {
        let starting = RedisCluster::start(MASTERS, 0);
        let redis = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(starting));
        Self { redis, clock: Clock::manual(START) }
    }

    fn config(&self) -> Config {
        let mut config = Config::new(Address::parse(&self.redis.nodes[1].url()).unwrap());
        config.clock = self.clock.clone();
        config.cluster = true;
        config.shards = SHARDS;
        config
    }
}

fn open(config: Config) -> Redis {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(Redis::open(config))).unwrap()
}

impl Factory for Nodes {
    type Engine = Redis;

    fn open(&self) -> Redis {
        open(self.config())
    }

    fn open_with(&self, keys: StoreKeys) -> Redis {
        open(Config { new_keys: Some(keys), ..self.config() })
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }
}

/// As for several shards on one server: without what is only so within one of them.
mod conforms {
    super::super::suite::suite!(@tests super::Nodes::start();
        an_event_comes_back_byte_for_byte
        deliveries_are_attempted_until_they_succeed
        what_is_open_survives_a_reopening
        a_copy_is_a_duplicate_also_after_a_reopening
        a_copy_waits_for_the_first_ones_commit
        a_mark_counts_within_its_window_only
        a_claimed_mark_is_in_flight_then_committed_or_free
        a_committed_mark_survives_a_reopening_and_a_claim_does_not
        a_claim_ends_with_its_lease
        marks_of_kept_and_passed_events_are_the_same_marks
        a_duplicate_starts_dead_deliveries_again
        leases_that_end_give_the_delivery_back
        a_released_claim_counts_no_attempt
        unknown_and_paused_targets_are_held
        delayed_and_expiring_deliveries_keep_their_times
        hastened_deliveries_are_due_now
        redeliver_cancel_and_replay
        foreign_ids_are_not_found
        lists_page_and_filter
        rejections_are_kept_and_bounded
        totals_count_everything_for_good
        everything_of_a_target_is_cancelled_at_once
        lists_keep_projects_apart
        an_event_is_admitted_under_an_id_that_was_given_before
        webhooks_are_kept_changed_and_forgotten
        webhooks_are_named_when_something_is_due
        a_change_of_what_has_changed_meanwhile_is_refused
        a_closed_store_takes_nothing
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_has_its_share() {
    let nodes = Nodes::start();
    let store = nodes.open();
    for number in 0..200_u8 {
        // The shard is that of the mark, and the mark of these tests begins as the id does.
        let id = format!("{}{number}", char::from(b'!' + number % 90));
        keep(&store, &nodes.clock, &id, &["crm"]).await;
    }
    let events =
        |node: &crate::support::RedisServer| node.ask("KEYS *:e:*").lines().filter(|line| line.contains(":e:")).count();
    let shares: Vec<usize> = nodes.redis.nodes.iter().map(events).collect();
    assert_eq!(shares.iter().sum::<usize>(), 200);
    assert!(shares.iter().all(|share| *share >= 30), "{shares:?}");
    store.close().await.unwrap();
}
