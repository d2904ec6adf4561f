//! `hookward sources` and `hookward destinations`: how they do, and two things that can be done to one of them.

use clap::Subcommand;
use serde_json::Value;

use super::client::{Connection, block_on, segment};
use super::listing::{Column, items, print_document, table, text};
use super::{Failure, print};

/// List them, or pause or resume one.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    act: Option<Act>,
    /// Print JSON: an object a line in lists.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Let its deliveries wait, until it is resumed.
    Pause {
        /// Its name.
        name: String,
    },
    /// Let them go again.
    Resume {
        /// Its name.
        name: String,
    },
}

/// What there is of one kind.
pub(super) struct Kind {
    path: &'static str,
    columns: &'static [Column],
}

/// Who sends.
pub(super) const SOURCES: Kind = Kind {
    path: "/v1/sources",
    columns: &[
        ("NAME", |row| text(row, "name")),
        ("STATE", |row| text(row, "state")),
        ("MODE", |row| text(row, "mode")),
        ("PATH", |row| text(row, "path")),
        ("SCHEME", |row| text(row, "scheme")),
        ("ACCEPTED", |row| within(row, "since_start", "accepted")),
        ("DUPLICATES", |row| within(row, "since_start", "duplicates")),
        ("REJECTED", |row| within(row, "since_start", "rejected")),
    ],
};

/// Who receives, and what waits there.
pub(super) const DESTINATIONS: Kind = Kind {
    path: "/v1/destinations",
    columns: &[
        ("NAME", |row| text(row, "name")),
        ("STATE", |row| text(row, "state")),
        ("BREAKER", |row| text(row, "breaker")),
        ("PENDING", |row| within(row, "queue", "pending")),
        ("IN FLIGHT", |row| within(row, "queue", "in_flight")),
        ("HELD", |row| within(row, "queue", "held")),
        ("OLDEST DUE", |row| within(row, "queue", "oldest_due_at")),
        ("URL", |row| text(row, "url")),
    ],
};

fn within(row: &Value, group: &str, field: &str) -> String {
    row.get(group).map(|group| text(group, field)).unwrap_or_default()
}

/// Asks the gateway and prints what it says.
pub(super) fn run(args: &Args, kind: &Kind) -> Result<(), Failure> {
    let client = args.connection.client()?;
    block_on(async {
        let (name, act) = match &args.act {
            Some(Act::Pause { name }) => (name, "pause"),
            Some(Act::Resume { name }) => (name, "resume"),
            None => {
                let list = client.get(kind.path, &[]).await?;
                let rows = items(&list, "data");
                if args.json {
                    return rows.iter().try_for_each(|row| print(&format!("{row}\n")));
                }
                return print(&table(rows, kind.columns));
            }
        };
        let answer = client.post(&format!("{}/{}/{act}", kind.path, segment(name))).await?;
        if args.json {
            return print_document(&answer);
        }
        print(&format!("{}: {}\n", text(&answer, "name"), text(&answer, "state")))
    })
}
