//! A Redis Cluster: masters with replicas, started, joined, and asked who is what.

use std::time::Instant;

use super::redis::{DURABLE, RedisServer};
use super::{PATIENCE, Port, eventually};

/// How many slots there are.
const SLOTS: usize = 16_384;

/// A node is given up after this: longer than a busy machine keeps a process waiting.
const NODE_TIMEOUT_MILLIS: &str = "2000";

/// Nodes that have found each other; killed when dropped.
#[derive(Debug)]
pub(crate) struct RedisCluster {
    /// The masters first, then a replica of each, then another, and so on, as they were at the start.
    pub(crate) nodes: Vec<RedisServer>,
    masters: usize,
    _buses: Vec<Port>,
}

// === impl RedisCluster ===

impl RedisCluster {
    /// Durable masters that share the slots evenly, each with so many replicas.
    pub(crate) async fn start(masters: usize, replicas: usize) -> Self {
        Self::start_with(masters, replicas, |_| Vec::new()).await
    }

    /// The same with more arguments for each node.
    pub(crate) async fn start_with(masters: usize, replicas: usize, more: impl Fn(usize) -> Vec<String>) -> Self {
        let buses: Vec<Port> = (0..masters * (1 + replicas)).map(|_| Port::take()).collect();
        let node = |(place, bus): (usize, &Port)| {
            let port = bus.address().port().to_string();
            let own =
                ["--cluster-enabled", "yes", "--cluster-port", &port, "--cluster-node-timeout", NODE_TIMEOUT_MILLIS];
            let replication = ["--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"];
            let more = more(place);
            let more: Vec<&str> = more.iter().map(String::as_str).collect();
            RedisServer::start_with(&[DURABLE, &own, &replication, &more].concat())
        };
        let cluster = Self { nodes: buses.iter().enumerate().map(node).collect(), masters, _buses: buses };
        cluster.join().await;
        cluster
    }

    async fn join(&self) {
        for (place, node) in self.nodes.iter().enumerate() {
            assert_eq!(node.ask(&format!("CLUSTER SET-CONFIG-EPOCH {}", place + 1)), "+OK\r\n");
            if place < self.masters {
                let (first, last) = (place * SLOTS / self.masters, (place + 1) * SLOTS / self.masters - 1);
                assert_eq!(node.ask(&format!("CLUSTER ADDSLOTSRANGE {first} {last}")), "+OK\r\n");
            }
            let (first, bus) = (self.nodes[0].address(), self._buses[0].address().port());
            assert_eq!(node.ask(&format!("CLUSTER MEET {} {} {bus}", first.ip(), first.port())), "+OK\r\n");
        }
        for node in &self.nodes {
            eventually("nodes that know each other", async || {
                let nodes = node.ask("CLUSTER NODES");
                let is_met = nodes.lines().filter(|line| line.contains(" connected")).count() == self.nodes.len();
                (is_met && !nodes.contains("handshake")).then_some(())
            })
            .await;
        }
        for (place, node) in self.nodes.iter().enumerate().skip(self.masters) {
            let master = id_of(&self.nodes[place % self.masters]);
            assert_eq!(node.ask(&format!("CLUSTER REPLICATE {master}")), "+OK\r\n");
        }
        self.is_whole().await;
    }

    /// Waits until every node says that all is well and who is whose replica, and every replica has all of its master.
    pub(crate) async fn is_whole(&self) {
        for node in &self.nodes {
            eventually("a cluster that is whole", async || {
                let is_ok = node.ask("CLUSTER INFO").contains("cluster_state:ok");
                let nodes = node.ask("CLUSTER NODES");
                let replicas = nodes.lines().filter(|line| line.contains("slave ") && !line.contains("fail")).count();
                let replication = node.ask("INFO replication");
                let keeps_up = replication.contains("role:master") || replication.contains("master_link_status:up");
                (is_ok && replicas == self.nodes.len() - self.masters && keeps_up).then_some(())
            })
            .await;
        }
    }

    /// The master that has a slot, as a place among `nodes`, as its own node says; waits where there is none.
    pub(crate) fn master_of(&self, slot: usize) -> usize {
        let start = Instant::now();
        loop {
            for (place, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.is_running()) {
                if node.ask("INFO replication").contains("role:master") && owns(&node.ask("CLUSTER NODES"), slot) {
                    return place;
                }
            }
            assert!(start.elapsed() < PATIENCE, "no master has slot {slot}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// From now on a slot is on its way from one node to another: neither takes scripts for it.
    pub(crate) fn begin_to_move(&self, slot: usize, from: usize, to: usize) {
        let (from, to) = (&self.nodes[from], &self.nodes[to]);
        assert_eq!(to.ask(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", id_of(from))), "+OK\r\n");
        assert_eq!(from.ask(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", id_of(to))), "+OK\r\n");
    }

    /// Moves every key of a slot that is on its way, as `redis-cli --cluster reshard` does, and gives the slot away.
    pub(crate) fn move_keys(&self, slot: usize, from: usize, to: usize) {
        let (from, to, to_id) = (&self.nodes[from], &self.nodes[to], id_of(&self.nodes[to]));
        loop {
            let found = from.ask(&format!("CLUSTER GETKEYSINSLOT {slot} 100"));
            let keys: Vec<&str> = found.lines().filter(|line| line.starts_with('{')).collect();
            if keys.is_empty() {
                break;
            }
            let (port, keys) = (to.address().port(), keys.join(" "));
            assert_eq!(from.ask(&format!("MIGRATE 127.0.0.1 {port} \"\" 0 5000 KEYS {keys}")), "+OK\r\n");
        }
        let others =
            self.nodes.iter().filter(|node| node.address() != from.address() && node.address() != to.address());
        for node in [to, from].into_iter().chain(others.take(self.masters - 2)) {
            assert_eq!(node.ask(&format!("CLUSTER SETSLOT {slot} NODE {to_id}")), "+OK\r\n");
        }
    }

    /// The `store` section of a gateway that uses it, with more settings behind.
    pub(crate) fn store(&self, settings: &str) -> String {
        self.nodes[0].store(&format!(", cluster: true{settings}"))
    }
}

/// A node's own name.
fn id_of(node: &RedisServer) -> String {
    node.ask("CLUSTER MYID").lines().nth(1).unwrap().to_owned()
}

/// Whether the node that said this of all nodes has the slot itself.
fn owns(nodes: &str, slot: usize) -> bool {
    let line = nodes.lines().find(|line| line.contains("myself,")).unwrap_or_default();
    line.split(' ').skip(8).any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        first.parse().is_ok_and(|first: usize| first <= slot) && last.parse().is_ok_and(|last: usize| slot <= last)
    })
}
