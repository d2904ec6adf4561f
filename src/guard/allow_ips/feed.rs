//! Address lists that somebody else keeps: where they are, what of an answer is the list, and the list as it is now.
//!
//! Getting them is not a guard's business: whoever does that hands a good answer to [`List::replace`]. A list that was
//! never loaded lets nobody in.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use ipnet::IpNet;
use serde_json::Value;
use std::time::Duration;

use super::Config;

/// A list that is followed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Feed {
    /// Its name, or its URL without a query.
    pub name: Arc<str>,
    /// Where it is.
    pub url: Arc<str>,
    /// What of the answer is the list.
    pub form: Form,
    /// How often it is asked for.
    pub refresh: Duration,
}

/// What of an answer is the list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// An entry a line, `#` begins a comment.
    Text,
    /// What stands in JSON.
    Json {
        /// Where: tokens of JSON pointers, `*` for every item of a list or every value of an object.
        pointers: Vec<Vec<Box<str>>>,
        /// Of objects on the way only those that have these words in these fields.
        having: Vec<(Box<str>, Box<str>)>,
    },
}

/// A feed that has a name.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// The word for it in the configuration.
    pub name: &'static str,
    /// Where the provider publishes it.
    pub url: &'static str,
    /// JSON pointers; empty for a list in lines.
    pub pointers: &'static [&'static str],
    /// What objects on the way must have.
    pub having: &'static [(&'static str, &'static str)],
}

/// Why an answer is no list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// Not UTF-8 or not JSON.
    #[error("the answer is no {0}")]
    Unreadable(&'static str),
    /// Something in the list is neither address nor network.
    #[error("`{0}` is neither an address nor a network")]
    Entry(String),
    /// Nothing in it.
    #[error("the answer holds no address")]
    Empty,
    /// Everybody is in it.
    #[error("the answer lets everybody in: {0}")]
    Everybody(IpNet),
    /// Too many.
    #[error("the answer holds more than {ENTRIES_MAX} entries")]
    TooMany,
}

/// A list as it is now; swapped whole.
#[derive(Debug, Default)]
pub struct List(ArcSwapOption<Box<[IpNet]>>);

/// The most entries of a list.
pub const ENTRIES_MAX: usize = 20_000;

/// How often a list is asked for unless the configuration says otherwise.
pub const REFRESH_DEFAULT: Duration = Duration::from_secs(3600);

/// Those that are published for machines, by their providers' own pages.
pub const NAMED: &[Named] = &[
    // docs.github.com/en/rest/meta
    Named { name: "github", url: "https://api.github.com/meta", pointers: &["/hooks"], having: &[] },
    // docs.stripe.com/ips
    Named {
        name: "stripe",
        url: "https://stripe.com/files/ips/ips_webhooks.json",
        pointers: &["/WEBHOOKS"],
        having: &[],
    },
    // support.atlassian.com/organization-administration/docs/ip-addresses-and-domains-for-atlassian-cloud-products
    Named {
        name: "bitbucket",
        url: "https://ip-ranges.atlassian.com/",
        pointers: &["/items/*/cidr"],
        having: &[("product", "bitbucket"), ("direction", "egress")],
    },
    // The same list, whatever the product.
    Named {
        name: "atlassian",
        url: "https://ip-ranges.atlassian.com/",
        pointers: &["/items/*/cidr"],
        having: &[("direction", "egress")],
    },
    // developer.paddle.com/webhooks
    Named { name: "paddle", url: "https://api.paddle.com/ips", pointers: &["/data/ipv4_cidrs"], having: &[] },
    Named {
        name: "paddle-sandbox",
        url: "https://sandbox-api.paddle.com/ips",
        pointers: &["/data/ipv4_cidrs"],
        having: &[],
    },
    // developer.pagerduty.com/docs/webhook-ips
    Named {
        name: "pagerduty",
        url: "https://developer.pagerduty.com/ip-safelists/webhooks-us-service-region-json",
        pointers: &["/*"],
        having: &[],
    },
    Named {
        name: "pagerduty-eu",
        url: "https://developer.pagerduty.com/ip-safelists/webhooks-eu-service-region-json",
        pointers: &["/*"],
        having: &[],
    },
    // help.okta.com: allow access to Okta IP addresses
    Named {
        name: "okta",
        url: "https://s3.amazonaws.com/okta-ip-ranges/ip_ranges.json",
        pointers: &["/*/ip_ranges"],
        having: &[],
    },
    // core.telegram.org/bots/webhooks
    Named { name: "telegram", url: "https://core.telegram.org/resources/cidr.txt", pointers: &[], having: &[] },
    // developers.cloudflare.com/fundamentals/concepts/cloudflare-ip-addresses
    Named {
        name: "cloudflare",
        url: "https://api.cloudflare.com/client/v4/ips",
        pointers: &["/result/ipv4_cidrs", "/result/ipv6_cidrs"],
        having: &[],
    },
];

// === impl Feed ===

impl Feed {
    /// The feed with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let named = NAMED.iter().find(|named| named.name == name)?;
        let form = if named.pointers.is_empty() {
            Form::Text
        } else {
            let pointers = named.pointers.iter().filter_map(|pointer| Form::pointer(pointer)).collect();
            let having = named.having.iter().map(|(field, word)| ((*field).into(), (*word).into())).collect();
            Form::Json { pointers, having }
        };
        Some(Self { name: named.name.into(), url: named.url.into(), form, refresh: REFRESH_DEFAULT })
    }

    /// The list that an answer holds.
    ///
    /// # Errors
    /// It holds none, or something else than addresses and networks: such an answer never takes a good list's place.
    pub fn parse(&self, answer: &[u8]) -> Result<Vec<IpNet>, FeedError> {
        let text = std::str::from_utf8(answer).map_err(|_where| FeedError::Unreadable("text"))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let networks = match &self.form {
            Form::Text => {
                let list = Config::parse_list(text).map_err(|error| FeedError::Entry(cut(&error.entry)))?;
                list.networks
            }
            Form::Json { pointers, having } => {
                let whole: Value = serde_json::from_str(text).map_err(|_why| FeedError::Unreadable("JSON"))?;
                let mut networks = Vec::new();
                for pointer in pointers {
                    collect(&whole, pointer, having, &mut networks)?;
                }
                networks
            }
        };
        if let Some(everybody) = networks.iter().find(|network| network.prefix_len() == 0) {
            return Err(FeedError::Everybody(*everybody));
        }
        match networks.len() {
            0 => Err(FeedError::Empty),
            1..=ENTRIES_MAX => Ok(networks),
            _ => Err(FeedError::TooMany),
        }
    }
}

impl Form {
    /// The tokens of a JSON pointer; `None` where it is none.
    #[must_use]
    pub fn pointer(text: &str) -> Option<Vec<Box<str>>> {
        let tokens = text.strip_prefix('/')?.split('/');
        Some(tokens.map(|token| token.replace("~1", "/").replace("~0", "~").into()).collect())
    }
}

/// Everything below a pointer: text is an entry, a list holds entries.
fn collect(
    value: &Value,
    pointer: &[Box<str>],
    having: &[(Box<str>, Box<str>)],
    networks: &mut Vec<IpNet>,
) -> Result<(), FeedError> {
    let Some((token, rest)) = pointer.split_first() else {
        let entries = match value {
            Value::Array(entries) => entries.as_slice(),
            one => std::slice::from_ref(one),
        };
        for entry in entries {
            let text = entry.as_str().ok_or_else(|| FeedError::Entry(cut(&entry.to_string())))?;
            networks.push(Config::parse_entry(text).map_err(|error| FeedError::Entry(cut(&error.entry)))?);
            if networks.len() > ENTRIES_MAX {
                return Err(FeedError::TooMany);
            }
        }
        return Ok(());
    };
    // Only the objects that hold the entry itself are asked.
    let is_wanted = |value: &Value| !(rest.is_empty() && value.is_object()) || has_all(value, having);
    match value {
        Value::Array(items) if **token == *"*" => {
            items.iter().try_for_each(|item| collect(item, rest, having, networks))
        }
        Value::Object(fields) if **token == *"*" => {
            fields.values().try_for_each(|item| collect(item, rest, having, networks))
        }
        Value::Object(fields) if is_wanted(value) => {
            fields.get(&**token).map_or(Ok(()), |field| collect(field, rest, having, networks))
        }
        _ => Ok(()),
    }
}

fn has_all(value: &Value, having: &[(Box<str>, Box<str>)]) -> bool {
    having.iter().all(|(field, word)| match value.get(&**field) {
        Some(Value::String(text)) => **text == **word,
        Some(Value::Array(words)) => words.iter().any(|one| one.as_str() == Some(word)),
        _ => false,
    })
}

/// What is shown of an entry.
fn cut(entry: &str) -> String {
    entry.chars().take(64).collect()
}

// === impl List ===

impl List {
    /// Whether an address is on the list; `None` where the list was never loaded.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> Option<bool> {
        let networks = self.0.load();
        let address = address.to_canonical();
        networks.as_ref().map(|networks| networks.iter().any(|network| network.contains(&address)))
    }

    /// Takes a new list; requests see the old one or the new one, whole.
    pub fn replace(&self, networks: &[IpNet]) {
        self.0.store(Some(Arc::new(IpNet::aggregate(&networks.to_vec()).into())));
    }

    /// How many networks it holds; `None` where it was never loaded.
    #[must_use]
    pub fn entries(&self) -> Option<usize> {
        self.0.load().as_ref().map(|networks| networks.len())
    }
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
