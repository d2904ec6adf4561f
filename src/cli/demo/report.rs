//! What the demo prints: a table for people, one JSON document for machines.

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::cases::{Case, Expected};
use super::sender::Answer;
use super::services::Service;

/// What became of one request.
#[derive(Debug, Serialize)]
pub(super) struct Ended {
    what: &'static str,
    source_event_id: &'static str,
    status: u16,
    /// Our id for it, of the event or of the rejection.
    id: String,
    /// What happened, and why.
    outcome: String,
    /// What each service took: the number of successful deliveries, and of refused attempts before.
    services: Vec<Taken>,
    as_expected: bool,
}

#[derive(Debug, Serialize)]
struct Taken {
    service: &'static str,
    taken: u32,
    refused: u32,
}

/// The counts of the whole run.
#[derive(Debug, Default, Serialize)]
pub(super) struct Counts {
    pub(super) sent: usize,
    pub(super) kept: usize,
    pub(super) duplicates: usize,
    pub(super) refused: usize,
    pub(super) delivered: usize,
    pub(super) delivered_more_than_once: usize,
    pub(super) not_as_expected: usize,
}

/// The JSON document.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    pub(super) counts: &'a Counts,
    pub(super) requests: &'a [Ended],
}

// === impl Ended ===

impl Ended {
    /// Compares what became of a request with what should have.
    pub(super) fn judge(case: &Case, answer: &Answer, why: Option<&str>, services: &[Service]) -> Self {
        let taken: Vec<Taken> = services
            .iter()
            .map(|service| {
                let seen = service.seen(case.id);
                Taken { service: service.name, taken: seen.taken, refused: seen.refused }
            })
            .collect();
        let delivered_to = |names: &[&str]| {
            services.iter().all(|service| {
                let seen = service.seen(case.id);
                let wanted = names.contains(&service.name);
                seen.taken == u32::from(wanted) && (!wanted || seen.body == case.body)
            })
        };
        let as_expected = match case.expected {
            Expected::Delivered(names) => answer.status == 200 && !answer.duplicate && delivered_to(names),
            Expected::Duplicate => answer.status == 200 && answer.duplicate,
            Expected::Refused(status, code) => {
                answer.status == status && answer.code.as_deref() == Some(code) && delivered_to(&[])
            }
        };
        let outcome = match (&answer.code, why) {
            (Some(code), Some(why)) => format!("refused: {code}: {why}"),
            (Some(code), None) => format!("refused: {code}"),
            (None, _) if answer.duplicate => "duplicate: not delivered again".to_owned(),
            (None, _) => delivered(&taken),
        };
        Self {
            what: case.what,
            source_event_id: case.id,
            status: answer.status,
            id: answer.id.clone(),
            outcome,
            services: if answer.duplicate { Vec::new() } else { taken },
            as_expected,
        }
    }

    pub(super) fn as_expected(&self) -> bool {
        self.as_expected
    }
}

fn delivered(taken: &[Taken]) -> String {
    let reached: Vec<String> = taken
        .iter()
        .filter(|service| service.taken + service.refused > 0)
        .map(|service| match (service.refused, service.taken) {
            (0, _) => service.service.to_owned(),
            (refused, 0) => format!("{} (refused {refused} times so far)", service.service),
            (refused, _) => format!("{} (attempt {})", service.service, refused + 1),
        })
        .collect();
    if reached.is_empty() {
        "kept, not delivered yet".to_owned()
    } else {
        format!("delivered to {}", reached.join(", "))
    }
}

/// The table for people.
pub(super) fn table(ended: &[Ended]) -> Table {
    let mut table = Table::new();
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["request", "answer", "what became of it", ""]);
    for row in ended {
        table.add_row([
            row.what,
            &row.status.to_string(),
            &row.outcome,
            if row.as_expected { "as it should" } else { "NOT AS IT SHOULD" },
        ]);
    }
    table
}
