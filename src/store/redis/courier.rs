//! A shard's courier: brings everything that waits in one pipeline, and the answers back.
//!
//! One pipeline at a time: while it is on its way the next one fills, so that the round trip and the server's sync are
//! shared by all who waited. In a pipeline errands come first, then marks, turns, admissions and claims: whoever asks sees what
//! was done before.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::time::{Instant, sleep};

use super::connection::Reply;
use super::engine::Shared;
use super::errand::{Errand, lease_text};
use super::jobs::{AdmitJob, ClaimJob, MarkJob, Planned, Taken, TurnJob, Verdict, millis};
use super::key::{Key, seq_text, time};
use super::lane::Lane;
use super::link::Trouble;
use super::outbox::Batch;
use super::standing::Offer;
use super::{replies, script};
use crate::domain::Timestamp;
use crate::store::AdmitError;

/// Between two looks at what waits while there is no connection.
const DOWN_PAUSE: Duration = Duration::from_millis(100);

/// Claims of one target with one lease, asked for together.
struct ClaimGroup {
    lease: u64,
    jobs: Vec<ClaimJob>,
}

/// Claims that go out with admissions, for workers that wait.
struct StandingClaim {
    lane: Arc<Lane>,
    offer: Offer,
    lease: u64,
}

/// Brings until the task is dropped.
pub(super) async fn run(shared: Arc<Shared>, shard: usize) {
    let link = shared.links.of(shard);
    let mut state = link.watch();
    loop {
        if let Err(reason) = link.live() {
            shared.outbox(shard).refuse(&reason);
            tokio::select! {
                () = shared.outbox(shard).called() => {}
                _ = state.changed() => {}
                () = sleep(DOWN_PAUSE) => {}
            }
            continue;
        }
        match shared.outbox(shard).take() {
            Some(batch) => bring(&shared, shard, batch).await,
            None => shared.outbox(shard).called().await,
        }
    }
}

async fn bring(shared: &Arc<Shared>, shard: usize, batch: Batch) {
    let Batch { errands, admissions, marks, turns, claims, flushes } = batch;
    let now = shared.clock.now();
    let base = shared.bases.get(shard);
    let groups = group(claims, shared);
    let news = shared.new_targets(shard, &admissions);
    let standing = standing(shared, &admissions);
    let mut commands: Vec<Cmd> = Vec::with_capacity(4);
    if !errands.is_empty() {
        commands.push(apply(shared, base, &errands, now));
    }
    if !marks.is_empty() {
        commands.push(claim_marks(base, &marks, now));
    }
    if !turns.is_empty() {
        commands.push(take_turns(base, &turns, now));
    }
    if !admissions.is_empty() {
        commands.push(admit(shared, base, &admissions, &news, &standing, now));
        if shared.replicas_min > 0 {
            commands.push(shared.links.of(shard).wait(shared.replicas_min));
        }
    }
    if !groups.is_empty() {
        commands.push(claim(shared, base, &groups, now));
    }
    let begun = Instant::now();
    let mut answers = match shared.links.of(shard).all(commands).await {
        Ok(answers) => answers.into_iter(),
        Err(reason) => {
            turns.into_iter().for_each(|job| drop(job.waiter.send(Err(Arc::clone(&reason)))));
            standing.iter().for_each(|claim| claim.lane.standing.give(claim.offer.most));
            return lost(shared, shard, admissions, marks, groups, flushes, &reason);
        }
    };
    let mut next = || answers.next().unwrap_or_else(|| Err(std::io::Error::other("an answer is missing").into()));
    let mut flushed = Ok(());
    if !errands.is_empty() {
        flushed = applied(shared, shard, &errands, next()).await;
    }
    if !marks.is_empty() {
        marks_claimed(shared, shard, marks, next());
    }
    if !turns.is_empty() {
        turns_taken(shared, shard, turns, next());
    }
    if !admissions.is_empty() {
        shared.metrics.commit_events.observe_number(admissions.len() as u64);
        shared.metrics.commit_duration.observe(begun.elapsed());
        let reply = next();
        let replicated = if shared.replicas_min > 0 { enough(shared.replicas_min, next()) } else { Ok(()) };
        let value = reply.map_err(|error| admit_error(shared.links.of(shard).trouble(&error)));
        match value.as_ref().map(replies::admitted) {
            Ok(Some((verdicts, granted))) => {
                shared.targets_known(shard, &news);
                let granted = kept(shared, shard, &admissions, &standing, verdicts, &granted);
                admitted(shared, shard, admissions, verdicts, &replicated, now);
                hand_out(standing, granted, now);
            }
            failed => {
                let error = failed.err().cloned().unwrap_or_else(strange);
                standing.iter().for_each(|claim| claim.lane.standing.give(claim.offer.most));
                admissions.into_iter().for_each(|job| job.answer(Verdict::Failed(error.clone())));
            }
        }
    }
    if !groups.is_empty() {
        claimed(shared, shard, groups, next());
    }
    flushes.into_iter().for_each(|flush| drop(flush.send(flushed.clone())));
}

// --- what is asked ---

fn apply(shared: &Shared, base: &str, errands: &[Errand], now: Timestamp) -> Cmd {
    let mut call = script::APPLY.on(base);
    call.number(time(now)).number(errands.len() as u64);
    for errand in errands {
        errand.write(&mut call, shared.bounds);
    }
    call.done()
}

fn claim_marks(base: &str, marks: &[MarkJob], now: Timestamp) -> Cmd {
    let mut call = script::MARK.on(base);
    call.number(time(now)).number(marks.len() as u64);
    for job in marks {
        job.write(&mut call);
    }
    call.done()
}

fn take_turns(base: &str, turns: &[TurnJob], now: Timestamp) -> Cmd {
    let mut call = script::TURN.on(base);
    call.number(turns.len() as u64);
    for job in turns {
        job.write(&mut call, now);
    }
    call.done()
}

/// What workers wait for of the targets of these events.
fn standing(shared: &Shared, jobs: &[AdmitJob]) -> Vec<StandingClaim> {
    let mut claims: Vec<StandingClaim> = Vec::new();
    for planned in jobs.iter().flat_map(|job| &job.planned) {
        if claims.iter().any(|claim| claim.lane.name == planned.target) {
            continue;
        }
        let lane = shared.lanes.lane(&planned.target);
        if let Some(offer) = lane.offer() {
            claims.push(StandingClaim { lane, offer, lease: shared.next_lease() });
        }
    }
    claims
}

fn admit(
    shared: &Shared,
    base: &str,
    jobs: &[AdmitJob],
    news: &[Arc<str>],
    standing: &[StandingClaim],
    now: Timestamp,
) -> Cmd {
    let mut call = script::ADMIT.on(base);
    call.number(time(now)).number(shared.bounds.marks_kept).number(news.len() as u64);
    for target in news {
        call.bytes(&**target);
    }
    call.number(standing.len() as u64);
    for StandingClaim { lane, offer, lease } in standing {
        call.bytes(&*lane.name).number(offer.most).bytes(lease_text(*lease)).number(time(now.plus(offer.lease)));
    }
    call.number(jobs.len() as u64);
    for job in jobs {
        call.bytes(seq_text(job.seq));
    }
    for job in jobs {
        job.write(&mut call);
    }
    call.done()
}

fn claim(shared: &Shared, base: &str, groups: &[ClaimGroup], now: Timestamp) -> Cmd {
    let mut call = script::CLAIM.on(base);
    call.number(time(now)).number(groups.len() as u64);
    for group in groups {
        let most: usize = group.jobs.iter().map(|job| job.most).sum();
        let Some(first) = group.jobs.first() else { continue };
        let ends_at = now.plus(Duration::from_millis(millis(first.lease)));
        call.bytes(&*first.target).number(most as u64).bytes(lease_text(group.lease)).number(time(ends_at));
        let lane = shared.lanes.lane(&first.target);
        call.number(lane.in_flight_max()).number(lane.is_ordered().into());
    }
    call.done()
}

/// One question a target, with a lease of its own.
fn group(claims: Vec<ClaimJob>, shared: &Shared) -> Vec<ClaimGroup> {
    let mut groups: Vec<ClaimGroup> = Vec::new();
    for job in claims {
        let same = |group: &&mut ClaimGroup| {
            group.jobs.first().is_some_and(|first| first.target == job.target && first.lease == job.lease)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.jobs.push(job),
            None => groups.push(ClaimGroup { lease: shared.next_lease(), jobs: vec![job] }),
        }
    }
    groups
}

// --- what came back ---

/// The answers are lost: nobody knows what was done.
fn lost(
    shared: &Shared,
    shard: usize,
    admissions: Vec<AdmitJob>,
    marks: Vec<MarkJob>,
    groups: Vec<ClaimGroup>,
    flushes: Vec<tokio::sync::oneshot::Sender<Result<(), Arc<str>>>>,
    reason: &Arc<str>,
) {
    let outbox = shared.outbox(shard);
    outbox.again();
    for job in admissions.into_iter().rev() {
        if job.is_repeated {
            job.answer(Verdict::Failed(AdmitError::Unavailable(Arc::clone(reason))));
        } else {
            outbox.admit_again(job);
        }
    }
    marks.into_iter().for_each(|job| drop(job.waiter.send(Err(AdmitError::Unavailable(Arc::clone(reason))))));
    let jobs = groups.into_iter().flat_map(|group| group.jobs);
    jobs.for_each(|job| drop(job.waiter.send(Err(Arc::clone(reason)))));
    flushes.into_iter().for_each(|flush| drop(flush.send(Err(Arc::clone(reason)))));
}

async fn applied(shared: &Shared, shard: usize, errands: &[Errand], reply: Reply) -> Result<(), Arc<str>> {
    let outbox = shared.outbox(shard);
    let value = match reply {
        Ok(value) => value,
        Err(error) => {
            let trouble = shared.links.of(shard).trouble(&error);
            if let Trouble::Other(reason) = trouble {
                // Again would be in vain: the deliveries come back when their leases end.
                tracing::error!(reason = &*reason, count = errands.len(), "outcomes could not be written");
                outbox.done();
                return Err(reason);
            }
            outbox.again();
            sleep(DOWN_PAUSE).await;
            return Err(trouble.words());
        }
    };
    outbox.done();
    for (target, at) in errands.iter().filter_map(Errand::wakes) {
        shared.lanes.lane(target).wake(shard, at);
    }
    if errands.iter().any(Errand::frees_mark) {
        shared.mark_freed.notify_waiters();
    }
    let unfinished = replies::array(&value).unwrap_or_default().iter().filter_map(replies::text);
    outbox.run_all(unfinished.map(|target| Errand::Hasten { target: target.into() }));
    Ok(())
}

fn marks_claimed(shared: &Shared, shard: usize, jobs: Vec<MarkJob>, reply: Reply) {
    let failed = |reply: &Reply| reply.as_ref().err().map(|error| admit_error(shared.links.of(shard).trouble(error)));
    let failure = failed(&reply);
    let value = reply.ok();
    let found = value.as_ref().and_then(replies::array).unwrap_or_default();
    for (at, job) in jobs.into_iter().enumerate() {
        let answer = found.get(at).and_then(replies::mark).ok_or_else(|| failure.clone().unwrap_or_else(strange));
        drop(job.waiter.send(answer));
    }
}

fn turns_taken(shared: &Shared, shard: usize, jobs: Vec<TurnJob>, reply: Reply) {
    let failure = reply.as_ref().err().map(|error| shared.links.of(shard).trouble(error).words());
    let value = reply.ok();
    let waits = value.as_ref().and_then(replies::array).unwrap_or_default();
    for (at, job) in jobs.into_iter().enumerate() {
        let wait = waits.get(at).and_then(replies::number).map(Duration::from_micros);
        let strange = || failure.clone().unwrap_or_else(|| "redis has answered something strange".into());
        drop(job.waiter.send(wait.ok_or_else(strange)));
    }
}

/// Whether so many replicas have what was written.
fn enough(replicas_min: u64, reply: Reply) -> Result<(), Arc<str>> {
    let value = reply.map_err(|error| Arc::from(format!("the replicas cannot be asked for: {error}")))?;
    // WAITAOF: on how many disks, the server's own first; WAIT: in how many memories.
    let (have, how) = match replies::array(&value) {
        Some([_own, replicas]) => (replies::number(replicas), "on disk (they need appendonly yes)"),
        _ => (replies::number(&value), "in memory"),
    };
    let have = have.unwrap_or(0);
    if have >= replicas_min {
        return Ok(());
    }
    Err(format!("{have} of {replicas_min} replicas have it {how}: see store.replicas_min").into())
}

/// Remembers events that were kept and wakes the lanes of their deliveries, but for those that went to standing claims:
/// which, for each claim.
fn kept(
    shared: &Shared,
    shard: usize,
    jobs: &[AdmitJob],
    standing: &[StandingClaim],
    verdicts: &Value,
    granted: &[Key],
) -> Vec<Vec<Taken>> {
    let mut taken: Vec<Vec<Taken>> = standing.iter().map(|_| Vec::new()).collect();
    // In the order of the events and of their deliveries, as the script went through them.
    let mut granted = granted.iter().peekable();
    for (at, job) in jobs.iter().enumerate() {
        if !matches!(replies::verdict_at(verdicts, at), Some((Verdict::Kept, _))) {
            continue;
        }
        shared.cache.keep(&job.event, job.planned.len());
        for (ordinal, planned) in (0..).zip(&job.planned) {
            let key = Key { seq: job.seq, ordinal };
            let Planned { due_at, expires_at, .. } = *planned;
            let mut claims = standing.iter().zip(&mut taken);
            match claims.find(|(claim, _)| claim.lane.name == planned.target) {
                Some((claim, taken)) if granted.next_if(|granted| **granted == key).is_some() => {
                    taken.push(Taken { key, attempts: 0, due_at, expires_at, lease: claim.lease });
                }
                _ => {
                    let looked_at = expires_at.map_or(due_at, |at| at.min(due_at));
                    shared.lanes.lane(&planned.target).wake(shard, looked_at);
                }
            }
        }
    }
    taken
}

fn hand_out(standing: Vec<StandingClaim>, granted: Vec<Vec<Taken>>, now: Timestamp) {
    for (StandingClaim { lane, offer, .. }, taken) in standing.into_iter().zip(granted) {
        lane.standing.give(offer.most.saturating_sub(taken.len() as u64));
        if !taken.is_empty() {
            lane.granted(taken, now);
        }
    }
}

fn admitted(
    shared: &Shared,
    shard: usize,
    jobs: Vec<AdmitJob>,
    verdicts: &Value,
    replicated: &Result<(), Arc<str>>,
    now: Timestamp,
) {
    for (at, job) in jobs.into_iter().enumerate() {
        let Some((verdict, rearmed)) = replies::verdict_at(verdicts, at) else {
            job.answer(Verdict::Failed(strange()));
            continue;
        };
        for target in rearmed {
            shared.lanes.lane(target).wake(shard, now);
        }
        match replicated {
            Ok(()) => job.answer(verdict),
            // It is kept, and perhaps not for long: the sender comes again, and then it is a copy that more may have.
            Err(reason) => job.answer(Verdict::Failed(AdmitError::Unavailable(Arc::clone(reason)))),
        }
    }
}

fn claimed(shared: &Shared, shard: usize, groups: Vec<ClaimGroup>, reply: Reply) {
    let value = match reply {
        Ok(value) => value,
        Err(error) => {
            let reason = shared.links.of(shard).trouble(&error).words();
            let jobs = groups.into_iter().flat_map(|group| group.jobs);
            jobs.for_each(|job| drop(job.waiter.send(Err(Arc::clone(&reason)))));
            return;
        }
    };
    let found = replies::array(&value).unwrap_or_default();
    for (at, group) in groups.into_iter().enumerate() {
        let Some((next, taken)) = found.get(at).and_then(|one| replies::claims(one, group.lease)) else { continue };
        let mut taken = taken.into_iter();
        for job in group.jobs {
            let target = Arc::clone(&job.target);
            shared.lanes.lane(&target).look_again(shard, next);
            let its: Vec<Taken> = taken.by_ref().take(job.most).collect();
            if let Err(Ok(unclaimed)) = job.waiter.send(Ok(its)) {
                shared.give_back(&target, unclaimed);
            }
        }
    }
}

fn admit_error(trouble: Trouble) -> AdmitError {
    match trouble {
        Trouble::Full => AdmitError::Full("redis is out of memory".into()),
        Trouble::Unusable(reason) | Trouble::Other(reason) => AdmitError::Unavailable(reason),
    }
}

fn strange() -> AdmitError {
    AdmitError::Unavailable("redis has answered something strange".into())
}
