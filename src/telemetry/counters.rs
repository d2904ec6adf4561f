//! Counters with a label of their own kind: by reason, and by what is spoken over a connection.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::metrics::{ProtocolLabels, ReasonLabel};

/// A count for each reason; a reason appears in the scrape when it was met first. Not for what is counted with every
/// request: it looks the reason up.
#[derive(Clone, Debug, Default)]
pub struct ByReason(pub(super) Family<ReasonLabel, Counter>);

/// What is spoken over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, or 1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Connections by protocol and version of TLS, from when it was clear what they speak.
#[derive(Clone, Debug)]
pub struct Protocols {
    pub(super) family: Family<ProtocolLabels, Counter>,
    counters: [(Protocol, Option<&'static str>, Counter); 6],
}

// === impl ByReason ===

impl ByReason {
    /// Counts one.
    pub fn count(&self, reason: &'static str) {
        self.0.get_or_create_owned(&ReasonLabel { reason }).inc();
    }

    /// How many were counted.
    #[must_use]
    pub fn get(&self, reason: &'static str) -> u64 {
        self.0.get_or_create_owned(&ReasonLabel { reason }).get()
    }
}

// === impl Protocol, Protocols ===

impl Protocol {
    /// The word in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
        }
    }
}

impl Protocols {
    /// Counts a connection; `tls` is `1.2`, `1.3`, or nothing.
    pub fn count(&self, protocol: Protocol, tls: Option<&str>) {
        let mut counters = self.counters.iter();
        if let Some((.., counter)) = counters.find(|(of, version, _)| *of == protocol && *version == tls) {
            counter.inc();
        }
    }

    /// How many were counted.
    #[must_use]
    pub fn get(&self, protocol: Protocol, tls: Option<&str>) -> u64 {
        let mut counters = self.counters.iter();
        counters.find(|(of, version, _)| *of == protocol && *version == tls).map_or(0, |(.., counter)| counter.get())
    }
}

impl Default for Protocols {
    fn default() -> Self {
        let family = Family::<ProtocolLabels, Counter>::default();
        let counters = [
            (Protocol::Http1, None),
            (Protocol::Http1, Some("1.2")),
            (Protocol::Http1, Some("1.3")),
            (Protocol::Http2, None),
            (Protocol::Http2, Some("1.2")),
            (Protocol::Http2, Some("1.3")),
        ]
        .map(|(protocol, tls)| {
            let labels = ProtocolLabels { protocol: protocol.as_str(), tls: tls.unwrap_or("none") };
            (protocol, tls, family.get_or_create_owned(&labels))
        });
        Self { family, counters }
    }
}
