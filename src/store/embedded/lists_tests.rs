//! Lists against an oracle: whatever has happened, each filter finds what a look at every single row finds. Zones have 16
//! events here, and a page looks at 100 rows at most.
//!
//! How many rows they look at: [`lists_visits_tests`](super::lists_visits_tests).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use proptest::prelude::*;

use super::{Config, Embedded};
use crate::domain::{
    Attempt, Clock, DeadReason, DeliveryState, EventId, HeaderBlock, NewEvent, Next, OutcomeClass, Plan,
    PlannedDelivery, Settlement, Timestamp,
};
use crate::store::query::Listed;
use crate::store::{
    Admission, Admitted, DedupMark, DeliveryFilter, DeliveryRow, EventFilter, EventRow, Page, PageRequest, Retention,
    Store, StoreError, TargetSettings,
};

const SOURCES: [&str; 3] = ["github", "stripe", "rare"];
const TYPES: [&str; 3] = ["push", "paid", "odd"];
const TARGETS: [&str; 3] = ["crm", "log", "audit"];
/// Those of one source belong to the second.
const PROJECTS: [&str; 2] = ["default", "other"];
pub(super) const START: Timestamp = Timestamp(1_767_225_600_000);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What may happen to a store.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// So many events of a source and a type, to these targets.
    Admit {
        count: u8,
        source: usize,
        event_type: Option<usize>,
        targets: BTreeSet<usize>,
    },
    /// Deliveries of a target are attempted, and this comes of it: 0 success, 1 dead, 2 once more.
    Settle {
        target: usize,
        count: u8,
        outcome: u8,
    },
    Redeliver {
        which: prop::sample::Index,
    },
    Cancel {
        which: prop::sample::Index,
    },
    Replay {
        which: prop::sample::Index,
        target: usize,
    },
    /// Everything that was written so far is indexed as one fold.
    Index,
    Wait {
        seconds: u32,
    },
    Reopen,
    Rebuild,
    Sweep {
        days: u32,
    },
}

/// A store on a clock of its own, and what was sent to it.
pub(super) struct World {
    folder: tempfile::TempDir,
    clock: Clock,
    store: Option<Embedded>,
    events: Vec<EventId>,
    sent: u64,
}

impl World {
    pub(super) fn new() -> Self {
        let clock = Clock::manual(START);
        let folder = tempfile::tempdir().unwrap();
        let mut world = Self { folder, clock, store: None, events: Vec::new(), sent: 0 };
        world.open();
        world
    }

    fn open(&mut self) {
        self.store = None;
        let mut config = Config::new(self.folder.path());
        (config.clock, config.bytes_max) = (self.clock.clone(), Some(8 * 1024 * 1024));
        config.disk_free_min = 0;
        let store = Embedded::open(config).unwrap();
        let settings = |name: &&str| TargetSettings {
            name: Arc::from(*name),
            queue_max: 40,
            paused: *name == "audit",
            in_flight_max: None,
            ordered: false,
        };
        store.set_targets(&TARGETS.iter().map(settings).collect::<Vec<_>>());
        self.store = Some(store);
    }

    pub(super) fn store(&self) -> &Embedded {
        self.store.as_ref().unwrap()
    }

    pub(super) async fn admit(&mut self, source: &str, event_type: Option<&str>, targets: impl Iterator<Item = &str>) {
        self.sent += 1;
        let mut key = [0; 16];
        key[..8].copy_from_slice(&super::key::mix(self.sent).to_be_bytes());
        let event = NewEvent {
            source: source.into(),
            source_event_id: Some(format!("id-{}", self.sent).into()),
            event_type: event_type.map(Box::from),
            project: if source == "stripe" { PROJECTS[1] } else { PROJECTS[0] }.into(),
            received_at: self.clock.now(),
            method: Method::POST,
            query: None,
            headers: HeaderBlock::default(),
            body: Bytes::from_static(b"{}"),
            signed_at: None,
            secret_index: None,
        };
        let deliveries = targets.map(planned).collect();
        let dedup = Some(DedupMark { key, window: DAY });
        let admission = Admission { id: None, event, plan: Plan { deliveries }, dedup, also: None };
        let Ok(Admitted::Kept(id)) = self.store().admit(admission).await else { panic!("not kept") };
        self.events.push(id);
        self.clock.advance(Duration::from_millis(self.sent % 3));
    }

    pub(super) async fn take(&mut self, step: Step) {
        match step {
            Step::Admit { count, source, event_type, targets } => {
                for _ in 0..count {
                    let targets = targets.iter().map(|target| TARGETS[*target]);
                    self.admit(SOURCES[source], event_type.map(|at| TYPES[at]), targets).await;
                }
            }
            Step::Settle { target, count, outcome } => {
                let store = self.store();
                for claim in store.claim(TARGETS[target], count.into(), DAY).await.unwrap() {
                    let next = match outcome {
                        0 => Next::Succeeded,
                        1 => Next::Dead(DeadReason::Refused),
                        _ => Next::RetryAt(self.clock.now().plus(Duration::from_secs(60))),
                    };
                    store.settle(&claim, settlement(&self.clock, claim.attempt, next));
                }
            }
            Step::Redeliver { which } => self.edit(which, async |store, id| store.redeliver(id).await).await,
            Step::Cancel { which } => self.edit(which, async |store, id| store.cancel(id).await).await,
            Step::Replay { which, target } => {
                if !self.events.is_empty() {
                    let event = *which.get(&self.events);
                    match self.store().replay(event, vec![planned(TARGETS[target])]).await {
                        Ok(_) | Err(StoreError::NotFound) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            Step::Index => {
                self.store().flush_index().await;
            }
            Step::Wait { seconds } => self.clock.advance(Duration::from_secs(seconds.into())),
            Step::Reopen => self.open(),
            Step::Rebuild => {
                self.store = None;
                std::fs::remove_file(self.folder.path().join("index.db")).unwrap();
                self.open();
            }
            Step::Sweep { days } => {
                let events = DAY * days;
                for _ in 0..50 {
                    let retention = Retention { events, rejections: DAY, bytes_max: None };
                    if !self.store().sweep(retention).await.unwrap().more {
                        break;
                    }
                }
            }
        }
    }

    async fn edit(
        &self,
        which: prop::sample::Index,
        edit: impl AsyncFn(&Embedded, crate::domain::DeliveryId) -> Result<(), StoreError>,
    ) {
        if self.events.is_empty() {
            return;
        }
        let event = *which.get(&self.events);
        match edit(self.store(), self.store().mint().delivery(event.seq(), 0)).await {
            Ok(()) | Err(StoreError::NotFound | StoreError::Conflict(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Every event and every delivery that is there, newest first, each looked up by its id.
    async fn all(&self) -> (Vec<EventRow>, Vec<DeliveryRow>) {
        let (mut events, mut deliveries) = (Vec::new(), Vec::new());
        for (number, id) in self.events.iter().enumerate().rev() {
            let filter =
                EventFilter { source_event_id: Some(format!("id-{}", number + 1).into()), ..Default::default() };
            let row = self.store().events(filter, PageRequest { limit: 1, after: None }).await.unwrap().rows.pop();
            let whole = self.store().event(*id).await;
            assert_eq!(row.is_some(), whole.is_ok(), "found by the sender's id and by ours");
            let Some(row) = row else { continue };
            let mut its = Vec::new();
            while let Ok((delivery, _)) =
                self.store().delivery(self.store().mint().delivery(id.seq(), its.len() as u16)).await
            {
                its.push(delivery);
            }
            assert_eq!(usize::from(row.deliveries), its.len());
            deliveries.extend(its.into_iter().rev());
            events.push(row);
        }
        (events, deliveries)
    }

    async fn check(&self) {
        let (events, deliveries) = self.all().await;
        let middle = events.get(events.len() / 2).map(|row| row.received_at);
        for created in [(None, None), (middle, None), (None, middle), (middle, middle)] {
            for event_type in options(&TYPES) {
                for source in options(&SOURCES) {
                    self.check_events(&events, [&source, &event_type, &None], created).await;
                }
                for project in options(&PROJECTS) {
                    self.check_events(&events, [&None, &event_type, &project], created).await;
                }
                for target in options(&TARGETS) {
                    for source in options(&SOURCES[1..2]) {
                        self.check_deliveries(&deliveries, [&source, &event_type, &target, &None], created).await;
                    }
                    let project = Some(PROJECTS[usize::from(created.0.is_some())].into());
                    self.check_deliveries(&deliveries, [&None, &event_type, &target, &project], created).await;
                }
            }
        }
        for event in self.events.iter().step_by(7) {
            let filter = DeliveryFilter { event: Some(*event), ..Default::default() };
            let found = self.store().deliveries(filter, PageRequest { limit: 100, after: None }).await.unwrap().rows;
            let expected: Vec<_> = deliveries.iter().filter(|row| row.event == *event).cloned().collect();
            assert_eq!(found, expected);
        }
    }

    async fn check_events(
        &self,
        all: &[EventRow],
        [source, event_type, project]: [&Option<Box<str>>; 3],
        (created_gte, created_lte): (Option<Timestamp>, Option<Timestamp>),
    ) {
        let fits = |row: &&EventRow| {
            source.is_none_or_equal(Some(&row.source))
                && event_type.is_none_or_equal(row.event_type.as_deref())
                && project.is_none_or_equal(Some(&row.project))
                && is_within(row.id.seq().time(), created_gte, created_lte)
        };
        let expected: Vec<_> = all.iter().filter(fits).cloned().collect();
        let (source, event_type, project) = (source.clone(), event_type.clone(), project.clone());
        let filter = EventFilter { source, event_type, project, created_gte, created_lte, ..EventFilter::default() };
        let list = async |page| self.store().events(filter.clone(), page).await;
        let found = pages(list, |row| (row.id.seq(), 0), |id| (id.seq(), 0)).await;
        assert_eq!(found, expected, "{filter:?}");
    }

    async fn check_deliveries(
        &self,
        all: &[DeliveryRow],
        [source, event_type, target, project]: [&Option<Box<str>>; 4],
        (created_gte, created_lte): (Option<Timestamp>, Option<Timestamp>),
    ) {
        for state in DeliveryState::ALL.into_iter().map(Some).chain([None]) {
            let fits = |row: &&DeliveryRow| {
                target.is_none_or_equal(Some(&row.target))
                    && source.is_none_or_equal(Some(&row.source))
                    && event_type.is_none_or_equal(row.event_type.as_deref())
                    && project.is_none_or_equal(Some(&row.project))
                    && state.is_none_or(|state| state == row.state)
                    && is_within(row.event.seq().time(), created_gte, created_lte)
            };
            let expected: Vec<_> = all.iter().filter(fits).cloned().collect();
            let (source, event_type, target) = (source.clone(), event_type.clone(), target.clone());
            let filter = DeliveryFilter {
                project: project.clone(),
                source,
                target,
                state,
                event_type,
                created_gte,
                created_lte,
                ..DeliveryFilter::default()
            };
            let list = async |page| self.store().deliveries(filter.clone(), page).await;
            let found = pages(list, |row| (row.id.seq(), row.id.ordinal()), |id| (id.seq(), id.ordinal())).await;
            assert_eq!(found, expected, "{filter:?}");
        }
    }
}

fn is_within(at: Timestamp, from: Option<Timestamp>, to: Option<Timestamp>) -> bool {
    from.is_none_or(|from| at >= from) && to.is_none_or(|to| at <= to)
}

trait Wanted {
    fn is_none_or_equal(&self, value: Option<&str>) -> bool;
}

impl Wanted for Option<Box<str>> {
    fn is_none_or_equal(&self, value: Option<&str>) -> bool {
        self.is_none() || self.as_deref() == value
    }
}

fn planned(target: &str) -> PlannedDelivery {
    PlannedDelivery {
        target: target.into(),
        route: 0,
        not_before: None,
        expires_at: None,
        order_key: None,
        batch_key: None,
    }
}

fn settlement(clock: &Clock, number: u16, next: Next) -> Settlement {
    let attempt = Attempt {
        number,
        started_at: clock.now(),
        duration: Duration::from_millis(7),
        outcome: OutcomeClass::Status,
        status: Some(200),
        response_headers: HeaderBlock::default(),
        response_body: Bytes::new(),
        error: None,
    };
    Settlement { attempt, next }
}

/// Nothing wanted, each of the names, and one that nothing has.
fn options(names: &[&str]) -> Vec<Option<Box<str>>> {
    [None].into_iter().chain(names.iter().chain(&["nobody"]).map(|name| Some(Box::from(*name)))).collect()
}

/// All pages of a list, one after the other.
async fn pages<Row: Listed>(
    list: impl AsyncFn(PageRequest) -> Result<Page<Row>, StoreError>,
    place: impl Fn(&Row) -> (crate::domain::Seq, u16),
    place_of: impl Fn(Row::Id) -> (crate::domain::Seq, u16),
) -> Vec<Row> {
    let mut all: Vec<Row> = Vec::new();
    let mut after = None;
    loop {
        let page = list(PageRequest { limit: 30, after }).await.unwrap();
        assert!(page.rows.len() <= 30);
        after = page.stopped_at.map(&place_of).or_else(|| page.rows.last().map(&place));
        all.extend(page.rows);
        if !page.has_more {
            return all;
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<prop::sample::Index>;
    let targets = prop::collection::btree_set(0..3_usize, 0..3);
    prop_oneof![
        6 => (1..60_u8, prop_oneof![5 => Just(0), 3 => Just(1), 1 => Just(2_usize)], prop::option::of(0..3_usize), targets)
            .prop_map(|(count, source, event_type, targets)| Step::Admit { count, source, event_type, targets }),
        6 => (0..2_usize, 1..50_u8, 0..3_u8).prop_map(|(target, count, outcome)| Step::Settle { target, count, outcome }),
        2 => which().prop_map(|which| Step::Redeliver { which }),
        2 => which().prop_map(|which| Step::Cancel { which }),
        2 => (which(), 0..3_usize).prop_map(|(which, target)| Step::Replay { which, target }),
        4 => Just(Step::Index),
        2 => (1..90_u32).prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Wait { seconds: 200_000 }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Rebuild),
        2 => (1..4_u32).prop_map(|days| Step::Sweep { days }),
    ]
}

pub(super) fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn each_filter_finds_what_a_look_at_every_row_finds(steps in prop::collection::vec(step(), 1..40)) {
        run(async {
            let mut world = World::new();
            for step in steps {
                world.take(step).await;
            }
            world.check().await;
        });
    }
}
