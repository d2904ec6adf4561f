//! How many names may be looked up at once: the system's resolver takes a thread for each, and nobody can make it give up.
//!
//! The threads are the runtime's, which the store's readers use too. So their number is bounded, and shared out such that a
//! name server that does not answer, or whoever names a thousand of its hosts, keeps nobody else waiting:
//!
//! - names that have answered quickly may use every place;
//! - names that nothing is known of yet may use most of them;
//! - names that were slow share a few;
//! - of those two kinds, the names of one zone may use a few only.
//!
//! Whoever waits for a place may go; a look-up that has begun keeps its place until the resolver has ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is known of a name's servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing yet, or that it was not found.
    #[default]
    New,
    /// The last look-up found something in good time.
    Quick,
    /// It took long.
    Slow,
}

/// The places.
#[derive(Debug)]
pub(super) struct LookUps {
    all: Arc<Semaphore>,
    new: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    /// Of names that are not quick, by zone.
    zones: Mutex<HashMap<Box<str>, Arc<Semaphore>>>,
}

/// A place; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place(#[allow(dead_code, reason = "held, not looked at")] Vec<OwnedSemaphorePermit>);

/// So many look-ups at once, an eighth of the runtime's threads for what blocks.
const ALL_MAX: usize = 64;

/// Of them, of names that nothing is known of.
const NEW_MAX: usize = 40;

/// Of names that are not quick, within one zone.
const OF_ZONE_MAX: usize = 4;

/// So many of names that were slow.
const SLOW_MAX: usize = 8;

/// More zones than this are not remembered where nobody waits in them.
const ZONES_MAX: usize = 1024;

/// A look-up that took longer was slow.
const QUICK_MAX: Duration = Duration::from_secs(1);

// === impl Standing ===

impl Standing {
    /// After a look-up that took so long.
    pub(super) fn after(found: bool, took: Duration) -> Self {
        match found {
            _ if took > QUICK_MAX => Self::Slow,
            true => Self::Quick,
            false => Self::New,
        }
    }
}

// === impl LookUps ===

impl Default for LookUps {
    fn default() -> Self {
        let places = |most| Arc::new(Semaphore::new(most));
        Self { all: places(ALL_MAX), new: places(NEW_MAX), slow: places(SLOW_MAX), zones: Mutex::default() }
    }
}

impl LookUps {
    /// Waits for a place for this name. Whoever waits holds none that others could use but those of its own kind: the scarce
    /// ones come first.
    pub(super) async fn place(&self, name: &str, standing: Standing) -> Place {
        let narrow = match standing {
            Standing::Quick => Vec::new(),
            Standing::New => vec![self.zone(name), Arc::clone(&self.new)],
            Standing::Slow => vec![self.zone(name), Arc::clone(&self.slow)],
        };
        let mut held = Vec::with_capacity(3);
        for places in narrow.into_iter().chain([Arc::clone(&self.all)]) {
            // None of them is ever closed.
            held.extend(places.acquire_owned().await);
        }
        Place(held)
    }

    fn zone(&self, name: &str) -> Arc<Semaphore> {
        let mut zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        if zones.len() >= ZONES_MAX {
            zones.retain(|_, places| Arc::strong_count(places) > 1);
        }
        let places = zones.entry(zone_of(name).into()).or_insert_with(|| Arc::new(Semaphore::new(OF_ZONE_MAX)));
        Arc::clone(places)
    }
}

/// What is likely of one owner: the last two labels, or three where the second one is as short as in `co.uk`.
fn zone_of(name: &str) -> &str {
    let name = name.strip_suffix('.').unwrap_or(name);
    let ends = name.rmatch_indices('.').map(|(at, _)| at);
    let (second, third) = {
        let mut ends = ends.skip(1);
        (ends.next(), ends.next())
    };
    let Some(second) = second else { return name };
    let of_two = name.get(second + 1..).unwrap_or(name);
    let label = of_two.split('.').next().unwrap_or_default();
    if label.len() > 3 {
        return of_two;
    }
    third.and_then(|third| name.get(third + 1..)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn names_of_one_owner_are_one_zone() {
        for (name, zone) in [
            ("a.b.evil.example", "evil.example"),
            ("evil.example.", "evil.example"),
            ("x.shop.co.uk", "shop.co.uk"),
            ("shop.co.uk", "shop.co.uk"),
            ("co.uk", "co.uk"),
            ("localhost", "localhost"),
            ("", ""),
        ] {
            assert_eq!(zone_of(name), zone, "{name}");
        }
    }

    #[test]
    fn a_zone_does_not_take_the_places_of_others_and_slow_names_not_those_of_quick_ones() {
        let look_ups = LookUps::default();
        let mut held = Vec::new();
        let mut take = |name: &str, standing| {
            let place = now(look_ups.place(name, standing));
            let taken = place.is_some();
            held.extend(place);
            taken
        };
        let of_one = (0..100).filter(|number| take(&format!("n{number}.evil.example"), Standing::New)).count();
        assert_eq!(of_one, OF_ZONE_MAX);
        let of_many = (0..100).filter(|number| take(&format!("a.zone{number}.example"), Standing::New)).count();
        assert_eq!(of_many, NEW_MAX - OF_ZONE_MAX);
        let slow = (0..100).filter(|number| take(&format!("a.slow{number}.example"), Standing::Slow)).count();
        assert_eq!(slow, SLOW_MAX);
        let quick = (0..100).filter(|number| take(&format!("a.quick{number}.example"), Standing::Quick)).count();
        assert_eq!(quick, ALL_MAX - NEW_MAX - SLOW_MAX, "there are always some for them");
        drop(held.drain(..OF_ZONE_MAX));
        assert!(now(look_ups.place("n7.evil.example", Standing::New)).is_some(), "places come back");
    }

    #[test]
    fn zones_in_use_are_not_forgotten() {
        let look_ups = LookUps::default();
        let held = now(look_ups.place("a.held.example", Standing::New));
        for number in 0..2 * ZONES_MAX {
            assert!(now(look_ups.place(&format!("a.zone{number}.example"), Standing::New)).is_some());
        }
        let zones = look_ups.zones.lock().unwrap();
        assert!(zones.len() <= ZONES_MAX && zones.contains_key("held.example"));
        assert!(held.is_some());
    }

    #[test]
    fn what_is_late_is_slow_whatever_it_found() {
        assert_eq!(Standing::after(true, QUICK_MAX), Standing::Quick);
        assert_eq!(Standing::after(true, QUICK_MAX * 2), Standing::Slow);
        assert_eq!(Standing::after(false, QUICK_MAX * 2), Standing::Slow);
        assert_eq!(Standing::after(false, Duration::ZERO), Standing::New, "a name that is registered tomorrow");
    }
}
