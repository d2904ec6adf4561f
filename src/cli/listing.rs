//! What the listing verbs share: filters of time, paging, and rows as a table or as JSON.

use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use super::client::{Client, Connection, block_on, segment};
use super::{Failure, print};
use crate::domain::{Clock, Timestamp};
use crate::telemetry::escape::escaped;

/// What the verbs take that list rows of one kind or show one of them.
#[derive(Debug, clap::Args)]
pub(super) struct Listing {
    #[command(flatten)]
    filters: Filters,
    /// Print an object of JSON a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Which rows of a list; nothing for who shows one: `conflicts_with = FILTERS`.
#[derive(Debug, clap::Args)]
struct Filters {
    /// Only of this source.
    #[arg(long)]
    source: Option<String>,
    /// Only from this time on: 2026-11-23T18:04:05Z, seconds since 1970, or 90s, 15m, 6h, 7d ago.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only until this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// At most this many rows, newest first.
    #[arg(long, short = 'n', value_name = "ROWS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Only rows older than the one with this id.
    #[arg(long, value_name = "ID")]
    after: Option<String>,
}

/// The name under which clap knows [`Filters`].
pub(super) const FILTERS: &str = "Filters";

/// A column: its head, and its cell of a row.
pub(super) type Column = (&'static str, fn(&Value) -> String);

/// The most rows that the gateway gives at once.
const PAGE_ROWS_MAX: u64 = 100;

// === impl Listing ===

impl Listing {
    /// Asks one question of the gateway.
    pub(super) fn ask<T>(&self, question: impl AsyncFnOnce(Client) -> Result<T, Failure>) -> Result<T, Failure> {
        let client = self.connection.client()?;
        block_on(question(client))
    }

    /// Prints the one thing below `path` that has this id.
    pub(super) fn show(&self, path: &str, id: &str, shown: impl Fn(&Value) -> String) -> Result<(), Failure> {
        let one = self.ask(async |client| client.get(&format!("{path}/{}", segment(id)), &[]).await)?;
        if self.json { print_document(&one) } else { print(&shown(&one)) }
    }

    /// Asks for the list page by page and prints it.
    pub(super) fn list(
        &self,
        path: &str,
        filters: &[(&'static str, &Option<String>)],
        columns: &[Column],
    ) -> Result<(), Failure> {
        let Filters { source, since, until, limit, after } = &self.filters;
        let mut query: Vec<(&str, String)> = Vec::new();
        for (name, value) in [("source", source)].iter().chain(filters) {
            query.extend((*value).clone().map(|value| (*name, value)));
        }
        query.extend(since.as_deref().map(|since| ("created[gte]", time(since))));
        query.extend(until.as_deref().map(|until| ("created[lte]", time(until))));
        self.ask(async |client| self.pages(&client, path, &query, columns, (*limit, after.clone())).await)
    }

    async fn pages(
        &self,
        client: &Client,
        path: &str,
        query: &[(&str, String)],
        columns: &[Column],
        (mut left, mut after): (u64, Option<String>),
    ) -> Result<(), Failure> {
        let mut rows = Vec::new();
        let next = loop {
            let mut page = query.to_vec();
            page.push(("limit", left.min(PAGE_ROWS_MAX).to_string()));
            page.extend(after.take().map(|after| ("starting_after", after)));
            let mut answer = client.get(path, &page).await?;
            let more = answer.get("has_more").and_then(Value::as_bool).unwrap_or_default();
            let got = answer.get_mut("data").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
            left = left.saturating_sub(got.len() as u64);
            let stopped_at = answer.get("continue_after").and_then(Value::as_str).map(str::to_owned);
            after = stopped_at.or_else(|| got.last().map(|row| text(row, "id")));
            if self.json {
                print_lines(&got)?;
            } else {
                rows.extend(got);
            }
            if !more || left == 0 || after.is_none() {
                break after.filter(|_| more);
            }
        };
        if self.json {
            return Ok(());
        }
        print(&table(&rows, columns))?;
        if let Some(after) = next {
            eprintln!("more: --after {after}");
        }
        Ok(())
    }
}

fn print_lines(rows: &[Value]) -> Result<(), Failure> {
    rows.iter().try_for_each(|row| print(&format!("{row}\n")))
}

/// A document of JSON for machines, indented for people.
pub(super) fn print_document(document: &Value) -> Result<(), Failure> {
    print(&format!("{document:#}\n"))
}

/// The rows as a table without lines; safe to print whatever senders wrote.
pub(super) fn table(rows: &[Value], columns: &[Column]) -> String {
    if rows.is_empty() {
        return "nothing found\n".to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|(head, _)| *head));
    for row in rows {
        table.add_row(columns.iter().map(|(_, cell)| escaped(&cell(row))));
    }
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}

/// The names with their values, a line each; safe to print.
pub(super) fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let shown = facts.iter().filter(|(_, value)| !value.is_empty());
    shown.map(|(name, value)| format!("{name:width$}  {}\n", escaped(value))).collect()
}

/// A field as a person reads it: nothing where there is nothing.
pub(super) fn text(row: &Value, field: &str) -> String {
    match row.get(field) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The fields of a list below `field`.
pub(super) fn items<'a>(document: &'a Value, field: &str) -> &'a [Value] {
    document.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The headers below `field`, a line each.
pub(super) fn headers(document: &Value, field: &str) -> String {
    let line = |header: &Value| format!("  {}: {}\n", escaped(&text(header, "name")), escaped(&text(header, "value")));
    items(document, field).iter().map(line).collect()
}

/// A time of the API: what is not `15m` or the like goes to the gateway as it is, which says what is wrong.
pub(super) fn time(text: &str) -> String {
    let ago = text.split_at_checked(text.len().saturating_sub(1)).and_then(|(number, unit)| {
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        Some(Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?))
    });
    let then: Option<Timestamp> = ago.map(|ago| Clock::machine().wall().minus(ago));
    then.map_or_else(|| text.to_owned(), |then| then.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_sender_wrote_cannot_drive_the_terminal() {
        let rows = [json!({ "id": "a\u{1b}[2J\nb", "number": 3, "none": null })];
        let printed = table(
            &rows,
            &[("ID", |row| text(row, "id")), ("N", |row| text(row, "number")), ("-", |row| text(row, "none"))],
        );
        assert_eq!(printed.lines().count(), 2);
        assert!(printed.contains("a\\u001b[2J\\u000ab"), "{printed}");
        assert!(!printed.replace('\n', "").chars().any(crate::telemetry::escape::is_unsafe));
        assert_eq!(facts(&[("id", "x\ry".into()), ("none", String::new())]), "id    x\\u000dy\n");
    }

    #[test]
    fn times_ago_become_times_and_others_stay() {
        assert_eq!(time("2026-11-23T18:04:05Z"), "2026-11-23T18:04:05Z");
        assert_eq!(time("1700000000"), "1700000000");
        assert_eq!(time("soon"), "soon");
        assert_eq!(time(""), "");
        let hour_ago: jiff::Timestamp = time("1h").parse().unwrap();
        let off = jiff::Timestamp::now().duration_since(hour_ago).as_secs() - 3600;
        assert!((0..5).contains(&off), "{off}");
    }
}
