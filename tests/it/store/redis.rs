//! The Redis engine passes the suite, against a real server.

use hookward::domain::Clock;
use hookward::store::redis::{Address, Config, Redis};

use super::world::{Factory, START};
use crate::support::RedisServer;

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

    fn with_shards(shards: u8) -> Self {
        Self { redis: RedisServer::start(), clock: Clock::manual(START), shards }
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
        let opening = Redis::open(self.config());
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(opening)).unwrap()
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }
}

super::suite::suite!(super::Server::start());

mod sharded {
    //! The same over several shards, but for what is only so within one of them: that the oldest of all comes first, that
    //! `queue_max` is exact, and that one claim tells how all of them stand.

    super::super::suite::suite!(@tests super::Server::with_shards(5);
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
        a_closed_store_takes_nothing
    );
}
