//! Wrong tokens: their answers wait, a bounded number at a time, and whoever sends too many is not listened to for that
//! time.
//!
//! The bound of an address is what makes guessing slow: beyond it a token is not even looked at, so that an early 429
//! tells nothing. Whoever shares the address waits with it, half a second after the last guess at most; the bound of
//! all is only there for the memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;

use super::problem::Problem;

/// Wrong tokens whose answers wait, by the address that sent them: IPv6 by its network of 64 bits.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<HashMap<Option<IpAddr>, usize>>);

/// How long a wrong token waits for its answer.
const DELAY: Duration = Duration::from_millis(500);

/// How many of one address may wait at once: 16 guesses a second.
pub(super) const WAITING_OF_ADDRESS_MAX: usize = 8;

/// How many may wait at once; the answers of more do not wait.
const WAITING_MAX: usize = 64;

/// A place in the waiting room, given back when dropped.
struct Place<'a> {
    failures: &'a Failures,
    address: Option<IpAddr>,
}

// === impl Failures ===

impl Failures {
    /// Whether a token from this address is looked at now.
    pub(super) fn listens_to(&self, address: Option<IpAddr>) -> bool {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.get(&network(address)).is_none_or(|waiting| *waiting < WAITING_OF_ADDRESS_MAX)
    }

    /// The answer to a wrong token, after its wait.
    pub(super) async fn answer(&self, address: Option<IpAddr>, problem: Problem) -> Problem {
        let Some(_place) = self.enter(network(address)) else { return too_many() };
        tokio::time::sleep(DELAY).await;
        problem
    }

    fn enter(&self, address: Option<IpAddr>) -> Option<Place<'_>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.values().sum::<usize>() >= WAITING_MAX {
            return None;
        }
        let own = waiting.entry(address).or_default();
        if *own >= WAITING_OF_ADDRESS_MAX {
            return None;
        }
        *own += 1;
        Some(Place { failures: self, address })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.failures.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = waiting.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                waiting.remove(&self.address);
            }
        }
    }
}

/// What is said instead of an answer.
pub(super) fn too_many() -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failures", "too many wrong tokens").retry_after(1)
}

fn network(address: Option<IpAddr>) -> Option<IpAddr> {
    match address?.to_canonical() {
        IpAddr::V6(v6) => Some(IpAddr::V6((v6.to_bits() >> 64 << 64).into())),
        v4 => Some(v4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[tokio::test]
    async fn one_address_does_not_take_the_places_of_others() {
        let failures = Failures::default();
        let guess = || failures.answer(address("2001:db8::1"), Problem::unauthorized("wrong"));
        let mut places: Vec<_> = (0..WAITING_OF_ADDRESS_MAX).map(|_| Box::pin(guess())).collect();
        std::future::poll_fn(|context| {
            assert!(places.iter_mut().all(|place| place.as_mut().poll(context).is_pending()));
            std::task::Poll::Ready(())
        })
        .await;
        assert!(!failures.listens_to(address("2001:db8::ffff")), "the same network of 64 bits");
        assert!(failures.listens_to(address("2001:db8:0:1::1")) && failures.listens_to(address("192.0.2.1")));
        assert_eq!(failures.answer(address("2001:db8::2"), Problem::unauthorized("wrong")).await.status(), 429);
        assert_eq!(failures.answer(address("192.0.2.1"), Problem::unauthorized("wrong")).await.status(), 401);
        drop(places);
        assert!(failures.listens_to(address("2001:db8::1")), "places are given back, also of clients that are gone");
    }
}
