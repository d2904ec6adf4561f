//! From a URL to an open connection: resolve, connect, encrypt.
//!
//! Names are resolved anew for every connection, so that changes are followed; what one look-up found serves
//! the connections of the next second. A connection that is in use asks every [`LOOK_UP_EVERY`] whether its name
//! still leads where it goes. There is one look-up of a name at a time, and it ends by itself: attempts that give up
//! on a silent name server do not fill the runtime's blocking threads. How many names are looked up at once is bounded
//! ([`LookUps`]).
//!
//! Whatever address is called is called from here, literals in URLs included. What the policy says of it is asked
//! right before the connection is made, of the very addresses that it is made to: a name server that answers
//! differently from one look-up to the next gains nothing. One address that may not be called, and none is.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::rustls::pki_types::ServerName;
use url::Host;

use super::EndpointUrl;
use super::failure::Failure;
use super::look_ups::{LookUps, Standing};
use super::policy::Policy;
use super::stream::Stream;
use super::tls::Tls;
use crate::deadline::{Late, within};
use crate::telemetry::task;

/// Opens connections.
#[derive(Default)]
pub(super) struct Connector {
    tls: Tls,
    names: Mutex<HashMap<Box<str>, Name>>,
    look_ups: LookUps,
}

/// An open stream, and which of the addresses it leads to.
pub(super) struct Opened {
    pub(super) stream: Stream,
    pub(super) address: IpAddr,
}

/// Why there is no connection to the last of the addresses.
enum Unreached {
    /// The machine, or one on the way, said so.
    Refused(SocketAddr, io::Error),
    /// Nothing came back in its share of the time.
    Silent(SocketAddr),
    /// There was no address.
    Nowhere,
}

/// The last look-up of a name, if there was one; locked while the next one is under way.
type Name = Arc<AsyncMutex<Option<LookUp>>>;

/// What a name server said.
struct LookUp {
    found: Result<Arc<[IpAddr]>, Failure>,
    at: Instant,
    standing: Standing,
}

/// A connection in use asks this often whether its name still leads to its address; so long does one look-up serve
/// those who ask.
pub(super) const LOOK_UP_EVERY: Duration = Duration::from_secs(5);

/// So long does whoever has a connection wait for a look-up; a name server that is slower is heard the next time.
const LOOK_UP_WAIT_MAX: Duration = Duration::from_millis(100);

/// How long one look-up serves new connections.
const RESOLVED_FOR: Duration = Duration::from_secs(1);

/// More addresses of a name than this are not remembered.
const FOUND_MAX: usize = 4096;

/// More addresses of a name than this are not tried within one attempt.
const ADDRESSES_MAX: usize = 8;

/// More names than this are not remembered, those excepted that are being looked up.
const NAMES_MAX: usize = 16_384;

// === impl Connector ===

impl Connector {
    pub(super) fn with_tls(tls: Tls) -> Self {
        Self { tls, names: Mutex::default(), look_ups: LookUps::default() }
    }

    /// A connection that requests can be sent over, or why there is none; not later than `deadline`, and to no
    /// address that `policy` refuses. Where it refuses any, a failure does not tell the address.
    pub(super) async fn connect(
        &self,
        url: &EndpointUrl,
        policy: &Policy,
        deadline: Instant,
    ) -> Result<Opened, Failure> {
        let addresses = self.addresses(url, deadline).await?;
        if let Err(refused) = policy.permits_all(&addresses) {
            tracing::info!(host = %url.host(), %refused, "a webhook leads to an address that may not be called");
            return Err(Failure::not_allowed(url.host()));
        }
        let connected = connect_any(&alternate(addresses.into_iter()), url.port(), deadline).await;
        let (tcp, address) = connected.map_err(|unreached| unreached.told(url, policy))?;
        // Small requests must not wait for the acknowledgement of the one before; where the socket has no such
        // option it works without.
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set");
        }
        if !url.is_https() {
            return Ok(Opened { stream: Stream::Plain { tcp }, address });
        }
        let Some(name) = server_name(url.host()) else {
            return Err(Failure::dns(&url.host().to_string(), &"not a name that a certificate can have"));
        };
        match within(deadline, self.tls.connector().connect(name, tcp)).await {
            Ok(Ok(stream)) => Ok(Opened { stream: Stream::Encrypted { tls: Box::new(stream) }, address }),
            Ok(Err(error)) => Err(Failure::tls(&error)),
            Err(Late) => Err(Failure::timeout("the TLS handshake did not end")),
        }
    }

    /// Where the URL leads at this moment, all of it.
    pub(super) async fn addresses(&self, url: &EndpointUrl, deadline: Instant) -> Result<Vec<IpAddr>, Failure> {
        match url.host() {
            Host::Ipv4(address) => Ok(vec![IpAddr::V4(*address)]),
            Host::Ipv6(address) => Ok(vec![IpAddr::V6(*address)]),
            Host::Domain(name) => match timeout_at(deadline, self.resolve(name, RESOLVED_FOR)).await {
                Ok(found) => found.map(|found| found.to_vec()),
                Err(_elapsed) => Err(Failure::timeout(&format!("the name {name} was not resolved"))),
            },
        }
    }

    /// Whether the URL still leads to this address, as far as can be said soon: where no name server answers, a
    /// connection that works goes on.
    pub(super) async fn leads_to(&self, url: &EndpointUrl, address: IpAddr) -> bool {
        let Host::Domain(name) = url.host() else { return true };
        match timeout(LOOK_UP_WAIT_MAX, self.resolve(name, LOOK_UP_EVERY)).await {
            Ok(Ok(found)) => found.contains(&address),
            Ok(Err(_)) | Err(_) => true,
        }
    }

    /// The addresses of a name, by a look-up that is not older than `age_max`; at least one.
    async fn resolve(&self, name: &str, age_max: Duration) -> Result<Arc<[IpAddr]>, Failure> {
        let asked_at = Instant::now();
        let mut latest = self.name(name).lock_owned().await;
        if let Some(found) = latest.as_ref().and_then(|latest| latest.serves(asked_at, age_max)) {
            return found;
        }
        let standing = latest.as_ref().map(|latest| latest.standing).unwrap_or_default();
        // Whoever gives up here has asked nobody, and the next one that wants to know waits on.
        let place = self.look_ups.place(name, standing).await;
        let host = name.to_owned();
        // A task of its own that takes lock and place with it: whoever asks may give up, the system's resolver does not.
        let look_up = task::spawn("look-up", async move {
            let begun = Instant::now();
            let found = look_up(&host).await;
            let standing = Standing::after(found.is_ok(), begun.elapsed());
            *latest = Some(LookUp { found: found.clone(), at: Instant::now(), standing });
            drop(place);
            found
        });
        look_up.await.unwrap_or_else(|error| Err(Failure::dns(name, &error)))
    }

    fn name(&self, name: &str) -> Name {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= NAMES_MAX && !names.contains_key(name) {
            names.retain(|_, name| Arc::strong_count(name) > 1);
        }
        Arc::clone(names.entry(name.into()).or_default())
    }
}

// === impl LookUp ===

impl LookUp {
    /// What it found, for somebody who asked at this time: a failure only for those who waited for it.
    fn serves(&self, asked_at: Instant, age_max: Duration) -> Option<Result<Arc<[IpAddr]>, Failure>> {
        let age_max = if self.found.is_ok() { age_max } else { Duration::ZERO };
        (asked_at.saturating_duration_since(self.at) < age_max || self.at >= asked_at).then(|| self.found.clone())
    }
}

/// Asks the system.
async fn look_up(name: &str) -> Result<Arc<[IpAddr]>, Failure> {
    let found = lookup_host((name, 0)).await.map_err(|error| Failure::dns(name, &error))?;
    let found: Arc<[IpAddr]> = found.map(|address| address.ip()).take(FOUND_MAX).collect();
    if found.is_empty() { Err(Failure::dns(name, &"it has no address")) } else { Ok(found) }
}

/// Tries the addresses in turn; each gets its share of what time is left, so that one that swallows packets
/// does not use up the attempt.
async fn connect_any(addresses: &[IpAddr], port: u16, deadline: Instant) -> Result<(TcpStream, IpAddr), Unreached> {
    let mut failure = None;
    for (tried, address) in addresses.iter().enumerate() {
        let address = SocketAddr::new(*address, port);
        let left = deadline.saturating_duration_since(Instant::now());
        let share = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        match within(Instant::now() + left / share, TcpStream::connect(address)).await {
            // Linux lets a connection to a port of the ephemeral range that nobody listens on meet itself.
            Ok(Ok(tcp)) if tcp.local_addr().is_ok_and(|local| local == address) => {
                failure = Some(Unreached::Refused(address, io::Error::from(io::ErrorKind::ConnectionRefused)));
            }
            Ok(Ok(tcp)) => return Ok((tcp, address.ip())),
            Ok(Err(error)) => failure = Some(Unreached::Refused(address, error)),
            Err(Late) => failure = Some(Unreached::Silent(address)),
        }
    }
    Err(failure.unwrap_or(Unreached::Nowhere))
}

// === impl Unreached ===

impl Unreached {
    /// In the words that whoever wrote the URL may read.
    fn told(self, url: &EndpointUrl, policy: &Policy) -> Failure {
        let shown = |address: SocketAddr| match policy.is_anywhere() {
            true => address.to_string(),
            false => format!("{}, port {}", url.host(), address.port()),
        };
        match self {
            Self::Refused(address, error) => Failure::connect(&shown(address), &error),
            Self::Silent(address) => Failure::timeout(&format!("no connection to {}", shown(address))),
            Self::Nowhere => Failure::timeout("no connection"),
        }
    }
}

/// The first addresses, the families taking turns (RFC 8305 section 4).
fn alternate(found: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut found = found.peekable();
    let first_is_v6 = found.peek().is_some_and(IpAddr::is_ipv6);
    let (preferred, other): (Vec<_>, Vec<_>) = found.partition(|address| address.is_ipv6() == first_is_v6);
    let (mut preferred, mut other) = (preferred.into_iter(), other.into_iter());
    let mut addresses = Vec::new();
    while addresses.len() < ADDRESSES_MAX {
        let pair = [preferred.next(), other.next()];
        if pair == [None, None] {
            break;
        }
        addresses.extend(pair.into_iter().flatten());
    }
    addresses.truncate(ADDRESSES_MAX);
    addresses
}

fn server_name(host: &Host) -> Option<ServerName<'static>> {
    match host {
        Host::Domain(name) => ServerName::try_from(name.clone()).ok(),
        Host::Ipv4(address) => Some(ServerName::from(IpAddr::V4(*address))),
        Host::Ipv6(address) => Some(ServerName::from(IpAddr::V6(*address))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_look_up_serves_for_a_while_and_a_failure_only_those_who_waited_for_it() {
        let at = Instant::now();
        let second = Duration::from_secs(1);
        let found: Arc<[IpAddr]> = Arc::new([IpAddr::from([10, 0, 0, 1])]);
        let good = LookUp { found: Ok(Arc::clone(&found)), at, standing: Standing::Quick };
        assert_eq!(good.serves(at + second / 2, second), Some(Ok(Arc::clone(&found))));
        assert_eq!(good.serves(at + second, second), None);
        assert_eq!(good.serves(at - second, second), Some(Ok(found)));
        let failure = Failure::dns("crm.test", &"no such name");
        let bad = LookUp { found: Err(failure.clone()), at, standing: Standing::Slow };
        assert_eq!(bad.serves(at - second, second), Some(Err(failure)));
        assert_eq!(bad.serves(at + Duration::from_millis(1), second), None);
    }

    #[test]
    fn families_take_turns_and_a_thousand_records_are_bounded() {
        let v4 = |last: u8| IpAddr::from([10, 0, 0, last]);
        let v6 = |last: u16| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, last]);
        assert_eq!(alternate([v6(1), v6(2), v4(1), v4(2)].into_iter()), [v6(1), v4(1), v6(2), v4(2)]);
        assert_eq!(alternate([v4(1), v4(2), v6(1)].into_iter()), [v4(1), v6(1), v4(2)]);
        assert_eq!(alternate((0..1000).map(v6)).len(), ADDRESSES_MAX);
        assert!(alternate(std::iter::empty()).is_empty());
    }
}
