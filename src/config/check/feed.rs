//! `allow_ips: [{ feed: … }]`: names that are known, URLs that can be believed, pointers that can be read, and lists that
//! stand in a file.

use std::time::Duration;

use ipnet::IpNet;

use super::value::period;
use crate::config::document::problem::Problems;
use crate::config::document::spanned::At;
use crate::config::document::tree::NodeId;
use crate::config::written::{Feed as Written, FeedFormat, FeedSettings};
use crate::guard::allow_ips::Feed;
use crate::guard::allow_ips::feed::{Form, NAMED, REFRESH_DEFAULT};

/// The bounds of `refresh`.
const REFRESH_MIN: Duration = Duration::from_secs(1);
const REFRESH_MAX: Duration = Duration::from_secs(7 * 86_400);

/// The longest URL, in bytes.
const URL_BYTES_MAX: usize = 1024;

pub(super) fn feed(At { value: written, at }: &At<Written>, problems: &mut Problems<'_>) -> Option<Feed> {
    let settings = match written {
        Written::Settings(settings) => settings,
        Written::Named(name) => {
            let feed = Feed::named(name.trim());
            if feed.is_none() {
                let names: Vec<_> = NAMED.iter().map(|named| named.name).collect();
                let hint = format!("one of {}; another list is {{ feed: {{ url: https://… }} }}", names.join(", "));
                problems.wrong(*at, "no list of this name is known", hint);
            }
            return feed;
        }
    };
    let Some(written_url) = &settings.url else {
        problems.wrong(*at, "`url` is missing", "say where the list is, or give it as `file` beside `feed`");
        return None;
    };
    let url = url(written_url, problems)?;
    let form = form(settings, *at, problems)?;
    let refresh = period(settings.refresh.as_ref(), REFRESH_DEFAULT, problems);
    if let Some(written) = settings.refresh.as_ref().filter(|_| !(REFRESH_MIN..=REFRESH_MAX).contains(&refresh)) {
        problems.wrong(written.at, "out of bounds", "write 1s to 7d; providers ask for no more than once in an hour");
    }
    // A query may hold a token: the name is what logs and metrics show.
    let name = url.split(['?', '#']).next().unwrap_or_default().into();
    Some(Feed { name, url: url.as_str().into(), form, refresh })
}

/// The networks of a list that stands in a file, read as an answer of this feed is.
pub(super) fn copy(written: &At<Written>, text: &At<String>, problems: &mut Problems<'_>) -> Option<Vec<IpNet>> {
    let list = match &written.value {
        Written::Named(_) => feed(written, problems)?,
        Written::Settings(settings) => {
            let asked = [settings.url.as_ref().map(|url| url.at), settings.refresh.as_ref().map(|refresh| refresh.at)];
            for at in asked.into_iter().flatten() {
                problems.wrong(at, "a list that stands in a file is not asked for", "remove this, or `file`");
            }
            let form = form(settings, written.at, problems)?;
            Feed { name: "file".into(), url: "".into(), form, refresh: REFRESH_DEFAULT }
        }
    };
    match list.parse(text.value.as_bytes()) {
        Ok(networks) => Some(networks),
        Err(error) => {
            let message = format!("the file is not this list: {}", error.to_string().replace("the answer", "it"));
            problems.wrong(text.at, message, "fetch it again from where its provider publishes it");
            None
        }
    }
}

fn url(At { value, at }: &At<String>, problems: &mut Problems<'_>) -> Option<String> {
    let url = url::Url::parse(value.trim()).ok().filter(|url| url.has_host() && value.len() <= URL_BYTES_MAX);
    let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https")) else {
        problems.wrong(*at, "not a URL", "write it like https://example.com/addresses.json");
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        problems.wrong(*at, "a URL with a user, a password or a fragment", "remove them: nothing of that is sent");
        return None;
    }
    let is_local = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() == "http" && !is_local {
        let hint = "write https://…; http is for this machine alone";
        problems.wrong(*at, "whoever is on the way could let himself in", hint);
        return None;
    }
    Some(url.into())
}

fn form(settings: &FeedSettings, feed_at: NodeId, problems: &mut Problems<'_>) -> Option<Form> {
    let format = settings.format.as_ref().map(|format| format.value);
    match (format, &settings.pointer) {
        (Some(FeedFormat::Text), Some(pointer)) => {
            problems.wrong(pointer.at, "a list in lines has no pointer", "remove it, or write `format: json`");
            None
        }
        (None | Some(FeedFormat::Text), None) => Some(Form::Text),
        (Some(FeedFormat::Json), None) => {
            let at = settings.format.as_ref().map_or(feed_at, |format| format.at);
            problems.wrong(at, "nothing says where the list stands in the JSON", "add `pointer: /hooks`");
            None
        }
        (None | Some(FeedFormat::Json), Some(list)) => {
            let mut pointers = Vec::new();
            for written in &list.value.0 {
                match Form::pointer(written.value.trim()) {
                    Some(pointer) => pointers.push(pointer),
                    None => problems.wrong(written.at, "not a JSON pointer", "write it like /hooks or /items/*/cidr"),
                }
            }
            if list.value.0.is_empty() {
                problems.wrong(list.at, "the list is empty", "add a pointer such as /hooks");
            }
            (!pointers.is_empty()).then_some(Form::Json { pointers, having: Vec::new() })
        }
    }
}
