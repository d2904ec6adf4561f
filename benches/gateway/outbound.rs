//! hookward's sending side as the bench starts it: tokens, webhooks in it, and the admin port as its front door.

use std::path::Path;

use crate::admin::Client;
use crate::process::Victim;
use crate::systems::{Places, Running, free_port, wait_for};

/// The header line of whoever emits.
pub(crate) const PUBLISHER: &str = "Authorization: Bearer bench-publisher-0123456789abcdef0123456789abcdef";
/// The header line of whoever registers and looks.
pub(crate) const ADMIN: &str = "Authorization: Bearer bench-admin-0123456789abcdef0123456789abcdef";

/// More of the section `outbound` than what makes it work here.
pub(crate) struct OutboundPlan<'a> {
    /// Indented by two.
    pub(crate) more: &'a str,
}

/// In front of one webhook at the sink, for the throughput table: as many attempts at once as the destination of queue mode.
pub(crate) fn emitter(places: &Places, folder: &Path, sink_port: u16) -> Running {
    let mut running = start(places, folder, &OutboundPlan { more: "  concurrency: 64\n  queue_max: 1000000\n" });
    wait_for(&mut running);
    let mut client = Client::new(&running.address);
    let url = format!("http://127.0.0.1:{sink_port}/hook");
    register(&mut client, "default", &Wish { url: &url, types: &["*".to_owned()] });
    running
}

/// Starts it in `folder` (its data may already be there), without waiting for it.
pub(crate) fn start(places: &Places, folder: &Path, plan: &OutboundPlan<'_>) -> Running {
    let (config, log) = (folder.join("hookward.yaml"), folder.join("log"));
    let (ingress, admin) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
    let token = |line: &str| line.rsplit(' ').next().unwrap_or_default().to_owned();
    let text = format!(
        "ingress:
  listen: {ingress}
admin:
  listen: {admin}
  tokens:
    - {{ name: publisher, token: {}, role: publisher }}
    - {{ name: admin, token: {}, role: admin }}
store:
  path: {}
outbound:
  enabled: true
  secrets_key: the webhooks of the bench have no secrets
  allow_private: [127.0.0.0/8]
{}",
        token(PUBLISHER),
        token(ADMIN),
        folder.join("data").display(),
        plan.more,
    );
    std::fs::write(&config, text).expect("a configuration written");
    let parts: Vec<Victim> = vec![places.serve(&config, &log)];
    Running {
        address: admin.clone(),
        path: "/v1/events",
        credential: PUBLISHER,
        admin: Some(admin),
        parts,
        limit: None,
        log,
    }
}

/// A webhook that is to be registered.
pub(crate) struct Wish<'a> {
    pub(crate) url: &'a str,
    /// The types that it wants.
    pub(crate) types: &'a [String],
}

/// Registers a webhook; its id.
pub(crate) fn register(client: &mut Client, project: &str, wish: &Wish<'_>) -> String {
    let headers = format!("{ADMIN}\r\nHookward-Project: {project}\r\n");
    let body = serde_json::json!({ "url": wish.url, "events": wish.types });
    let (status, answer) = client.ask("POST", "/v1/webhooks", &headers, &body.to_string());
    assert_eq!(status, 201, "a webhook was not registered: {answer}");
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("a webhook as JSON");
    answer["id"].as_str().expect("its id").to_owned()
}
