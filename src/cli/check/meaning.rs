//! What a configuration means, in the order in which a request meets it.

use std::time::Duration;

use ipnet::IpNet;

use crate::config::{self, Checked, Destination, Loaded, Mode, Outbound, Period, Size, Source};
use crate::deliver::{Speaks, Upstream};
use crate::domain::Route;
use crate::guard::rate_limit::By;
use crate::guard::{dedup, signature};
use crate::ingress;
use crate::store::redis::Address;

/// The whole configuration for a person.
pub(super) fn describe(loaded: &Loaded) -> String {
    let Loaded { checked, file, .. } = loaded;
    let mut out = format!("{}: valid\n", file.display());
    ports(&mut out, checked);
    section(&mut out, "sources");
    checked.sources.iter().for_each(|source| self::source(&mut out, source));
    section(&mut out, "routes");
    checked.routes.0.iter().for_each(|route| self::route(&mut out, route));
    section(&mut out, "destinations");
    checked.destinations.iter().for_each(|destination| self::destination(&mut out, destination));
    if let Some(outbound) = &checked.outbound {
        section(&mut out, "outbound");
        self::outbound(&mut out, outbound);
    }
    out
}

/// A token's name and what it is good for.
fn token(token: &config::Token) -> String {
    let project = token.project.as_ref().map_or_else(String::new, |project| format!(" of {project}"));
    format!("{} ({}{project})", token.name, token.role.as_str())
}

fn section(out: &mut String, name: &str) {
    out.push('\n');
    out.push_str(name);
    out.push('\n');
}

/// What the sending side does.
fn outbound(out: &mut String, outbound: &Outbound) {
    let Outbound { header_prefix, event_types, concurrency, attempts_max, timeout, .. } = outbound;
    line(out, format_args!("events are emitted through the API, {} types in the catalogue", event_types.len()));
    line(out, format_args!("signed in {header_prefix}-Signature and as Standard Webhooks"));
    line(
        out,
        format_args!(
            "at most {concurrency} attempts of a webhook at once, {attempts_max} of all, {} each",
            Period(*timeout)
        ),
    );
    match outbound.allow_private.as_slice() {
        [] => line(out, format_args!("webhooks are called at public addresses only")),
        allowed => {
            let allowed: Vec<_> = allowed.iter().map(IpNet::to_string).collect();
            line(out, format_args!("webhooks are called at public addresses, and in {}", allowed.join(", ")));
        }
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.push_str(&format!("  {text}\n"));
}

/// What the ingress speaks, and whose certificates it shows.
fn speaks(out: &mut String, ingress: &ingress::Config) {
    match &ingress.tls {
        None => line(out, format_args!("speaks HTTP/1.1, and HTTP/2 with prior knowledge")),
        Some(tls) => {
            line(out, format_args!("speaks HTTP/1.1 and HTTP/2 over TLS 1.2 and 1.3"));
            for identity in tls.identities() {
                let names = match identity.names() {
                    [] => "no name".to_owned(),
                    names => names.join(", "),
                };
                line(out, format_args!("shows a certificate for {names}, valid until {}", identity.not_after()));
            }
            if tls.asks_for_client_certificates() {
                line(out, format_args!("takes clients with client certificates of client_ca only"));
            }
        }
    }
}

fn ports(out: &mut String, checked: &Checked) {
    let (ingress, admin, store) = (&checked.ingress, &checked.admin, &checked.store);
    section(out, "ingress");
    line(out, format_args!("listens on {}", ingress.listen));
    speaks(out, ingress);
    match ingress.trusted_proxies.as_slice() {
        [] => line(out, format_args!("the client is the socket's peer: no proxy is trusted")),
        proxies => line(out, format_args!("trusts the proxies {}", networks(proxies))),
    }
    if let Some(version) = ingress.proxy_protocol {
        let version = version.as_str();
        line(out, format_args!("takes connections from those only, each with a PROXY header ({version}); else closed"));
    }
    line(
        out,
        format_args!(
            "limits: {} connections, headers {}, body {}, all bodies {} in memory and {} in files; headers within {}, request within {}, drain within {}",
            ingress.connections_max,
            bytes(ingress.headers_bytes_max),
            bytes(ingress.body_bytes_max),
            bytes(ingress.body_memory_max),
            bytes(ingress.body_spool_max),
            Period(ingress.header_timeout),
            Period(ingress.request_timeout),
            Period(ingress.drain_timeout),
        ),
    );
    section(out, "admin");
    line(out, format_args!("listens on {}", admin.listen));
    match admin.tokens.as_slice() {
        [] => line(out, format_args!("no tokens: whoever reaches this loopback address may do everything")),
        tokens => {
            let tokens: Vec<_> = tokens.iter().map(token).collect();
            line(out, format_args!("tokens: {}", tokens.join(", ")));
        }
    }
    section(out, "store");
    let durability = store.durability.as_str();
    match &store.redis {
        None => line(out, format_args!("embedded, in {}, {durability}", store.path.display())),
        Some(redis) => {
            let address = Address::parse(&String::from_utf8_lossy(redis.url.expose()));
            let address = address.map(|address| address.to_string()).unwrap_or_default();
            let (prefix, shards) = (&redis.key_prefix, redis.shards);
            let kind = if redis.cluster { "a cluster of redis" } else { "redis" };
            line(out, format_args!("{kind}, at {address}, keys {prefix} in {shards} shards, {durability}"));
        }
    }
    line(
        out,
        format_args!(
            "keeps events {} after their last delivery, rejections {}",
            Period(store.retention_events),
            Period(store.retention_rejections)
        ),
    );
    let bytes_max = store.bytes_max.map_or_else(|| "no bound of its own".to_owned(), |bytes| Size(bytes).to_string());
    let room = match &store.redis {
        None => format!("{bytes_max} on disk, {} of the disk stay free", Size(store.disk_free_min)),
        Some(_) => format!("{bytes_max} in the memory of redis"),
    };
    let refused = Size(store.rejections_bytes_max);
    line(out, format_args!("limits: {room}, {refused} for bodies of refused requests"));
}

/// The guards in the order in which a request meets them.
fn source(out: &mut String, source: &Source) {
    let methods: Vec<_> = source.methods.iter().map(ToString::to_string).collect();
    line(out, format_args!("{}: {} {}", source.name, methods.join(" "), source.path));
    let mut step = 0;
    let mut guard = |text: String| {
        step += 1;
        line(out, format_args!("  {step}. {text}"));
    };
    match &source.allow_ips {
        Some(list) => {
            let feeds = list.feeds.iter().map(|feed| format!("the list {}", feed.name));
            let addresses = Some(networks(&list.networks)).filter(|addresses| !addresses.is_empty());
            guard(format!("from {} (else 403)", addresses.into_iter().chain(feeds).collect::<Vec<_>>().join(", ")));
        }
        None => guard("from any address".to_owned()),
    }
    let limits = |by_ip: bool| source.rate_limits.iter().filter(move |limit| (limit.by == By::Ip) == by_ip);
    let limit = |limit: &crate::guard::rate_limit::Config| {
        let by = match &limit.by {
            By::Ip => "address".to_owned(),
            By::Source => "source".to_owned(),
            By::Header(name) => format!("value of {name}"),
        };
        format!("at most {} in {} by {by}, {} at once (else 429)", limit.requests, Period(limit.per), limit.burst)
    };
    limits(true).map(limit).for_each(&mut guard);
    let types = match &source.declared.content_types {
        Some(types) => types.join(", "),
        None => "any content type".to_owned(),
    };
    source.handshakes.iter().for_each(|handshake| guard(format!("a handshake is answered: {}", handshake.what)));
    guard(format!("at most {} of {types} (else 413, 415)", Size(source.declared.body_bytes_max)));
    guard(proof(&source.signature));
    if let Some(window) = &source.replay_window {
        guard(format!("signed at most {} ago (else 401)", Period(window.tolerance)));
    }
    limits(false).map(limit).for_each(&mut guard);
    let delivered = if source.mode == Mode::Queue { "delivered" } else { "passed on" };
    guard(match &source.dedup {
        None => format!("copies are {delivered} again (dedup: off)"),
        Some(dedup::Config { window, by }) => {
            let by = match by {
                dedup::By::Id => "id".to_owned(),
                dedup::By::Body => "body".to_owned(),
                dedup::By::Field(field) => format!("{field:?}"),
            };
            format!("copies within {} by {by} are not {delivered} again", Period(*window))
        }
    });
    if source.reports {
        line(
            out,
            format_args!(
                "  enforce: report: what these would refuse is noted, marked Hookward-Reported and let through"
            ),
        );
    }
    mode(out, source);
}

/// What becomes of what the guards have let through.
fn mode(out: &mut String, source: &Source) {
    match &source.mode {
        Mode::Queue => line(out, format_args!("  then {}", source.respond.status)),
        Mode::Proxy { app, speaks, fails_open, .. } => {
            let to = Upstream::join(app, &source.path);
            let over = match speaks {
                Speaks::Http1 => "",
                Speaks::Http2 => " over HTTP/2",
                Speaks::Either => " over the HTTP that it chooses",
            };
            line(
                out,
                format_args!("  then passed on to {app} as {to}{over}, and its answer goes back (else 502, 504)"),
            );
            if *fails_open {
                line(
                    out,
                    format_args!(
                        "  while the store cannot be asked: passed on, copies too, marked Hookward-Dedup: off"
                    ),
                );
            }
            if let Some(name) = source.kept_for_app() {
                let status = source.respond.status;
                line(out, format_args!("  while it cannot be reached: kept, {status}, and delivered to it as {name}"));
            }
        }
    }
}

fn proof(signature: &signature::Config) -> String {
    match signature.secrets.len() {
        0 => format!("{}: everybody is believed", signature.scheme.name),
        1 => format!("{} with one secret (else 401)", signature.scheme.name),
        count => format!("{} with any of {count} secrets (else 401)", signature.scheme.name),
    }
}

fn route(out: &mut String, route: &Route) {
    let from = route.from.as_ref().map_or_else(|| "every source".to_owned(), |from| from.join(", "));
    let types = match &route.types {
        Some(types) => types.iter().map(|glob| glob.as_str()).collect::<Vec<_>>().join(", "),
        None => "everything".to_owned(),
    };
    let after =
        |word: &str, time: Option<Duration>| time.map(|time| format!(", {word} {}", Period(time))).unwrap_or_default();
    line(
        out,
        format_args!(
            "{from}: {types} -> {}{}{}",
            route.to.join(", "),
            after("after", route.delay),
            after("expires after", route.expires)
        ),
    );
}

fn destination(out: &mut String, Destination { settings, endpoint }: &Destination) {
    match endpoint {
        Some(endpoint) => line(out, format_args!("{}: {}", settings.name, without_query(endpoint.url.as_str()))),
        None => line(out, format_args!("{}: drops everything (discard)", settings.name)),
    }
    line(
        out,
        format_args!(
            "  {} at a time{}, {} each, at most {} pending; {} attempts, then dead",
            settings.concurrency,
            if settings.ordered { ", in the order of acceptance" } else { "" },
            Period(settings.timeout),
            settings.queue_max,
            settings.schedule.waits.len() + 1
        ),
    );
}

/// A query may carry a token.
fn without_query(url: &str) -> String {
    url.split_once('?').map_or_else(|| url.to_owned(), |(url, _)| format!("{url}?…"))
}

fn bytes(count: usize) -> Size {
    Size(count as u64)
}

/// The first of them, single addresses without their mask.
fn networks(networks: &[IpNet]) -> String {
    const SHOWN_MAX: usize = 8;
    let show = |network: &IpNet| match network.prefix_len() == network.max_prefix_len() {
        true => network.addr().to_string(),
        false => network.to_string(),
    };
    let mut shown: Vec<_> = networks.iter().take(SHOWN_MAX).map(show).collect();
    if networks.len() > SHOWN_MAX {
        shown.push(format!("{} more", networks.len() - SHOWN_MAX));
    }
    shown.join(", ")
}
