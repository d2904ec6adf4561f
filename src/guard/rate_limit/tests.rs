//! How fast is too fast, for whom, and in how much memory.

use http::Request;

use super::*;
use crate::domain::Timestamp;

struct Limit {
    guard: RateLimit,
    clock: Clock,
}

impl Limit {
    fn new(requests: u32, per: Duration, burst: u32, by: By, keys_max: usize) -> Self {
        let clock = Clock::manual(Timestamp(1_800_000_000_000));
        let [requests, burst] = [requests, burst].map(|number| NonZeroU32::new(number).expect("not zero"));
        Self { guard: RateLimit::new(&Config { requests, per, burst, by, keys_max }, clock.clone()), clock }
    }

    /// The wait that a request is told, or nothing where it gets through.
    fn ask(&self, client: &str, headers: &[(&str, &str)]) -> Option<Duration> {
        let mut request = Request::post("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        let mut facts = Facts { client: client.parse().ok(), ..Facts::default() };
        let rejection = self.guard.check(Head::of(&request), &(), &mut facts).err()?;
        assert_eq!(rejection.reason, Reason::RateLimited);
        rejection.retry_after
    }

    #[track_caller]
    fn check(&self, client: &str, headers: &[(&str, &str)], expected_wait_seconds: Option<u64>) {
        assert_eq!(self.ask(client, headers), expected_wait_seconds.map(Duration::from_secs), "{client} {headers:?}");
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_burst_then_the_steady_rate() {
    let limit = Limit::new(6, MINUTE, 3, By::Ip, 64);
    for _ in 0..3 {
        limit.check("192.0.2.1", &[], None);
    }
    limit.check("192.0.2.1", &[], Some(10));
    limit.clock.advance(Duration::from_secs(9));
    limit.check("192.0.2.1", &[], Some(1));
    limit.clock.advance(Duration::from_secs(1));
    limit.check("192.0.2.1", &[], None);
    limit.check("192.0.2.1", &[], Some(10));
    limit.clock.advance(MINUTE);
    for _ in 0..3 {
        limit.check("192.0.2.1", &[], None);
    }
    limit.check("192.0.2.1", &[], Some(10));
}

#[test]
fn an_address_is_one_client_and_so_is_a_v6_network_of_64_bits() {
    let limit = Limit::new(1, MINUTE, 1, By::Ip, 64);
    limit.check("192.0.2.1", &[], None);
    limit.check("192.0.2.2", &[], None);
    limit.check("::ffff:192.0.2.1", &[], Some(60));
    limit.check("2001:db8::1", &[], None);
    limit.check("2001:db8:0:0:ffff::2", &[], Some(60));
    limit.check("2001:db8:0:1::1", &[], None);
    limit.check("unknown", &[], None);
    limit.check("unknown", &[], Some(60));
}

#[test]
fn a_source_is_one_client() {
    let limit = Limit::new(2, MINUTE, 2, By::Source, 64);
    limit.check("192.0.2.1", &[("x-shop", "a")], None);
    limit.check("192.0.2.2", &[("x-shop", "b")], None);
    limit.check("2001:db8::1", &[], Some(30));
}

#[test]
fn a_headers_value_is_one_client() {
    let limit = Limit::new(1, MINUTE, 1, By::Header(HeaderName::from_static("x-shop")), 64);
    limit.check("192.0.2.1", &[("X-Shop", "a")], None);
    limit.check("192.0.2.2", &[("x-shop", "a")], Some(60));
    limit.check("192.0.2.1", &[("x-shop", "b")], None);
    limit.check("192.0.2.1", &[("x-shop", "a"), ("x-shop", "b")], None);
    limit.check("192.0.2.1", &[], None);
    limit.check("192.0.2.2", &[], Some(60));
}

#[test]
fn memory_does_not_move_under_an_explosion_of_keys() {
    let limit = Limit::new(1, MINUTE, 1, By::Ip, 1024);
    limit.check("192.0.2.1", &[], None);
    for network in 0..200_000_u128 {
        let client = std::net::Ipv6Addr::from_bits((0x2001_0db8 << 96) | (network << 64)).to_string();
        limit.check(&client, &[], None);
    }
    // What eviction means: the first client was forgotten and starts anew.
    limit.check("192.0.2.1", &[], None);
    assert_eq!(limit.guard.limiter.into_state_store().bytes(), 1024 * 16);
}

#[test]
fn a_client_keeps_its_place_while_others_are_closer_to_idle() {
    let limit = Limit::new(1, MINUTE, 8, By::Ip, 8);
    // Eight requests at once: this client's bucket is the fullest of its set.
    for _ in 0..8 {
        limit.check("192.0.2.1", &[], None);
    }
    for network in 0..100_u8 {
        limit.check(&format!("198.51.100.{network}"), &[], None);
    }
    limit.check("192.0.2.1", &[], Some(60));
}

#[test]
fn extreme_settings_do_not_overflow() {
    for (requests, per, burst) in [(1, PER_MAX, u32::MAX), (u32::MAX, Duration::from_nanos(1), u32::MAX)] {
        let limit = Limit::new(requests, per, burst, By::Source, 1);
        for _ in 0..100 {
            limit.check("192.0.2.1", &[], None);
        }
    }
}
