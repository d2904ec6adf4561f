//! The IP allowlist: only the client addresses on the list get through; everybody else gets 403.
//!
//! The list holds addresses and networks (CIDR), v4 and v6. A v4 address that arrives mapped into v6
//! (`::ffff:192.0.2.1`) counts as v4, in the list and in the request alike. The client's address is
//! [`Facts::client`], which the ingress finds through trusted proxies only; a request without it is refused,
//! and so is every request where the list is empty.
//!
//! A file of the list has one entry a line; what follows a `#` is a comment, empty lines do not count. Lists that
//! providers publish are followed as [`feed`]s: the guard asks the list of the moment, and one that was never loaded
//! lets nobody in.
//!
//! ```
//! use std::net::IpAddr;
//! use axum::{Router, body::Body, extract::Request, routing::post};
//! use hookward::domain::Facts;
//! use hookward::guard::{AllowIps, AllowIpsLayer, allow_ips};
//! use tower::ServiceExt;
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let list = allow_ips::Config::parse_list("192.0.2.0/24  # the sender's network")?;
//! let app = Router::new().route("/", post(|| async { "OK" })).layer(AllowIpsLayer::new(AllowIps::new(&list)));
//!
//! let from = |address: [u8; 4]| {
//!     let facts = Facts { client: Some(IpAddr::from(address)), ..Facts::default() };
//!     Request::post("/").extension(facts).body(Body::empty())
//! };
//! assert_eq!(app.clone().oneshot(from([192, 0, 2, 7])?).await?.status(), 200);
//! assert_eq!(app.oneshot(from([198, 51, 100, 7])?).await?.status(), 403);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod feed;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

pub use self::feed::{Feed, List};
use super::layer::{Guard, GuardLayer, Head};
use crate::domain::{Facts, Reason, Rejection};

/// The allowlist as a tower layer.
pub type AllowIpsLayer = GuardLayer<AllowIps>;

/// `sources.*.allow_ips`; a source without the key has no such guard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Who may send; nobody where it is empty.
    pub networks: Vec<IpNet>,
    /// Lists that somebody else keeps: who is on one of them may send too.
    pub feeds: Vec<Feed>,
}

/// The guard.
#[derive(Clone, Debug)]
pub struct AllowIps {
    networks: Box<[IpNet]>,
    feeds: Vec<(Arc<str>, Arc<List>)>,
}

/// An entry that is neither address nor network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: `{entry}` is neither an IP address nor a network such as 192.0.2.0/24")]
pub struct EntryError {
    /// Counted from 1; 1 for an entry that stands by itself.
    pub line: usize,
    /// What stands there.
    pub entry: Box<str>,
}

// === impl Config ===

impl Config {
    /// Reads one entry: an address, or a network in CIDR notation (bits behind the mask do not count).
    ///
    /// # Errors
    /// The entry is neither.
    pub fn parse_entry(entry: &str) -> Result<IpNet, EntryError> {
        let network = entry.parse::<IpNet>().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
        network.map(|network| unmapped(network.trunc())).map_err(|_cause| EntryError { line: 1, entry: entry.into() })
    }

    /// Reads a file of the list: one entry a line, `#` begins a comment.
    ///
    /// # Errors
    /// The first entry that is neither address nor network, with its line.
    pub fn parse_list(text: &str) -> Result<Self, EntryError> {
        let entries = text.lines().enumerate().filter_map(|(index, line)| {
            let entry = line.split_once('#').map_or(line, |(entry, _)| entry).trim();
            (!entry.is_empty())
                .then(|| Self::parse_entry(entry).map_err(|error| EntryError { line: index + 1, ..error }))
        });
        Ok(Self { networks: entries.collect::<Result<_, _>>()?, feeds: Vec::new() })
    }
}

/// A network of mapped v4 addresses (`::ffff:192.0.2.0/120`) as the v4 network that it means.
fn unmapped(network: IpNet) -> IpNet {
    const MAPPED_PREFIX_BITS: u8 = 96;
    let IpNet::V6(v6) = network else { return network };
    match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(MAPPED_PREFIX_BITS)) {
        (Some(v4), Some(bits)) => ipnet::Ipv4Net::new(v4, bits).map_or(network, IpNet::V4),
        _ => network,
    }
}

// === impl AllowIps ===

impl AllowIps {
    /// The guard over a list; networks inside others are merged. Its feeds let nobody in until
    /// [`with_feeds`](Self::with_feeds) gives it their lists.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self { networks: IpNet::aggregate(&config.networks).into(), feeds: Vec::new() }
    }

    /// The same with the lists of its feeds, each with its name.
    #[must_use]
    pub fn with_feeds(self, feeds: Vec<(Arc<str>, Arc<List>)>) -> Self {
        Self { feeds, ..self }
    }

    /// Whether an address is on the list.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
            || self.feeds.iter().any(|(_, list)| list.allows(address) == Some(true))
    }

    /// Why an address is not allowed.
    fn refusal(&self, address: IpAddr) -> Rejection {
        let never: Vec<&str> =
            self.feeds.iter().filter(|(_, list)| list.entries().is_none()).map(|(name, _)| &**name).collect();
        let detail = match never.as_slice() {
            [] => format!("{address} is not on the source's list"),
            never => format!("{address} is not on the source's list; never loaded: {}", never.join(", ")),
        };
        Rejection::new(Reason::AddressNotAllowed, detail)
    }
}

impl<B> Guard<B> for AllowIps {
    fn check(&self, _head: Head<'_>, _body: &B, facts: &mut Facts) -> Result<(), Rejection> {
        match facts.client {
            Some(address) if self.allows(address) => Ok(()),
            Some(address) => Err(self.refusal(address)),
            None => Err(Rejection::new(Reason::AddressNotAllowed, "the client's address is not known")),
        }
    }

    fn name(&self) -> &'static str {
        "allow_ips"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &str, address: &str, expected: bool) {
        let guard = AllowIps::new(&Config::parse_list(list).expect("a list"));
        assert_eq!(guard.allows(address.parse().expect("an address")), expected, "{address} in {list}");
    }

    #[test]
    fn only_listed_addresses_get_through() {
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("192.0.2.0/24", "192.0.2.255", true);
        check("192.0.2.77/24", "192.0.2.1", true);
        check("192.0.2.0/24", "192.0.3.0", false);
        check("2001:db8::/32", "2001:db8:1::1", true);
        check("2001:db8::/32", "2001:db9::1", false);
        check("10.0.0.0/9\n10.128.0.0/9\n192.0.2.1", "10.200.0.1", true);
        check("", "192.0.2.1", false);
        check("0.0.0.0/0", "2001:db8::1", false);
    }

    #[test]
    fn a_mapped_address_counts_as_v4_on_both_sides() {
        check("192.0.2.1", "::ffff:192.0.2.1", true);
        check("::ffff:192.0.2.1", "192.0.2.1", true);
        check("::ffff:192.0.2.0/120", "192.0.2.9", true);
        check("::ffff:192.0.2.0/120", "192.0.3.9", false);
        check("192.0.2.1", "::192.0.2.1", false);
    }

    #[test]
    fn who_is_on_a_feed_gets_through_and_nobody_before_it_was_loaded() {
        let list = Arc::new(List::default());
        let config = Config::parse_list("192.0.2.1").expect("a list");
        let guard = AllowIps::new(&config).with_feeds(vec![("github".into(), Arc::clone(&list))]);
        let request = http::Request::new(());
        let ask = |address: &str| {
            let client = Some(address.parse().expect("an address"));
            let mut facts = Facts { client, ..Facts::default() };
            guard.check(Head::of(&request), &(), &mut facts).map_err(|rejection| rejection.detail.to_string())
        };
        assert_eq!(ask("192.0.2.1"), Ok(()));
        let never = ask("198.51.100.1").expect_err("not loaded");
        assert!(never.contains("never loaded: github"), "{never}");
        list.replace(&["198.51.100.0/24".parse().expect("a network")]);
        assert_eq!(ask("198.51.100.1"), Ok(()));
        assert_eq!(ask("203.0.113.1"), Err("203.0.113.1 is not on the source's list".to_owned()));
    }

    #[test]
    fn an_unknown_client_is_refused() {
        let guard = AllowIps::new(&Config::parse_list("0.0.0.0/0\n::/0").expect("a list"));
        let request = http::Request::new(());
        let refused = guard.check(Head::of(&request), &(), &mut Facts::default()).expect_err("no address");
        assert_eq!(refused.reason, Reason::AddressNotAllowed);
    }

    #[test]
    fn files_have_comments_and_errors_have_lines() {
        let list = Config::parse_list("# ours\n\n192.0.2.1 # one\r\n  2001:db8::/32\n").expect("a list");
        assert_eq!(list.networks.len(), 2);
        for (text, line, entry) in
            [("192.0.2.1\n192.0.2.300", 2, "192.0.2.300"), ("#\n\nhost", 3, "host"), ("10.0.0.0/33", 1, "10.0.0.0/33")]
        {
            assert_eq!(Config::parse_list(text), Err(EntryError { line, entry: entry.into() }));
        }
    }
}
