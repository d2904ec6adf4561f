//! Every connection: one that all shards share, or in a cluster one a shard, to whichever node has its slot.
//!
//! A connection a shard and not a node: a shard that moves takes its connection with it, and a node that is gone takes
//! down the shards that it had and no others.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::Cmd;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::cluster::Cluster;
use super::config::{Config, OpenError};
use super::connection::Reply;
use super::identity::Identity;
use super::key::Bases;
use super::link::Link;

/// How long a start waits for the server.
const OPEN_MAX: Duration = Duration::from_secs(10);

/// Between two tries of a start.
const OPEN_PAUSE: Duration = Duration::from_millis(200);

/// All of them.
pub(super) struct Links(Vec<Arc<Link>>);

// === impl Links ===

impl Links {
    /// Connects; waits for a server that is just starting.
    ///
    /// # Errors
    /// [`OpenError`]. Of a cluster the first shard's node must be there; others may come later.
    pub(super) async fn open(config: &Config, bases: &Bases) -> Result<(Self, Identity), OpenError> {
        let cluster = config.cluster.then(|| Arc::new(Cluster::new(config.clone())));
        let (first, identity) = open_first(config, bases.get(0), cluster.as_ref()).await?;
        let mut links = vec![Arc::new(first)];
        if cluster.is_some() {
            for base in bases.iter().skip(1) {
                let link = Link::new(config.clone(), base, cluster.clone());
                match link.begin(Some(&identity)).await {
                    Ok(_) => {}
                    Err(error @ OpenError::Unreachable { .. }) => tracing::warn!(%error, "a shard cannot be used yet"),
                    Err(error) => return Err(error),
                }
                links.push(Arc::new(link));
            }
        }
        Ok((Self(links), identity))
    }

    /// Keeps all of them up.
    pub(super) fn supervise(&self, tasks: &mut JoinSet<()>) {
        for link in &self.0 {
            tasks.spawn(Arc::clone(link).supervise());
        }
    }

    /// The connection of a shard.
    pub(super) fn of(&self, shard: usize) -> &Arc<Link> {
        let link = self.0.get(shard).or_else(|| self.0.first());
        link.unwrap_or_else(|| unreachable!("there is always one"))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.0.iter()
    }

    /// Whether all shards have the same one.
    pub(super) fn is_one(&self) -> bool {
        self.0.len() == 1
    }

    /// Sends commands, each to its shard, and gives their answers in the same order.
    ///
    /// # Errors
    /// As [`Link::all`], of any of them.
    pub(super) async fn all(&self, commands: Vec<(usize, Cmd)>) -> Result<Vec<Reply>, Arc<str>> {
        if self.is_one() {
            return self.of(0).all(commands.into_iter().map(|(_, command)| command)).await;
        }
        let mut by_shard: HashMap<usize, (Vec<usize>, Vec<Cmd>)> = HashMap::new();
        let count = commands.len();
        for (place, (shard, command)) in commands.into_iter().enumerate() {
            let (places, its) = by_shard.entry(shard).or_default();
            places.push(place);
            its.push(command);
        }
        let mut asked = JoinSet::new();
        for (shard, (places, its)) in by_shard {
            let link = Arc::clone(self.of(shard));
            asked.spawn(async move { (places, link.all(its).await) });
        }
        let mut answers = Vec::with_capacity(count);
        while let Some(answered) = asked.join_next().await {
            let (places, replies) = answered.map_err(|error| Arc::<str>::from(error.to_string()))?;
            answers.extend(places.into_iter().zip(replies?));
        }
        answers.sort_unstable_by_key(|(place, _)| *place);
        Ok(answers.into_iter().map(|(_, reply)| reply).collect())
    }

    /// Why not everything can be used, each reason once.
    pub(super) fn reasons(&self) -> Vec<Arc<str>> {
        let mut reasons: Vec<Arc<str>> = Vec::new();
        for link in &self.0 {
            let down = link.live().err().map(|reason| if self.is_one() { reason } else { link.named(&reason) });
            for reason in down.into_iter().chain(link.memory.full()) {
                if !reasons.contains(&reason) {
                    reasons.push(reason);
                }
            }
        }
        reasons
    }

    /// Bytes of memory in use, of each server once.
    pub(super) fn bytes_used(&self) -> u64 {
        let servers: HashMap<_, _> = self.0.iter().map(|link| (link.server(), link.memory.used())).collect();
        servers.values().sum()
    }
}

async fn open_first(
    config: &Config,
    base: &str,
    cluster: Option<&Arc<Cluster>>,
) -> Result<(Link, Identity), OpenError> {
    let begun = Instant::now();
    loop {
        let link = Link::new(config.clone(), base, cluster.cloned());
        match link.begin(None).await {
            Ok(identity) => return Ok((link, identity)),
            Err(error @ OpenError::Unreachable { .. }) if begun.elapsed() < OPEN_MAX => {
                tracing::warn!(%error, "waiting for the store");
                sleep(OPEN_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}
