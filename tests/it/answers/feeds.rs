//! Address lists that are followed: loaded, kept, renewed, never replaced by something worse, and never a way in.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::{hookward, said};
use crate::support::{Answer, Gateway, Hit, Reply, Sender, Sink, event, eventually};

/// A provider that answers as it is told.
struct Provider {
    sink: Sink,
    answer: Arc<Mutex<Answer>>,
}

const HERE: &str = "127.0.0.0/8 # the test itself\n";
const ELSEWHERE: &str = "10.0.0.0/8\n2001:db8::/32\n";

impl Provider {
    async fn start(answer: Answer) -> Self {
        let answer = Arc::new(Mutex::new(answer));
        let told = Arc::clone(&answer);
        let sink = Sink::answering(move |_: &Hit| told.lock().unwrap().clone()).await;
        Self { sink, answer }
    }

    fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn feed(&self, settings: &str) -> String {
        format!("[{{ feed: {{ url: '{}'{settings} }} }}]", self.sink.url("/list?token=of-the-feed"))
    }
}

fn list(text: impl Into<bytes::Bytes>) -> Answer {
    Answer::status(200).body(text)
}

fn config(allow_ips: &str) -> String {
    format!(
        "sources:\n  appmint: {{ path: /in, dedup: off, allow_ips: {allow_ips}, verify: {{ scheme: appmint, secrets: [whsec_of_the_tests] }} }}\n  \
         other: {{ path: /other, verify: {{ scheme: appmint, secrets: [whsec_of_the_tests] }} }}\n\
         routes: [{{ from: '*', to: nowhere }}]\ndestinations: {{ nowhere: {{ discard: true }} }}\n"
    )
}

async fn send(gateway: &Gateway) -> Reply {
    Sender::new(gateway).send(&event("evt_1", "a")).await
}

/// The source's one feed as `/v1/sources` shows it.
async fn shown(gateway: &Gateway) -> Value {
    gateway.list("/v1/sources").await[0]["feeds"][0].clone()
}

/// Waits until the feed is shown so.
async fn when(gateway: &Gateway, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    eventually(what, async || Some(shown(gateway).await).filter(|feed| is(feed))).await
}

fn loaded(feed: &Value) -> bool {
    feed["state"] == "loaded"
}

fn failed_with(words: &'static str) -> impl Fn(&Value) -> bool {
    move |feed| feed["error"].as_str().is_some_and(|error| error.contains(words))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_loaded_kept_and_outlives_a_restart_without_its_provider() {
    let provider =
        Provider::start(list(r#"{"items":[{"cidr":"127.0.0.0/8"},{"cidr":"192.0.2.0/24"}],"hooks":"::1"}"#)).await;
    let config = config(&provider.feed(", format: json, pointer: [/items/*/cidr, /hooks], refresh: 6h"));
    let mut gateway = Gateway::start(&config).await;
    let feed = when(&gateway, "the list", loaded).await;
    assert_eq!(feed["entries"], 3, "{feed}");
    assert!(!feed.to_string().contains("of-the-feed"), "the query is masked: {feed}");
    assert_eq!(send(&gateway).await.status, 200);
    assert!(provider.sink.hits()[0].header("user-agent").starts_with("hookward/"));

    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("hookward_feed_entries", &[]), 3.0);
    assert_eq!(metrics.sum("hookward_feed_refreshes_total", &[("result", "ok")]), 1.0);
    assert!(metrics.sum("hookward_feed_age_seconds", &[]) < 600.0);

    let copies: Vec<_> =
        std::fs::read_dir(gateway.store().join("feeds")).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(copies.len(), 1, "{copies:?}");
    assert_eq!(copies[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);

    gateway.terminate();
    gateway.ended().await;
    provider.answers(Answer::Close);
    gateway.run().await;
    // From the copy: nobody has answered yet.
    assert_eq!(send(&gateway).await.status, 200);
    let feed = when(&gateway, "a failure", |feed| !feed["error"].is_null()).await;
    assert!(loaded(&feed), "{feed}");
    assert!(!gateway.log().contains("of-the-feed"), "the query is in the log");

    let file = gateway.config_file();
    let request = b"POST /in\ncontent-type: application/json\n\n{}";
    let explain = |peer: &str| {
        let words = ["explain", "-c", file.to_str().unwrap(), "--request", "-", "--peer", peer];
        said(&hookward(&words, &[], request), 1)
    };
    assert!(explain("192.0.2.7").contains("yes allow_ips"), "explain takes the copy");
    assert!(explain("198.51.100.7").contains("no  allow_ips"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_was_never_loaded_lets_nobody_in_and_is_said_everywhere() {
    let provider = Provider::start(Answer::status(500)).await;
    let gateway = Gateway::start(&config(&provider.feed(""))).await;
    let feed = when(&gateway, "a failure", failed_with("answered with 500")).await;
    assert_eq!((&feed["state"], &feed["entries"]), (&"never_loaded".into(), &Value::Null));
    let refused = send(&gateway).await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "address_not_allowed"));
    let ready = gateway.get("/readyz").await;
    assert_eq!(ready.status, 200, "the other source is served");
    let warning = ready.json()["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.contains("was never loaded: its senders are refused"), "{warning}");
    assert!(gateway.log().contains("there is no address list: its senders are refused"));
    assert_eq!(gateway.metrics().await.sum("hookward_feed_refreshes_total", &[("result", "failed")]), 1.0);
    assert_eq!(
        Sender::to(gateway.ingress(), "/other", "whsec_of_the_tests").send(&event("evt_1", "a")).await.status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_worse_takes_the_place_of_a_good_list() {
    let provider =
        Provider::start(list(HERE).header("etag", "\"one\"").header("last-modified", "Fri, 02 Jan 2026 15:04:05 GMT"))
            .await;
    let gateway = Gateway::start(&config(&provider.feed(", refresh: 1s"))).await;
    when(&gateway, "the list", loaded).await;

    provider.answers(Answer::status(304));
    let asked = eventually("a question with the marks of the answer", async || {
        provider.sink.hits().into_iter().find(|hit| hit.header("if-none-match") == "\"one\"")
    })
    .await;
    assert_eq!(asked.header("if-modified-since"), "Fri, 02 Jan 2026 15:04:05 GMT");
    let confirmed = when(&gateway, "a confirmation", |feed| feed["confirmed_at"] == feed["asked_at"]).await;
    assert!(confirmed["error"].is_null(), "{confirmed}");

    for (answer, words) in [
        (Answer::status(500), "answered with 500"),
        (list(""), "holds no address"),
        (list("# nothing but a comment\n"), "holds no address"),
        (list("<html>"), "neither an address nor a network"),
        (list("0.0.0.0/0\n"), "lets everybody in"),
        (list(vec![b'1'; (4 << 20) + 1]), "larger than"),
        (Answer::status(302).header("location", "http://127.0.0.1/"), "answered with 302"),
        (Answer::Close, "closed"),
    ] {
        provider.answers(answer);
        let feed = when(&gateway, words, failed_with(words)).await;
        assert!(loaded(&feed), "{feed}");
        assert_eq!(send(&gateway).await.status, 200, "{words}");
    }

    provider.answers(list(ELSEWHERE));
    let feed = when(&gateway, "another list", |feed| feed["error"].is_null()).await;
    assert_eq!(feed["entries"], 2);
    assert_eq!(send(&gateway).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_end_is_given_up() {
    let provider = Provider::start(Answer::Hang).await;
    let gateway = Gateway::start(&config(&provider.feed(""))).await;
    let feed = when(&gateway, "the end of patience", |feed| !feed["error"].is_null()).await;
    assert_eq!(feed["state"], "never_loaded", "{feed}");
    assert_eq!(send(&gateway).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_begins_and_ends_to_follow_and_keeps_what_it_keeps() {
    let provider = Provider::start(list(HERE)).await;
    let gateway = Gateway::start(&config("[127.0.0.1]")).await;
    assert!(shown(&gateway).await.is_null());
    gateway.reload(&config(&provider.feed(""))).await;
    when(&gateway, "the list", loaded).await;
    assert_eq!(send(&gateway).await.status, 200);

    // Named beside an address: kept as it is, and not asked for again.
    let asked = provider.sink.hits().len();
    let both = provider.feed("").replacen('[', "[192.0.2.1, ", 1);
    gateway.reload(&config(&both)).await;
    assert!(loaded(&shown(&gateway).await));
    assert_eq!(send(&gateway).await.status, 200);
    assert_eq!(provider.sink.hits().len(), asked);

    gateway.reload(&config("[192.0.2.1]")).await;
    assert!(shown(&gateway).await.is_null());
    assert_eq!(send(&gateway).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_stands_in_a_file_is_read_as_its_provider_writes_it_and_again_when_it_changes() {
    for (feed, here, elsewhere, wrong) in [
        ("github", r#"{"hooks":["127.0.0.0/8"],"web":[]}"#, r#"{"hooks":["192.0.2.0/24"],"web":["127.0.0.1"]}"#, "{}"),
        ("{ pointer: /items/*/cidr }", r#"{"items":[{"cidr":"127.0.0.1"}]}"#, r#"{"items":[{"cidr":"::1"}]}"#, "[]"),
        ("{ format: text }", HERE, ELSEWHERE, "0.0.0.0/0"),
    ] {
        let mut gateway = Gateway::prepare(&config(&format!("[{{ feed: {feed}, file: list }}]")));
        let folder = gateway.folder().to_owned();
        let put = |text: &str| {
            std::fs::write(folder.join("new"), text).unwrap();
            std::fs::rename(folder.join("new"), folder.join("list")).unwrap();
        };
        put(elsewhere);
        gateway.run().await;
        assert_eq!(send(&gateway).await.status, 403, "{feed}");
        put(here);
        eventually("the other list", async || (send(&gateway).await.status == 200).then_some(())).await;
        // What is not this list changes nothing, and is said.
        put(wrong);
        eventually("a refusal", async || (gateway.reloads("failed").await > 0).then_some(())).await;
        assert!(gateway.log().contains("the file is not this list"), "{feed}");
        assert_eq!(send(&gateway).await.status, 200, "{feed}");
    }
}
