//! How many rows a page looks at: few, whatever the filter. Zones have 16 events here, and a page looks at 100 rows at most.

use super::lists::{self, Bounds};
use super::lists_tests::{START, Step, World, run};
use crate::domain::DeliveryState;
use crate::store::{DeliveryFilter, EventFilter, PageRequest, Store};

/// A thousand events of one source, and one of another in the middle; pushes go to one target, all else to another.
async fn crowded() -> World {
    let mut world = World::new();
    for number in 0..1000 {
        let (event_type, target) = if number % 2 == 0 { ("push", "crm") } else { ("paid", "log") };
        let (source, target) = if number == 300 { ("rare", "audit") } else { ("github", target) };
        world.admit(source, Some(event_type), std::iter::once(target)).await;
        if number % 40 == 39 && number < 960 {
            world.take(Step::Settle { target: 0, count: 40, outcome: 0 }).await;
            world.take(Step::Settle { target: 1, count: 40, outcome: 0 }).await;
        }
    }
    world.store().flush_index().await;
    world
}

async fn visited_by_events(world: &World, filter: EventFilter, rows: usize) -> (usize, u64, bool) {
    let mint = world.store().mint().clone();
    let bounds = Bounds { rows, visited_max: u64::MAX, after: None };
    let found = world.store().readers.read(move |connection| lists::events(connection, &filter, bounds, &mint)).await;
    let found = found.unwrap();
    (found.rows.len(), found.visited, found.stopped_at.is_some())
}

async fn visited_by_deliveries(world: &World, filter: DeliveryFilter, visited_max: u64) -> (usize, u64, bool) {
    let bounds = Bounds { rows: 11, visited_max, after: None };
    let open = |_: &str, _| DeliveryState::Pending;
    let found =
        world.store().readers.read(move |connection| lists::deliveries(connection, &filter, bounds, &open)).await;
    let found = found.unwrap();
    (found.rows.len(), found.visited, found.stopped_at.is_some())
}

#[test]
fn a_list_looks_only_at_zones_that_may_hold_what_is_wanted() {
    run(async {
        let world = crowded().await;
        let source = |name: &str| EventFilter { source: Some(name.into()), ..Default::default() };
        let (rows, visited, _) = visited_by_events(&world, source("rare"), 11).await;
        assert_eq!(rows, 1);
        assert_eq!(visited, 1, "its zone says which");
        assert_eq!(visited_by_events(&world, source("nobody"), 11).await, (0, 0, false));
        let (rows, visited, _) =
            visited_by_events(&world, EventFilter { event_type: Some("paid".into()), ..source("github") }, 11).await;
        assert!(rows == 11 && visited <= 24, "every second one fits: {visited}");
        assert_eq!(
            visited_by_events(&world, EventFilter { event_type: Some("paid".into()), ..source("rare") }, 11).await.0,
            0
        );

        let target = |name: &str| DeliveryFilter { target: Some(name.into()), ..Default::default() };
        let (rows, visited, _) = visited_by_deliveries(&world, target("audit"), u64::MAX).await;
        assert_eq!(rows, 1);
        assert!(visited <= 2, "its zone says which: {visited}");
        let dead = DeliveryFilter { state: Some(DeliveryState::Dead), ..target("crm") };
        assert_eq!(visited_by_deliveries(&world, dead, u64::MAX).await, (0, 0, false));
        let pending = DeliveryFilter { state: Some(DeliveryState::Pending), ..Default::default() };
        let (rows, visited, _) = visited_by_deliveries(&world, pending, u64::MAX).await;
        assert!(rows == visited as usize && rows > 0, "open ones only: {rows} of {visited}");
        let of_one = DeliveryFilter { state: Some(DeliveryState::Pending), ..target("log") };
        assert_eq!(visited_by_deliveries(&world, of_one, u64::MAX).await, (11, 11, false), "no others'");
    });
}

#[test]
fn what_is_common_and_never_meets_costs_no_look_at_a_row() {
    run(async {
        let world = crowded().await;
        // Of each pair both occur in all zones or nearly all.
        let filter = |target: Option<&str>, event_type: Option<&str>, state| DeliveryFilter {
            target: target.map(Box::from),
            event_type: event_type.map(Box::from),
            source: Some("github".into()),
            state,
            created_gte: Some(START),
            project: Some("default".into()),
            ..Default::default()
        };
        let (succeeded, dead) = (Some(DeliveryState::Succeeded), Some(DeliveryState::Dead));
        for never in [
            filter(Some("log"), Some("push"), None),
            filter(Some("log"), Some("push"), succeeded),
            filter(Some("crm"), Some("paid"), None),
            filter(Some("crm"), Some("paid"), dead),
            filter(Some("audit"), Some("push"), None),
            filter(None, Some("push"), dead),
        ] {
            assert_eq!(visited_by_deliveries(&world, never.clone(), u64::MAX).await, (0, 0, false), "{never:?}");
        }
        let event = |project: &str| EventFilter { project: Some(project.into()), ..Default::default() };
        let other = EventFilter { event_type: Some("push".into()), ..event("other") };
        assert_eq!(visited_by_events(&world, other, 11).await, (0, 0, false));
        let (rows, visited, _) = visited_by_events(&world, event("default"), 11).await;
        assert!(rows == 11 && visited == 11, "all of them fit");
    });
}

#[test]
fn the_states_of_a_webhook_are_told_apart_in_each_zone() {
    run(async {
        let mut world = World::new();
        // Pushes end dead and paid ones succeed, all of them at one target; another gets both and takes everything.
        for number in 0..800 {
            let event_type = if number % 2 == 0 { "push" } else { "paid" };
            world.admit("github", Some(event_type), ["crm", "log"].into_iter()).await;
            for (target, is_taken) in [(0, number % 2 == 1), (1, true)] {
                world.take(Step::Settle { target, count: 1, outcome: u8::from(!is_taken) }).await;
            }
            // Half of them are written as open first.
            if number % 80 == 40 {
                world.store().flush_index().await;
            }
        }
        world.store().flush_index().await;
        let filter = |target: &str, event_type: &str, state| DeliveryFilter {
            target: Some(target.into()),
            event_type: Some(event_type.into()),
            state: Some(state),
            ..Default::default()
        };
        for (target, event_type, state) in [
            ("crm", "push", DeliveryState::Succeeded),
            ("crm", "paid", DeliveryState::Dead),
            ("log", "push", DeliveryState::Dead),
            ("log", "push", DeliveryState::Cancelled),
        ] {
            let (rows, visited, stopped) =
                visited_by_deliveries(&world, filter(target, event_type, state), u64::MAX).await;
            // The rare states have an index: a few of its rows are looked at before the zones are asked.
            assert!(rows == 0 && visited <= 20 && !stopped, "{target} {event_type} {state:?}: {visited}");
        }
        let dead = filter("crm", "push", DeliveryState::Dead);
        assert_eq!(visited_by_deliveries(&world, dead, u64::MAX).await, (11, 11, false));
        let taken = filter("crm", "paid", DeliveryState::Succeeded);
        let (rows, visited, _) = visited_by_deliveries(&world, taken, u64::MAX).await;
        assert!(rows == 11 && visited <= 44, "an event and what is packed in its row, each: {visited}");
    });
}

#[test]
fn a_page_that_looked_at_enough_rows_ends_and_says_where_to_go_on() {
    run(async {
        let world = crowded().await;
        // What a zone says stays when a delivery begins anew: all of these were succeeded once.
        let succeeded = DeliveryFilter { state: Some(DeliveryState::Succeeded), ..Default::default() };
        let (mut again, mut after) = (0, None);
        while again < 400 {
            let page = PageRequest { limit: 100, after };
            let page = world.store().deliveries(succeeded.clone(), page).await.unwrap();
            for row in &page.rows {
                world.store().redeliver(row.id).await.unwrap();
            }
            again += page.rows.len();
            let last = page.stopped_at.or_else(|| page.rows.last().map(|row| row.id)).unwrap();
            after = Some((last.seq(), last.ordinal()));
        }
        world.store().flush_index().await;
        let filter = DeliveryFilter { target: Some("log".into()), ..succeeded };
        let (rows, visited, stopped) = visited_by_deliveries(&world, filter.clone(), 100).await;
        assert!(rows == 0 && stopped && (30..103).contains(&visited), "rows and zones: {visited}");
        let page = PageRequest { limit: 10, after: None };
        let first = world.store().deliveries(filter.clone(), page).await.unwrap();
        assert!(first.rows.is_empty() && first.has_more);
        let mut after = first.stopped_at;
        let mut asked = 1;
        while let Some(id) = after {
            let page = PageRequest { limit: 10, after: Some((id.seq(), id.ordinal())) };
            after = world.store().deliveries(filter.clone(), page).await.unwrap().stopped_at;
            asked += 1;
        }
        assert!((4..=20).contains(&asked), "some 200 events with two rows each, 100 a page, and the zones: {asked}");
        let open = DeliveryFilter {
            state: Some(DeliveryState::Pending),
            event_type: Some("odd".into()),
            ..Default::default()
        };
        assert_eq!(visited_by_deliveries(&world, open, 5).await, (0, 0, false), "a name that nothing has");
        let open = DeliveryFilter { state: Some(DeliveryState::InFlight), ..Default::default() };
        assert_eq!(visited_by_deliveries(&world, open, 5).await, (0, 5, true), "forty wait");
    });
}
