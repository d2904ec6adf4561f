//! A lane's pump: waits for what is due, claims what free workers can take, and wakes the idle worker whose
//! connection is the warmest. Under load it sleeps: workers claim for themselves.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::Attempts;
use super::gate::Entry;
use super::lane::Lane;
use super::seat::Handed;
use crate::store::Store;
use crate::telemetry::task;

/// An idle worker ends, and closes its connection, after this.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// The same of a webhook's, of which there may be thousands; then its lane ends too.
const IDLE_ON_DEMAND_MAX: Duration = Duration::from_secs(10);

/// How often idle workers are looked at.
const SWEEP: Duration = Duration::from_secs(15);

/// How long a lane waits after the store or the lane itself failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// After so many wake-ups in a row that found nothing, with nobody who could have been quicker, the pump slows
/// down: nothing that a store says may make it spin.
const SPURIOUS_MAX: u32 = 16;

/// Runs a lane until it is stopped and its last attempt has ended. A panic in here starts it anew.
pub(super) async fn run<S: Store, A: Attempts>(lane: Arc<Lane<S, A>>) {
    while task::caught("lane", pump(&lane)).await.is_err() {
        lane.forget_idle();
        sleep(AFTER_FAILURE).await;
    }
}

async fn pump<S: Store, A: Attempts>(lane: &Arc<Lane<S, A>>) {
    let mut workers = JoinSet::new();
    let mut spurious: u32 = 0;
    let mut sweep = std::pin::pin!(sleep(SWEEP));
    let mut found_at = Instant::now();
    loop {
        match lane.enter() {
            Entry::Stopped => break,
            Entry::WhenChanged => lane.changed().await,
            Entry::NotBefore(when) => {
                tokio::select! {
                    biased;
                    () = lane.changed() => {}
                    () = sleep_until(when) => {}
                }
            }
            Entry::Seats(seats) => {
                let places = lane.places(seats).await;
                let seats = places.as_ref().map_or(seats, Vec::len);
                let mut places = places.unwrap_or_default();
                let Some(claims) = lane.claim_for(seats).await else {
                    sleep(AFTER_FAILURE).await;
                    continue;
                };
                let found = claims.len();
                for claim in claims {
                    if let Some(handed) = lane.hand_over(Handed { claim, place: places.pop() }) {
                        reap(&mut workers);
                        lane.employ(&mut workers, handed);
                    }
                }
                drop(places);
                if found > 0 {
                    found_at = Instant::now();
                }
                if found == seats {
                    continue;
                }
                spurious = if found == 0 && !lane.is_busy() { spurious.saturating_add(1) } else { 0 };
                if spurious > SPURIOUS_MAX {
                    sleep(Duration::from_millis(u64::from(spurious - SPURIOUS_MAX).min(50))).await;
                }
                tokio::select! {
                    biased;
                    () = lane.due() => {}
                    () = lane.changed() => {}
                    () = sweep.as_mut() => {
                        let idle_max = if lane.ends_when_idle() { IDLE_ON_DEMAND_MAX } else { IDLE_MAX };
                        if lane.ends_when_idle() && !lane.is_busy() && found_at.elapsed() > idle_max {
                            lane.stop();
                        }
                        lane.retire_idle(idle_max);
                        reap(&mut workers);
                        sweep.as_mut().reset(Instant::now() + SWEEP);
                    }
                }
            }
        }
    }
    while let Some(ended) = workers.join_next().await {
        note(ended);
    }
}

fn reap(workers: &mut JoinSet<()>) {
    while let Some(ended) = workers.try_join_next() {
        note(ended);
    }
}

fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a worker broke; its delivery comes back when its lease ends");
    }
}
