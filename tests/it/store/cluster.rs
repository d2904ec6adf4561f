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
    super::super::suite::suite!(@sharded super::Nodes::start());
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
