//! `sources`: paths and guards.

use std::num::NonZeroU32;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};

use super::checked::{Mode, Source};
use super::feed::{copy, feed};
use super::ports::refuse_entry;
use super::value::{NAME_HINT, count, header_name, is_name, period, size};
use super::verify::{Proof, verify};
use crate::config::document::problem::Problems;
use crate::config::document::spanned::{At, Named, OneOrMany};
use crate::config::document::tree::{NodeId, Tree};
use crate::config::quantity::{Period, Size};
use crate::config::written;
use crate::guard::body::LARGE_BYTES;
use crate::guard::{allow_ips, declared, dedup, envelope, rate_limit, signature};
use crate::ingress;
use crate::intake::Respond;

/// The longest path.
const PATH_BYTES_MAX: usize = 512;

/// What a source can take; the others have no place in a webhook.
const METHODS: [Method; 5] = [Method::POST, Method::PUT, Method::PATCH, Method::GET, Method::DELETE];

pub(super) fn sources(
    written: &Named<written::Source>,
    sends: bool,
    ingress: &ingress::Config,
    problems: &mut Problems<'_>,
) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    if written.0.is_empty() && !sends {
        // Also what a file that is only half written says.
        problems.wrong_key(
            Tree::ROOT,
            "sources",
            "there are no sources: nothing could come in",
            "add one below `sources`",
        );
    }
    for (name, source) in &written.0 {
        if !is_name(name) {
            problems.wrong_name(source.at, "not a name", NAME_HINT);
        }
        let path = &source.value.path;
        if let Some(other) = sources.iter().find(|other| *other.path == *path.value) {
            let message = format!("the source `{}` has this path already", other.name);
            problems.wrong(path.at, message, "a request must belong to one source: choose another path");
        }
        sources.push(self::source(name, source, ingress, problems));
    }
    sources
}

fn source(
    name: &str,
    At { value: written, at }: &At<written::Source>,
    ingress: &ingress::Config,
    problems: &mut Problems<'_>,
) -> Source {
    let reports = match &written.enforce {
        None | Some(At { value: written::Enforce::On, .. }) => false,
        Some(At { value: written::Enforce::Report, at }) => {
            problems.warn(
                *at,
                "the guards refuse nothing: everybody is let through",
                "fine for moving in; then write `on`",
            );
            true
        }
    };
    let Proof { signature, replay_window, handshakes, verify_token } = verify(&written.verify, problems);
    let default = signature.scheme.body_bytes_max.unwrap_or(ingress.body_bytes_max as u64);
    let memory = (ingress.body_memory_max as u64).max(1);
    let checked = Source {
        name: name.into(),
        path: path(&written.path, problems),
        mode: super::mode::mode(written, *at, problems),
        reports,
        methods: methods(written.methods.as_ref(), problems),
        allow_ips: written.allow_ips.as_ref().map(|list| allow_ips(list, problems)),
        rate_limits: written
            .rate_limit
            .iter()
            .flat_map(|limits| &limits.value.0)
            .map(|limit| rate_limit(limit, problems))
            .collect(),
        declared: declared::Config {
            body_bytes_max: size(written.body_bytes_max.as_ref(), default.min(memory), 1, memory, problems),
            content_types: content_types(written.content_types.as_ref(), &signature, problems),
        },
        envelope: envelope::Config::of(&signature.scheme),
        dedup: dedup(written.dedup.as_ref(), *at, &signature, problems),
        respond: respond(written.respond.as_ref(), &signature, problems),
        handshakes,
        verify_token,
        signature,
        replay_window,
    };
    room_in_files(&checked, *at, ingress, problems);
    if let (Some(window), Some(dedup)) = (&checked.replay_window, &checked.dedup)
        && window.tolerance > dedup.window
    {
        problems.wrong_key(
            written.verify.at,
            "tolerance",
            "longer than dedup.window: a copy between the two would count as new",
            format!("make it at most {}", Period(dedup.window)),
        );
    }
    checked
}

/// Whether the largest body that is taken for an app has room in the files where large ones wait.
fn room_in_files(source: &Source, at: NodeId, ingress: &ingress::Config, problems: &mut Problems<'_>) {
    let waits_in_files = matches!(source.mode, Mode::Proxy { keeps: false, .. })
        && !matches!(source.signature.scheme.proof, signature::Proof::Odd(_));
    let (bytes, room) = (source.declared.body_bytes_max, ingress.body_spool_max as u64);
    if waits_in_files && bytes > room.max(LARGE_BYTES) {
        problems.wrong_key(
            at,
            "body_bytes_max",
            format!("{} is more than ingress.body_spool_max: the largest body could never be passed on", Size(bytes)),
            format!("write at most {}, or a larger ingress.body_spool_max", Size(room.max(LARGE_BYTES))),
        );
    }
}

fn path(written: &At<String>, problems: &mut Problems<'_>) -> Box<str> {
    let path = written.value.as_str();
    let hint = if !path.starts_with('/') {
        "a path begins with `/`"
    } else if path.len() > PATH_BYTES_MAX {
        "a path is at most 512 bytes long"
    } else if path.contains(['?', '#']) {
        "a path has no query and no fragment; a source takes any query"
    } else if path.contains(['{', '}', '*']) {
        "a path stands for itself: no patterns"
    } else if !ingress::router::is_possible(path) {
        "no URL has it: write other characters percent-encoded, as they come over the wire, and no control characters"
    } else {
        return path.into();
    };
    problems.wrong(written.at, "not a path", hint);
    path.into()
}

fn methods(written: Option<&At<Vec<At<String>>>>, problems: &mut Problems<'_>) -> Vec<Method> {
    let Some(At { value: list, at }) = written else { return vec![Method::POST] };
    if list.is_empty() {
        problems.wrong(*at, "the list is empty: no request could be taken", "write [POST]");
    }
    let mut methods = Vec::new();
    for entry in list {
        match METHODS.iter().find(|method| method.as_str() == entry.value.trim()) {
            Some(method) if !methods.contains(method) => methods.push(method.clone()),
            Some(_) => problems.wrong(entry.at, "this method is here twice", "remove one of them"),
            None => {
                problems.wrong(entry.at, "not a method that a source takes", "one of POST, PUT, PATCH, GET, DELETE")
            }
        }
    }
    methods
}

fn content_types(
    written: Option<&At<Vec<At<String>>>>,
    signature: &signature::Config,
    problems: &mut Problems<'_>,
) -> Option<Vec<Box<str>>> {
    let Some(At { value: list, at }) = written else {
        let of_scheme = signature.scheme.content_types.as_ref()?;
        return Some(of_scheme.iter().map(|of_scheme| of_scheme.as_ref().into()).collect());
    };
    if list.is_empty() {
        problems.wrong(*at, "the list is empty: no request could be taken", "write [application/json]");
    }
    let token = |text: &str| !text.is_empty() && text.parse::<http::HeaderName>().is_ok();
    let mut types = Vec::new();
    for entry in list {
        let lower = entry.value.trim().to_ascii_lowercase();
        match lower.split_once('/') {
            Some((kind, sub)) if token(kind) && token(sub) => types.push(lower.into()),
            _ => problems.wrong(entry.at, "not a content type", "write it like application/json, without parameters"),
        }
    }
    Some(types)
}

fn allow_ips(
    At { value: list, at }: &At<OneOrMany<written::AllowEntry>>,
    problems: &mut Problems<'_>,
) -> allow_ips::Config {
    let (mut networks, mut feeds) = (Vec::new(), Vec::new());
    for At { value: entry, at } in &list.0 {
        let text = match entry {
            written::AllowEntry::Text(text) => text,
            written::AllowEntry::Unclear => {
                let hint = "write { file: list } or { feed: github }";
                problems.wrong(*at, "a mapping here is either a file or a feed", hint);
                continue;
            }
            written::AllowEntry::Copy(list, text) => {
                networks.extend(copy(list, text, problems).unwrap_or_default());
                continue;
            }
            written::AllowEntry::Feed(written) => {
                match feed(written, problems) {
                    Some(feed) if feeds.contains(&feed) => {
                        problems.wrong(*at, "this list is here twice", "remove one of them");
                    }
                    feed => feeds.extend(feed),
                }
                continue;
            }
        };
        match allow_ips::Config::parse_list(text) {
            Ok(entries) => networks.extend(entries.networks),
            Err(error) => refuse_entry(&At { value: text.clone(), at: *at }, error.line, problems),
        }
    }
    let is_blank = |entry: &At<written::AllowEntry>| matches!(&entry.value, written::AllowEntry::Text(text) if text.trim().is_empty());
    if networks.is_empty() && list.0.iter().all(is_blank) {
        problems.wrong(*at, "the list is empty: nobody could send", "add addresses, or remove the key to allow all");
    }
    allow_ips::Config { networks, feeds }
}

fn rate_limit(At { value: written, .. }: &At<written::RateLimit>, problems: &mut Problems<'_>) -> rate_limit::Config {
    let requests = count(Some(&written.requests), NonZeroU32::MIN, problems);
    let per = period(Some(&written.per), rate_limit::PER_MAX, problems);
    if per > rate_limit::PER_MAX {
        problems.wrong(written.per.at, "longer than a day", "write at most 24h");
    }
    let by = match written.by.as_ref().map(|by| (by, by.value.trim())) {
        None | Some((_, "ip")) => rate_limit::By::Ip,
        Some((_, "source")) => rate_limit::By::Source,
        Some((by, text)) => match text.strip_prefix("header:") {
            Some(name) => header_name(&At { value: name.to_owned(), at: by.at }, problems)
                .map_or(rate_limit::By::Ip, rate_limit::By::Header),
            None => {
                problems.wrong(by.at, "nothing to count by", "write ip, source or header:NAME");
                rate_limit::By::Ip
            }
        },
    };
    let mut checked = rate_limit::Config::new(requests, per, by);
    checked.burst = count(written.burst.as_ref(), checked.burst, problems);
    checked
}

fn dedup(
    written: Option<&At<written::Dedup>>,
    source: NodeId,
    signature: &signature::Config,
    problems: &mut Problems<'_>,
) -> Option<dedup::Config> {
    let id = &signature.scheme.event_id;
    let no_id = id.body.is_none() && id.header.is_none();
    let (window, by) = match written.map(|written| &written.value) {
        Some(written::Dedup::Off) => return None,
        Some(written::Dedup::On { window, by }) => (window.as_ref(), by.as_ref()),
        None => (None, None),
    };
    let window = period(window, dedup::WINDOW_DEFAULT, problems);
    let by = match by.map(|by| (by, by.value.trim())) {
        Some((_, "body")) => dedup::By::Body,
        None if signature.scheme.copies != dedup::By::Id => signature.scheme.copies.clone(),
        None | Some((_, "id")) => {
            if let (true, Some((by, _))) = (no_id, by.map(|by| (by, ()))) {
                let hint = match signature.scheme.is_custom() {
                    true => "say where it stands with verify.id, or choose body, header:NAME or /pointer",
                    false => "choose body, header:NAME or /pointer",
                };
                problems.wrong(by.at, "this scheme does not know where the event's id stands", hint);
            } else if no_id {
                let hint = match signature.scheme.is_custom() {
                    true => "set verify.id or dedup.by; `dedup: off` where copies do not matter",
                    false => "its events have no id: set dedup.by; `dedup: off` where copies do not matter",
                };
                problems.warn_name(source, "copies are not recognised: nothing says what makes one", hint);
            }
            dedup::By::Id
        }
        Some((by, text)) => {
            let field = if text.starts_with('/') { format!("body:{text}") } else { text.to_owned() };
            match field.parse() {
                Ok(field) => dedup::By::Field(field),
                Err(_) => {
                    problems.wrong(
                        by.at,
                        "nothing to compare by",
                        "write id, body, header:NAME or a pointer such as /data/id",
                    );
                    dedup::By::Id
                }
            }
        }
    };
    Some(dedup::Config { window, by })
}

fn respond(
    written: Option<&At<written::Respond>>,
    signature: &signature::Config,
    problems: &mut Problems<'_>,
) -> Respond {
    let mut respond = Respond::default();
    if let Some(of_scheme) = &signature.scheme.respond {
        respond.body = Bytes::copy_from_slice(of_scheme.as_bytes());
    }
    let Some(At { value: written, .. }) = written else { return respond };
    if let Some(At { value, at }) = &written.status {
        match StatusCode::from_u16(*value) {
            Ok(status) if status.is_success() => respond.status = status,
            _ => problems.wrong(*at, "not a 2xx status: the sender would send again", "write 200 to 299"),
        }
    }
    if let Some(At { value, at }) = &written.body {
        if value.len() as u64 > 64 << 10 {
            problems.wrong(*at, "larger than the answer may be", format!("write at most {}", Size(64 << 10)));
        }
        respond.body = Bytes::from(value.clone());
    }
    if let Some(At { value, at }) = &written.content_type {
        match HeaderValue::from_str(value) {
            Ok(value) if value.to_str().is_ok_and(|text| text.contains('/')) => respond.content_type = value,
            _ => problems.wrong(*at, "not a content type", "write it like application/json"),
        }
    }
    if respond.status == StatusCode::NO_CONTENT && !respond.body.is_empty() {
        if let Some(body) = &written.body {
            problems.wrong(body.at, "a 204 has no body", "remove it, or answer with 200");
        }
        respond.body = Bytes::new();
    }
    respond
}
