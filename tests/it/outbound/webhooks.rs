//! Webhooks through the API: made, shown, listed, changed, rotated, paused, deleted.

use http::Method;
use serde_json::json;

use super::world::World;
use crate::support::Sink;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_made_shown_listed_changed_and_deleted_and_survives_a_restart() {
    let mut world = World::start().await;
    let body = json!({
        "url": "https://customer.example/hooks", "events": ["user.created", "payment.*"], "description": "main",
        "metadata": { "environment": "production" }, "headers": { "X-Api-Key": "hush" },
    });
    let made = world.post("/v1/webhooks", &body).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    let id = made["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/webhooks/{id}");
    world.restart().await;
    let shown = world.get(&path).await.json();
    assert!(shown.get("secret").is_none(), "shown once");
    assert_eq!(shown["headers"], json!({ "X-Api-Key": "[masked]" }));
    for field in ["url", "events", "description", "metadata", "created"] {
        assert_eq!(shown[field], made[field]);
    }
    assert_eq!(
        (&shown["status"], &shown["active"], &shown["project"]),
        (&json!("active"), &json!(true), &json!("default"))
    );
    let change = json!({ "events": ["*"], "description": null, "active": false });
    let changed = world.send(Method::PATCH, &path, &change).await.json();
    assert_eq!((&changed["status"], &changed["disabled_reason"]), (&json!("disabled"), &json!("person")));
    world.restart().await;
    let shown = world.get(&path).await.json();
    assert_eq!((&shown["events"], &shown["description"], &shown["url"]), (&json!(["*"]), &json!(null), &made["url"]));
    assert_eq!(world.ask(Method::DELETE, &path, &[], b"").await.status, 200);
    world.restart().await;
    assert_eq!(world.get(&path).await.status, 404);
    assert!(world.list("/v1/webhooks").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_on_the_disk_shows_a_secret_or_a_custom_header() {
    let mut world = World::start().await;
    let body = json!({
        "url": "https://customer.example/hooks", "events": ["*"], "secret": "a-secret-of-the-customer",
        "headers": { "X-Api-Key": "a-token-of-the-customer" },
    });
    world.webhook_with(body).await;
    let sink = Sink::start().await;
    let made = world.webhook(&sink, &["*"]).await;
    world.emit("evt_1", "user.created").await;
    sink.wait_for(1).await;
    world.stop().await;
    let mut files = 0;
    let mut folders = vec![world.folder.path().join("data")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            for secret in ["a-secret-of-the-customer", "a-token-of-the-customer", made.secret.as_str()] {
                assert_eq!(memchr::memmem::find(&bytes, secret.as_bytes()), None, "{}", path.display());
            }
            files += 1;
        }
    }
    assert!(files >= 3, "journal and index were looked at");
}
