//! What a server has not done, and says so: sent once more, where and when it says.
//!
//! - `NOSCRIPT`: it does not know the script, so it is told first.
//! - `MOVED`: the slot is another node's now.
//! - `ASK`, `TRYAGAIN`: the slot is on its way to another node, key by key. Redis would take single keys there already
//!   (`ASKING`), but a script there would not find the keys that are still here, and would begin queues and lists anew that
//!   the ones on their way then collide with. So everything waits until the slot has arrived; a slot is quick to move.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, ErrorKind, Pipeline, RedisError, ServerErrorKind};
use tokio::time::{Instant, sleep};

use super::cluster::Node;
use super::connection::{Reply, pipeline};
use super::link::{Link, Live};
use super::script;

/// How long whoever asks waits for a slot that is on its way; longer ones take the shard down meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// Whether a command was not done and is to be sent again.
pub(super) fn is_undone(reply: &Reply) -> bool {
    reply.as_ref().is_err_and(|error| {
        let ErrorKind::Server(kind) = error.kind() else { return false };
        use ServerErrorKind::{Ask, Moved, NoScript, TryAgain};
        matches!(kind, NoScript | Moved | Ask | TryAgain)
    })
}

/// Sends what was not done until it is, or for as long as that may take.
///
/// # Errors
/// The connection broke: then what the commands did is unknown.
pub(super) async fn bring(
    link: &Link,
    mut live: Live,
    commands: &Pipeline,
    replies: &mut [Reply],
) -> Result<(), Arc<str>> {
    let begun = Instant::now();
    while let Some(error) = replies.iter().find(|reply| is_undone(reply)).and_then(|reply| reply.as_ref().err()) {
        if begun.elapsed() >= PATIENCE {
            return Ok(());
        }
        let mut loads = Vec::new();
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::NoScript) => {
                loads = script::all().into_iter().map(script::Script::load).collect();
            }
            ErrorKind::Server(ServerErrorKind::Moved) => match follow(link, &live, error).await? {
                Some(moved) => live = moved,
                // No cluster of ours.
                None => return Ok(()),
            },
            _ => sleep(PAUSE).await,
        }
        let count = loads.len();
        // Whoever waited for the replicas has waited for what was not written yet.
        let is_again: Vec<bool> =
            commands.cmd_iter().zip(&*replies).map(|(command, reply)| is_undone(reply) || is_wait(command)).collect();
        let undone = commands.cmd_iter().zip(&is_again).filter(|(_, is_again)| **is_again);
        let again = pipeline(loads.into_iter().chain(undone.map(|(command, _)| command.clone())));
        let answers = live.connection.all(&again).await.map_err(|error| link.broke(&live, &error))?;
        let mut answers = answers.into_iter().skip(count);
        for (reply, _) in replies.iter_mut().zip(is_again).filter(|(_, is_again)| *is_again) {
            if let Some(answer) = answers.next() {
                *reply = answer;
            }
        }
    }
    Ok(())
}

/// The connection to the node that has the slot now; whoever comes first makes it.
async fn follow(link: &Link, from: &Live, error: &RedisError) -> Result<Option<Live>, Arc<str>> {
    let asked = link.server();
    let asked = asked.rsplit_once(':').map_or("", |(host, _)| host);
    let to = error.redirect_node().and_then(|(address, _)| Node::redirected(address, asked));
    let Some(to) = to.filter(|_| link.config.cluster) else { return Ok(None) };
    let _turn = link.following.lock().await;
    let live = link.live()?;
    if live.epoch != from.epoch {
        return Ok(Some(live));
    }
    link.move_to(to).await?;
    link.live().map(Some)
}

fn is_wait(command: &Cmd) -> bool {
    matches!(command.args_iter().next(), Some(redis::Arg::Simple(b"WAIT" | b"WAITAOF")))
}
