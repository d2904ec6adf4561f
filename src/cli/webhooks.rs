//! `hookward webhooks`: customers' endpoints, over the API.

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::client::{Client, Connection, block_on, segment};
use super::listing::{Column, facts, items, print_document, table, text};
use super::{Failure, print};

/// Customers' webhooks.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    act: Act,
    /// Print JSON: an object a line in lists.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// List a project's webhooks, newest first.
    List {
        /// At most this many.
        #[arg(long, short = 'n', value_name = "ROWS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
        /// Only those registered before the one with this id.
        #[arg(long, value_name = "ID")]
        after: Option<String>,
    },
    /// Show one, and how it does.
    Show {
        /// Its id.
        id: String,
    },
    /// Register one; its secret is shown this once.
    Create {
        /// Where it is.
        url: String,
        #[command(flatten)]
        fields: Fields,
    },
    /// Change one; what is not given stays.
    Update {
        /// Its id.
        id: String,
        /// Another place.
        #[arg(long)]
        url: Option<String>,
        /// Whether events go there.
        #[arg(long, value_name = "BOOL")]
        active: Option<bool>,
        #[command(flatten)]
        fields: Fields,
    },
    /// Give one another secret, which is shown this once; the old one signs too for a while.
    Rotate {
        /// Its id.
        id: String,
        /// For how long, such as 24h.
        #[arg(long, value_name = "TIME")]
        grace: Option<String>,
    },
    /// Let its deliveries wait.
    Pause {
        /// Its id.
        id: String,
    },
    /// Let them go again.
    Resume {
        /// Its id.
        id: String,
    },
    /// Send it a test event.
    Test {
        /// Its id.
        id: String,
        /// The event's type.
        #[arg(long = "type", value_name = "TYPE", default_value = "user.created")]
        event_type: String,
    },
    /// Delete one; what is pending is cancelled.
    Delete {
        /// Its id.
        id: String,
    },
}

#[derive(Debug, clap::Args)]
struct Fields {
    /// Types or globs of the events that it gets; everything by default. Several times for several.
    #[arg(long = "event", value_name = "GLOB")]
    events: Vec<String>,
    /// For people.
    #[arg(long)]
    description: Option<String>,
    /// A header of every request. Its value shows in `ps`: for tokens use the API. Several times for several.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
}

const COLUMNS: &[Column] = &[
    ("ID", |row| text(row, "id")),
    ("STATUS", |row| text(row, "status")),
    ("URL", |row| text(row, "url")),
    ("EVENTS", |row| globs(row)),
    ("DESCRIPTION", |row| text(row, "description")),
];

const PATH: &str = "/v1/webhooks";

/// The most rows that the gateway gives at once.
const PAGE_ROWS_MAX: u64 = 100;

/// Asks the gateway and prints what it says.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let client = args.connection.client()?;
    block_on(async {
        let post = |path: String, body: Value| client_send(&client, Method::POST, path, body);
        let of = |id: &str, act: &str| format!("{PATH}/{}{act}", segment(id));
        let answer = match &args.act {
            Act::List { limit, after } => return list(&client, args.json, *limit, after.clone()).await,
            Act::Show { id } => return show(&client, args.json, id).await,
            Act::Create { url, fields } => {
                let mut body = fields.body()?;
                body.insert("url".into(), url.as_str().into());
                body.entry("events").or_insert_with(|| json!(["*"]));
                post(PATH.to_owned(), body.into()).await?
            }
            Act::Update { id, url, active, fields } => {
                let mut body = fields.body()?;
                body.extend(url.iter().map(|url| ("url".to_owned(), url.as_str().into())));
                body.extend(active.iter().map(|active| ("active".to_owned(), (*active).into())));
                client_send(&client, Method::PATCH, of(id, ""), body.into()).await?
            }
            Act::Rotate { id, grace } => {
                let body = grace.as_ref().map_or_else(|| json!({}), |grace| json!({ "grace": grace }));
                post(of(id, "/rotate-secret"), body).await?
            }
            Act::Pause { id } => post(of(id, "/pause"), json!({})).await?,
            Act::Resume { id } => post(of(id, "/resume"), json!({})).await?,
            Act::Test { id, event_type } => {
                post("/v1/test-events".to_owned(), json!({ "type": event_type, "webhook": id })).await?
            }
            Act::Delete { id } => client_send(&client, Method::DELETE, of(id, ""), json!({})).await?,
        };
        if args.json { print_document(&answer) } else { print(&shown(&answer)) }
    })
}

async fn client_send(client: &Client, method: Method, path: String, body: Value) -> Result<Value, Failure> {
    client.send(method, &path, body.to_string().into_bytes()).await
}

async fn list(client: &Client, as_json: bool, mut left: u64, mut after: Option<String>) -> Result<(), Failure> {
    let mut rows = Vec::new();
    loop {
        let mut query = vec![("limit", left.min(PAGE_ROWS_MAX).to_string())];
        query.extend(after.take().map(|after| ("starting_after", after)));
        let page = client.get(PATH, &query).await?;
        let got = items(&page, "data");
        rows.extend_from_slice(got);
        left = left.saturating_sub(got.len() as u64);
        after = got.last().map(|row| text(row, "id"));
        if page.get("has_more").and_then(Value::as_bool) != Some(true) || left == 0 {
            break;
        }
    }
    if as_json {
        return rows.iter().try_for_each(|row| print(&format!("{row}\n")));
    }
    print(&table(&rows, COLUMNS))
}

async fn show(client: &Client, as_json: bool, id: &str) -> Result<(), Failure> {
    let path = format!("{PATH}/{}", segment(id));
    let (webhook, stats) = (client.get(&path, &[]).await?, client.get(&format!("{path}/stats"), &[]).await?);
    if as_json {
        return print_document(&json!({ "webhook": webhook, "stats": stats }));
    }
    let queue = stats.get("queue").cloned().unwrap_or_default();
    let does = facts(&[
        ("attempts", text(&stats, "attempts")),
        ("succeeded", text(&stats, "succeeded")),
        ("dead", text(&stats, "dead")),
        ("pending", text(&queue, "pending")),
        ("held", text(&queue, "held")),
        ("success rate", text(&stats, "success_rate")),
        ("mean response time (ms)", text(&stats, "response_time_mean")),
    ]);
    print(&format!("{}\n{does}", shown(&webhook)))
}

fn globs(row: &Value) -> String {
    items(row, "events").iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
}

fn shown(answer: &Value) -> String {
    facts(&[
        (text(answer, "object").as_str(), text(answer, "id")),
        ("deleted", text(answer, "deleted")),
        ("deliveries", text(answer, "deliveries")),
        ("url", text(answer, "url")),
        ("status", text(answer, "status")),
        ("notice", text(answer, "notice")),
        ("events", globs(answer)),
        ("description", text(answer, "description")),
        ("secret", text(answer, "secret")),
        ("public key", text(answer, "public_key")),
        ("created", text(answer, "created")),
    ])
}

// === impl Fields ===

impl Fields {
    /// What was given, as the API wants it.
    fn body(&self) -> Result<Map<String, Value>, Failure> {
        let mut body = Map::new();
        if !self.events.is_empty() {
            body.insert("events".into(), json!(self.events));
        }
        body.extend(self.description.iter().map(|text| ("description".to_owned(), text.as_str().into())));
        let mut headers = Map::new();
        for header in &self.headers {
            let Some((name, value)) = header.split_once(':') else {
                return Err(Failure::Usage(format!("--header {header:?}: expected `Name: value`")));
            };
            headers.insert(name.trim().to_owned(), value.trim().into());
        }
        if !headers.is_empty() {
            body.insert("headers".into(), headers.into());
        }
        Ok(body)
    }
}
