//! Lists: how long a page of 50 takes in a store with millions of deliveries, by every filter that the API has, alone and
//! in pairs, from the newest row on and from old ones.
//!
//! Filled through the API and really delivered: to a webhook that takes everything, one that takes a few types, one
//! that refuses (dead letters), one that asks for an hour (a backlog of open deliveries) and a paused one that wants
//! little (open deliveries of one webhook among those of another).

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::admin::Client;
use crate::event::{TYPES, Variety, type_name};
use crate::outbound::{ADMIN, OutboundPlan, PUBLISHER, Wish, register, start};
use crate::process::Role;
use crate::round::{STUCK, arguments, numbers};
use crate::sender::Plan;
use crate::systems::{Places, Running, wait_for};

/// Rows of a page.
const LIMIT: usize = 50;
/// Pages of each query: half of them from the newest row on, the others from rows of every age.
const SAMPLES: usize = 120;
/// Where deep pages begin: so many places, evenly over the store's age.
const PLACES: usize = 60;
/// Deliveries of an event, on average: everything, backlog, a few types, a refused one.
const DELIVERIES_OF_EVENT: f64 = 2.0 + 0.25 + 0.0625;
/// Events of the small project.
const SMALL: u64 = 2_000;
/// What takes longer counts as this, in microseconds.
const LONGEST_MICROS: u64 = 600_000_000;
/// A page may end early and say where to go on; so many answers are asked for at most.
const PARTS_MAX: usize = 20;

/// What the mode measured.
pub(crate) struct Lists {
    pub(crate) wanted: u64,
    pub(crate) deliveries: u64,
    pub(crate) filled_per_second: f64,
    pub(crate) rss_bytes: u64,
    pub(crate) queries: Vec<Query>,
}

/// What one query took, in microseconds.
pub(crate) struct Query {
    pub(crate) name: String,
    /// Of the pages: how many rows they had on average.
    pub(crate) rows: f64,
    /// Answers that a page was put together from, at the most: more than one where answers ended early.
    pub(crate) parts_max: usize,
    /// Of whole pages.
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
    /// Of single answers.
    pub(crate) answer_p99: u64,
}

/// The webhooks, by what they do.
struct Webhooks {
    all: String,
    few: String,
    refusing: String,
    backlog: String,
    paused: String,
    small: String,
}

/// Fills a store with about so many deliveries and asks for pages.
pub(crate) fn run(deliveries: u64, places: &Places) -> Lists {
    let folder = places.folder("lists");
    let mut sink = Role::start(&["sink".to_owned(), "127.0.0.1:0".to_owned()]);
    let sink_port = sink.port();
    let mut refusing = Role::start(&["sink".to_owned(), "127.0.0.1:0".to_owned(), "400".to_owned()]);
    let refusing_port = refusing.port();
    let mut busy = Role::start(&["sink".to_owned(), "127.0.0.1:0".to_owned(), "503".to_owned()]);
    let busy_port = busy.port();
    let more = "  concurrency: 64\n  queue_max: 10000000\n";
    let mut running = start(places, &folder, &OutboundPlan { more });
    wait_for(&mut running);
    let mut client = Client::new(&running.address);
    let webhooks = Webhooks::register(&mut client, [sink_port, refusing_port, busy_port]);
    let events = (deliveries as f64 / DELIVERIES_OF_EVENT) as u64 + 1_000;
    let begun = Instant::now();
    emit(&mut running, 1, events / 2, PUBLISHER);
    emit(&mut running, events + 1, SMALL, &format!("{PUBLISHER}\r\nHookward-Project: small"));
    emit(&mut running, events / 2 + 1, events - events / 2, PUBLISHER);
    let wanted = events + events / 4 + SMALL;
    settled(&mut sink, wanted);
    // Or its first attempts would go on beside what is measured.
    settled(&mut busy, events);
    let filled_per_second = wanted as f64 / begun.elapsed().as_secs_f64();
    let counted = count(&mut client, &webhooks);
    let queries = measure(&mut client, &webhooks, events);
    let rss_bytes = running.usage().rss_bytes;
    Lists { wanted: deliveries, deliveries: counted, filled_per_second, rss_bytes, queries }
}

// === impl Webhooks ===

impl Webhooks {
    fn register(client: &mut Client, [sink_port, refusing_port, busy_port]: [u16; 3]) -> Self {
        let mut register = |project: &str, port: u16, types: &[String]| {
            let url = format!("http://127.0.0.1:{port}/hook");
            register(client, project, &Wish { url: &url, types })
        };
        let every = ["*".to_owned()];
        let webhooks = Self {
            all: register("default", sink_port, &every),
            few: register("default", sink_port, &[type_name(1)]),
            refusing: register("default", refusing_port, &[type_name(3)]),
            backlog: register("default", busy_port, &every),
            paused: register("default", sink_port, &[type_name(12)]),
            small: register("small", sink_port, &every),
        };
        let (status, answer) =
            client.ask("POST", &format!("/v1/webhooks/{}/pause", webhooks.paused), &format!("{ADMIN}\r\n"), "");
        assert_eq!(status, 200, "a webhook was not paused: {answer}");
        webhooks
    }
}

/// Emits events in a closed loop and waits for the answers.
fn emit(running: &mut Running, first: u64, events: u64, credential: &str) {
    let mut sender = Role::start(&arguments(&Plan {
        address: running.address.clone(),
        path: running.path.to_owned(),
        credential: credential.to_owned(),
        connections: 64,
        presigned: 0,
        rate: 0,
        seed: 0,
        first,
        events_max: events,
        variety: Variety::Types,
    }));
    assert_eq!(sender.hear(), "ready");
    sender.tell("go");
    let (mut accepted, mut progress) = (0, Instant::now());
    while accepted + 64 < events && progress.elapsed() < STUCK {
        std::thread::sleep(Duration::from_millis(50));
        running.check();
        let stats = sender.ask("stats");
        if stats[0] > accepted {
            (accepted, progress) = (stats[0], Instant::now());
        }
    }
    sender.tell("stop");
    let sent = numbers(&sender.hear());
    assert!(sent[0] >= events && sent[1] + sent[2] == 0, "emitted {} of {events} ({} refused)", sent[0], sent[1]);
}

/// Waits until the sink has got what it will get.
fn settled(sink: &mut Role, wanted: u64) {
    let (mut got, mut progress) = (0, Instant::now());
    while got < wanted && progress.elapsed() < STUCK {
        std::thread::sleep(Duration::from_millis(100));
        let stats = sink.ask("stats");
        if stats[0] + stats[1] > got {
            (got, progress) = (stats[0] + stats[1], Instant::now());
        }
    }
    assert!(got >= wanted, "the sink got {got} of {wanted} deliveries");
    // Outcomes are written within 250 ms.
    std::thread::sleep(Duration::from_secs(1));
}

/// Deliveries of all webhooks, as their statistics say.
fn count(client: &mut Client, webhooks: &Webhooks) -> u64 {
    let own = [&webhooks.all, &webhooks.few, &webhooks.refusing, &webhooks.backlog, &webhooks.paused];
    let own = own.into_iter().map(|id| (id, "default"));
    own.chain([(&webhooks.small, "small")])
        .map(|(id, project)| {
            let headers = format!("{ADMIN}\r\nHookward-Project: {project}\r\n");
            let (status, answer) = client.ask("GET", &format!("/v1/webhooks/{id}/stats"), &headers, "");
            assert_eq!(status, 200, "no statistics: {answer}");
            let stats: Value = serde_json::from_str(&answer).expect("statistics as JSON");
            let of = |name: &str| stats[name].as_u64().unwrap_or(0);
            let queue: u64 =
                ["pending", "in_flight", "held"].iter().filter_map(|name| stats["queue"][name].as_u64()).sum();
            of("succeeded") + of("dead") + of("cancelled") + queue
        })
        .sum()
}

/// Asks for pages of every kind.
fn measure(client: &mut Client, webhooks: &Webhooks, events: u64) -> Vec<Query> {
    let (times, deliveries) = places_in(client, "/v1/deliveries");
    let (_, of_events) = places_in(client, "/v1/events");
    let mut queries = Vec::new();
    for (name, path, parameters) in kinds(webhooks, &times, events, &of_events) {
        let cursors = if path == "/v1/events" { &of_events } else { &deliveries };
        let project = if name.starts_with("small") { "small" } else { "default" };
        queries.push(sample(client, name, &path, &parameters, cursors, project));
        if let Some(query) = queries.last() {
            eprintln!("{}", query.line());
        }
    }
    queries
}

/// Moments evenly over the age of a list, and the id of the newest row before each.
fn places_in(client: &mut Client, path: &str) -> (Vec<i64>, Vec<String>) {
    let headers = format!("{ADMIN}\r\n");
    let mut one = |query: &str| {
        let (status, answer) = client.ask("GET", &format!("{path}?limit=1{query}"), &headers, "");
        assert_eq!(status, 200, "no page: {answer}");
        let page: Value = serde_json::from_str(&answer).expect("a page as JSON");
        let row = page["data"].get(0).cloned()?;
        let at = row["created"].as_str().or_else(|| row["created_at"].as_str()).expect("when it was made").to_owned();
        Some((row["id"].as_str().expect("an id").to_owned(), at.parse::<jiff::Timestamp>().expect("a time")))
    };
    let (_, newest) = one("").expect("a row");
    // The store was filled within this.
    let mut oldest = newest;
    for seconds in 1..3_600 {
        let before = newest - jiff::SignedDuration::from_secs(seconds);
        match one(&format!("&created[lte]={before}")) {
            Some((_, at)) => oldest = at,
            None => break,
        }
    }
    let (first, last) = (oldest.as_millisecond(), newest.as_millisecond());
    let times: Vec<i64> =
        (1..=PLACES as i64).map(|place| first + (last - first) * place / (PLACES as i64 + 1)).collect();
    let ids = times.iter().filter_map(|at| one(&format!("&created[lte]={}", time(*at)))).map(|(id, _)| id).collect();
    (times, ids)
}

fn time(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).expect("a time").to_string()
}

/// A query, the path, and its parameters; where there are several, each sample has the next.
type Kind = (String, String, Vec<String>);

fn kinds(webhooks: &Webhooks, times: &[i64], events: u64, of_events: &[String]) -> Vec<Kind> {
    let (common, rare) = (type_name(0), type_name(TYPES - 3));
    let middle = times[times.len() / 2];
    let created = format!("created[gte]={}&created[lte]={}", time(times[times.len() / 3]), time(middle));
    let mut kinds: Vec<Kind> = Vec::new();
    let mut add = |name: &str, path: &str, parameters: &[&str]| {
        let mut what = vec![String::new()];
        what.extend(parameters.iter().map(|text| (*text).to_owned()));
        let shown = parameters.join(" & ");
        let name = format!("{name} {}", if shown.is_empty() { "no filter" } else { &shown });
        kinds.push((name, path.to_owned(), vec![what[1..].join("&")]));
    };
    let (common, rare) = (format!("type={common}"), format!("type={rare}"));
    let states = ["succeeded", "pending", "dead", "held", "in_flight", "cancelled", "expired"];
    let logs = [
        ("log of a busy webhook:", &webhooks.all),
        ("log of one type's webhook:", &webhooks.few),
        ("log of a refusing webhook:", &webhooks.refusing),
        ("log of a backlog:", &webhooks.backlog),
        ("log of a paused webhook:", &webhooks.paused),
        ("small project's log:", &webhooks.small),
    ];
    for (name, id) in logs {
        let path = format!("/v1/webhooks/{id}/deliveries");
        add(name, &path, &[]);
        for state in states {
            add(name, &path, &[&format!("status={state}")]);
        }
        for filter in [&common, &rare, &created] {
            add(name, &path, &[filter]);
            for state in ["succeeded", "pending", "dead", "held"] {
                add(name, &path, &[&format!("status={state}"), filter]);
            }
        }
        add(name, &path, &[&rare, &created]);
    }
    add("deliveries:", "/v1/deliveries", &[]);
    let own = "source=(outbound)";
    for filter in [own, "source=nobody", &common, &rare, &created] {
        add("deliveries:", "/v1/deliveries", &[filter]);
        for state in states {
            add("deliveries:", "/v1/deliveries", &[&format!("status={state}"), filter]);
        }
    }
    for (_, id) in logs {
        let target = format!("destination={id}");
        add("deliveries:", "/v1/deliveries", &[&target, own]);
        for state in states {
            add("deliveries:", "/v1/deliveries", &[&target, &format!("status={state}"), own]);
        }
        add("deliveries:", "/v1/deliveries", &[&target, &rare, &created]);
    }
    let each = |name: &str, values: Vec<String>, path: &str| (name.to_owned(), path.to_owned(), values);
    for filter in [&[][..], &[own], &[&common], &[&rare], &[&created], &[&rare, &created], &[own, &rare]] {
        add("events:", "/v1/events", filter);
    }
    let of_event = of_events.iter().map(|id| format!("event={id}")).collect();
    kinds.push(each("deliveries: event=…", of_event, "/v1/deliveries"));
    let ids = (0..PLACES as u64).map(|place| format!("source_event_id=evt_bench_{:012}", 1 + events * place / 61));
    kinds.push(each("events: source_event_id=…", ids.collect(), "/v1/events"));
    kinds
}

/// Asks for pages: each second one from the newest row on, the others from old ones.
fn sample(
    client: &mut Client,
    name: String,
    path: &str,
    parameters: &[String],
    cursors: &[String],
    project: &str,
) -> Query {
    let headers = format!("{ADMIN}\r\nHookward-Project: {project}\r\n");
    // Only logs of webhooks know projects by the header.
    let headers = if path.starts_with("/v1/webhooks") { headers } else { format!("{ADMIN}\r\n") };
    let histogram = || Histogram::<u64>::new_with_bounds(1, LONGEST_MICROS, 3).expect("a histogram");
    let (mut pages, mut answers) = (histogram(), histogram());
    let (mut rows, mut parts_max) = (0, 0);
    for index in 0..SAMPLES {
        let parameters = &parameters[index % parameters.len()];
        // A page of one event, or of one id, begins nowhere else.
        let deep = index % 2 == 1 && !parameters.contains("event");
        let mut after = deep.then(|| cursors[index / 2 % cursors.len()].clone());
        let (mut found, mut parts) = (0, 0);
        let begun = Instant::now();
        loop {
            let cursor = after.as_ref().map(|id| format!("&starting_after={id}")).unwrap_or_default();
            let and = if parameters.is_empty() { "" } else { "&" };
            let target = format!("{path}?limit={}{and}{parameters}{cursor}", LIMIT - found);
            let asked = Instant::now();
            let (status, answer) = client.ask("GET", &target, &headers, "");
            answers.saturating_record(micros(asked));
            assert_eq!(status, 200, "{target}: {answer}");
            parts += 1;
            let page: Value = serde_json::from_str(&answer).expect("a page as JSON");
            found += page["data"].as_array().map_or(0, Vec::len);
            after = page["continue_after"].as_str().map(str::to_owned);
            if found >= LIMIT || after.is_none() || parts >= PARTS_MAX {
                break;
            }
        }
        pages.saturating_record(micros(begun));
        rows += found;
        parts_max = parts_max.max(parts);
    }
    Query {
        name,
        rows: rows as f64 / SAMPLES as f64,
        parts_max,
        p50: pages.value_at_quantile(0.5),
        p99: pages.value_at_quantile(0.99),
        max: pages.max(),
        answer_p99: answers.value_at_quantile(0.99),
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX).max(1)
}

// === impl Query, Lists ===

impl Query {
    fn line(&self) -> String {
        let ms = |micros: u64| micros as f64 / 1e3;
        format!(
            "| {} | {:.0} | {} | {:.2} | {:.2} | {:.2} | {:.2} |",
            self.name,
            self.rows,
            self.parts_max,
            ms(self.p50),
            ms(self.p99),
            ms(self.max),
            ms(self.answer_p99)
        )
    }
}

impl Lists {
    /// As JSON.
    pub(crate) fn json(&self) -> Value {
        let queries = self.queries.iter().map(|query| {
            json!({
                "query": query.name, "rows": query.rows, "answers_max": query.parts_max, "p50_micros": query.p50,
                "p99_micros": query.p99, "max_micros": query.max, "answer_p99_micros": query.answer_p99,
            })
        });
        json!({
            "deliveries": self.deliveries, "filled_per_second": self.filled_per_second, "rss_bytes": self.rss_bytes,
            "queries": queries.collect::<Vec<_>>(),
        })
    }

    /// The query with the slowest pages, by their p99.
    pub(crate) fn slowest(&self) -> Option<&Query> {
        self.queries.iter().max_by_key(|query| query.p99)
    }

    /// The Markdown table, slowest first.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{} deliveries, filled at {:.0} deliveries/s, RSS {:.0} MB; {} queries of {SAMPLES} pages each\n\n\
             | query | rows | answers, most | page p50 ms | p99 | max | answer p99 |\n|---|---|---|---|---|---|---|\n",
            self.deliveries,
            self.filled_per_second,
            self.rss_bytes as f64 / 1e6,
            self.queries.len()
        );
        let mut sorted: Vec<&Query> = self.queries.iter().collect();
        sorted.sort_by_key(|query| std::cmp::Reverse(query.p99));
        for query in sorted {
            text += &query.line();
            text.push('\n');
        }
        text
    }
}
