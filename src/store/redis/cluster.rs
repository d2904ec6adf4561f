//! A cluster: which node has which slot, asked of whichever node answers.
//!
//! One question serves all who ask at the same time, and the next one goes to another node: an answer may come from a
//! node that has not heard yet of a failover, or from the one that was cut off.
//!
//! `CLUSTER SLOTS` and not `CLUSTER SHARDS`, which came with 7.0: every server that speaks the protocol knows the former.

use std::fmt;
use std::io;
use std::time::Duration;

use redis::{RedisResult, Value};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::config::Config;
use super::connection::Connection;
use super::replies;
use super::settings::command;

/// How many slots a cluster has.
pub(super) const SLOTS: u16 = 16_384;

/// How long an answer serves all who ask.
const FRESH: Duration = Duration::from_millis(100);

/// What one node may take to answer before the next one is asked.
const NODE_MAX: Duration = Duration::from_millis(500);

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) host: Box<str>,
    pub(super) port: u16,
}

/// A cluster as it was last seen.
pub(super) struct Cluster {
    config: Config,
    seen: Mutex<Seen>,
}

struct Seen {
    /// Everybody who may be asked: the ones of the configuration, and all that these named.
    nodes: Vec<Node>,
    /// Whose turn it is.
    next: usize,
    answer: Option<(Instant, Vec<Range>)>,
}

/// Slots and the master that has them.
#[derive(Debug, PartialEq, Eq)]
struct Range {
    first: u16,
    last: u16,
    master: Node,
}

/// The slot of everything that begins with `{tag}`: its CRC16 (XMODEM), as the cluster specification has it.
pub(super) fn slot(tag: &str) -> u16 {
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 { shifted } else { shifted ^ 0x1021 }
        })
    });
    crc % SLOTS
}

// === impl Node ===

impl Node {
    /// Of `host:port`, as redirections name it; without a host it is the one that said so.
    pub(super) fn redirected(text: &str, said_by: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = if host.is_empty() { said_by } else { host };
        Some(Self { host: host.trim_matches(['[', ']']).into(), port: port.parse().ok()? })
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

// === impl Cluster ===

impl Cluster {
    /// The cluster that the configured nodes belong to.
    pub(super) fn new(config: Config) -> Self {
        let nodes = std::iter::once(&config.address).chain(&config.nodes).filter_map(super::Address::node).collect();
        Self { config, seen: Mutex::new(Seen { nodes, next: 0, answer: None }) }
    }

    /// The node that has this slot, as far as another one knows.
    ///
    /// # Errors
    /// No node answers, or none has the slot.
    pub(super) async fn home(&self, slot: u16) -> RedisResult<Node> {
        let mut seen = self.seen.lock().await;
        if seen.answer.as_ref().is_none_or(|(at, _)| at.elapsed() >= FRESH) {
            seen.answer = None;
            let ranges = self.ask(&mut seen).await?;
            seen.answer = Some((Instant::now(), ranges));
        }
        let ranges = seen.answer.as_ref().map(|(_, ranges)| ranges.as_slice()).unwrap_or_default();
        let range = ranges.iter().find(|range| (range.first..=range.last).contains(&slot));
        range.map(|range| range.master.clone()).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("no node of the cluster has slot {slot}")).into()
        })
    }

    /// Asks one after the other until one answers.
    async fn ask(&self, seen: &mut Seen) -> RedisResult<Vec<Range>> {
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "no node of the cluster is known").into();
        for _ in 0..seen.nodes.len() {
            let Some(node) = seen.nodes.get(seen.next % seen.nodes.len()).cloned() else { break };
            seen.next = seen.next.wrapping_add(1);
            let late = || io::Error::new(io::ErrorKind::TimedOut, "the node does not answer in time").into();
            match timeout(NODE_MAX, self.ask_one(&node)).await.unwrap_or_else(|_| Err(late())) {
                Ok((ranges, nodes)) => {
                    for found in nodes {
                        if !seen.nodes.contains(&found) {
                            seen.nodes.push(found);
                        }
                    }
                    return Ok(ranges);
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn ask_one(&self, node: &Node) -> RedisResult<(Vec<Range>, Vec<Node>)> {
        let mut connection = Connection::open_at(&self.config, node).await?;
        let answer = connection.one(&command("CLUSTER", &["SLOTS"])).await?;
        Ok(read(&answer, &node.host))
    }
}

/// Who has what, and who is there at all, of the answer to `CLUSTER SLOTS` that the node at `host` gave.
fn read(answer: &Value, host: &str) -> (Vec<Range>, Vec<Node>) {
    let (mut ranges, mut nodes) = (Vec::new(), Vec::new());
    for entry in replies::array(answer).unwrap_or_default() {
        let Some([first, last, found @ ..]) = replies::array(entry) else { continue };
        let found: Vec<Node> = found.iter().filter_map(|one| node(one, host)).collect();
        let slot = |value: &Value| u16::try_from(replies::number(value)?).ok();
        if let (Some(first), Some(last), Some(master)) = (slot(first), slot(last), found.first()) {
            ranges.push(Range { first, last, master: master.clone() });
        }
        nodes.extend(found);
    }
    (ranges, nodes)
}

/// One node; without a name of its own it is reached like the one that was asked.
fn node(value: &Value, asked: &str) -> Option<Node> {
    let [host, port, ..] = replies::array(value)? else { return None };
    let host = replies::text(host).filter(|host| !host.is_empty() && *host != "?").unwrap_or(asked);
    Some(Node { host: host.into(), port: u16::try_from(replies::number(port)?).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // The specification's own example, and what `CLUSTER KEYSLOT` of a server says.
        assert_eq!(slot("123456789"), 0x31c3);
        assert_eq!((slot("foo"), slot("hookward:0"), slot("")), (12_182, 1_929, 0));
    }

    #[test]
    fn an_answer_names_masters_and_everybody_who_can_be_asked() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let one = |host: Value, port| Value::Array(vec![host, Value::Int(port), text("id"), Value::Array(Vec::new())]);
        let range =
            |first, last, nodes: Vec<Value>| Value::Array([vec![Value::Int(first), Value::Int(last)], nodes].concat());
        let answer = Value::Array(vec![
            range(0, 5460, vec![one(text("10.0.0.1"), 7000), one(text("10.0.0.4"), 7003)]),
            range(5461, 16_383, vec![one(Value::Nil, 7001)]),
            range(9, 9, vec![]),
        ]);
        let node = |host: &str, port| Node { host: host.into(), port };
        let (ranges, nodes) = read(&answer, "asked");
        let expected = [
            Range { first: 0, last: 5460, master: node("10.0.0.1", 7000) },
            Range { first: 5461, last: 16_383, master: node("asked", 7001) },
        ];
        assert_eq!(ranges, expected);
        assert_eq!(nodes, [node("10.0.0.1", 7000), node("10.0.0.4", 7003), node("asked", 7001)]);
        assert_eq!(read(&Value::Nil, "asked"), (Vec::new(), Vec::new()));
    }

    #[test]
    fn a_redirection_names_a_node() {
        let node = |host: &str| Some(Node { host: host.into(), port: 7000 });
        assert_eq!(Node::redirected("10.0.0.1:7000", "asked"), node("10.0.0.1"));
        assert_eq!(Node::redirected(":7000", "asked"), node("asked"));
        assert_eq!(Node::redirected("::1:7000", "asked"), node("::1"));
        assert_eq!(Node::redirected("nonsense", "asked"), None);
    }
}
