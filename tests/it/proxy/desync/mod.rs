//! S05: the corpus of `http_desync_guardian` (Amazon's, 159 requests with 503 odd fields) through proxy mode, in front of
//! real servers. Number and bodies of the requests behind must be those in front.
//!
//! ```text
//! raw socket ──► hookward ──► tap ──► nginx, apache2, haproxy or Node ──► recorder
//! ```
//!
//! The tap notes what hookward sends, which can be read in one way only or the test fails; the recorder notes what the
//! server took it for. Each request of the corpus carries others where a body may be, and one behind it. That the harness
//! sees a disagreement where there is one, `control` shows.

mod control;
mod corpus;
pub(super) mod servers;
mod tap;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::corpus::Attack;
use self::servers::{Server, ServerKind};
use self::tap::{Seen, Tap};
use crate::support::{Answer, Gateway, PATIENCE, Sink};

/// Attacks under way at a time; their connections to the server behind are shared.
const ATTACKS_AT_A_TIME: usize = 16;

/// What came back to the sender of an attack.
#[derive(Debug)]
struct Front {
    /// Answers in all.
    answers: usize,
    /// The answers of the recorder among them.
    recorded: usize,
    /// The answers of the server behind to what it did not pass on.
    refused_behind: usize,
    shown: String,
}

/// Sends one attack's bytes, and reads to the end.
async fn send(gateway: SocketAddr, attack: &Attack) -> Front {
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut bytes = Vec::new();
    // A refusal may come, and close, before all is written.
    let write = async {
        drop(writer.write_all(&attack.bytes).await);
        drop(writer.shutdown().await);
    };
    let read = async { drop(reader.read_to_end(&mut bytes).await) };
    timeout(PATIENCE, async { tokio::join!(write, read) }).await.expect("the end of the connection");
    let shown = String::from_utf8_lossy(&bytes).into_owned();
    let answers = shown.split("HTTP/1.1 ").skip(1).filter(|answer| !answer.starts_with("100 ")).collect::<Vec<_>>();
    let ours = |answer: &&&str| answer.contains("application/problem+json");
    let recorded = |answer: &&&str| answer.contains("x-recorded: yes");
    Front {
        answers: answers.len(),
        recorded: answers.iter().filter(recorded).count(),
        refused_behind: answers.iter().filter(|answer| !ours(answer) && !recorded(answer)).count(),
        shown,
    }
}

/// All attacks, and what came back to each.
async fn send_all(front: SocketAddr, attacks: &[Attack]) -> BTreeMap<String, Front> {
    let mut fronts = BTreeMap::new();
    let mut waiting = attacks.iter().cloned();
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < ATTACKS_AT_A_TIME
            && let Some(attack) = waiting.next()
        {
            under_way.spawn(async move { (attack.tag.clone(), send(front, &attack).await) });
        }
        let Some(ended) = under_way.join_next().await else { return fronts };
        let (tag, front) = ended.unwrap();
        fronts.insert(tag, front);
    }
}

/// What stands behind the one that is tried.
struct Behind {
    kind: ServerKind,
    recorder: Sink,
    _server: Server,
    tap: Tap,
}

// === impl Behind ===

impl Behind {
    async fn start(kind: ServerKind) -> Self {
        let recorder = Sink::answering(|_| Answer::status(200).header("x-recorded", "yes")).await;
        let server = Server::start(kind, recorder.address()).await;
        let tap = Tap::start(server.address()).await;
        Self { kind, recorder, _server: server, tap }
    }

    /// How many requests went on; or on what front and server disagree.
    fn judge(&self, attacks: &[Attack], fronts: &BTreeMap<String, Front>) -> Result<usize, String> {
        let forwarded = by_tag(self.tap.seen()?);
        let recorded = by_tag(self.recorder.hits().iter().map(Seen::of_hit).collect());
        let none = Vec::new();
        for attack in attacks {
            let [forwarded, recorded] = [&forwarded, &recorded].map(|seen| seen.get(&attack.tag).unwrap_or(&none));
            let front = &fronts[&attack.tag];
            judge(attack, front, forwarded, recorded).map_err(|what| {
                format!(
                    "{:?}: {what} of {} ({})\n--- sent\n{}\n--- forwarded {forwarded:#?}\n--- behind {recorded:#?}\n\
                     --- by RFC 9112 {:#?}\n--- came back\n{}",
                    self.kind,
                    attack.name,
                    attack.tag,
                    attack.bytes.escape_ascii(),
                    attack.requests(),
                    front.shown
                )
            })?;
        }
        match recorded.keys().find(|tag| !fronts.contains_key(*tag)) {
            Some(tag) => Err(format!("a request without a sender: {tag}")),
            None => Ok(forwarded.values().map(Vec::len).sum()),
        }
    }
}

/// Whether all agree about one attack; else about what they do not.
fn judge(attack: &Attack, front: &Front, forwarded: &[Seen], recorded: &[Seen]) -> Result<(), &'static str> {
    let says = |agree: bool, what: &'static str| if agree { Ok(()) } else { Err(what) };
    // Each request that went on has one answer, and each answer that is not the front's own one request.
    says(front.recorded + front.refused_behind == forwarded.len(), "number of answers")?;
    says(front.recorded == recorded.len(), "number of requests behind")?;
    // What the server took up it took for what had been sent: nothing more, nothing else, in this order.
    let mut rest = forwarded.iter();
    says(recorded.iter().all(|seen| rest.any(|sent| sent == seen)), "order and bodies behind")?;
    // And that is what the attack is by RFC 9112, or less.
    let requests = attack.requests();
    let mut rest = requests.iter();
    says(forwarded.iter().all(|sent| rest.any(|request| request == sent)), "what was forwarded")?;
    // The one answer more is that to what nobody can read.
    says(front.answers <= requests.len() + 1, "number of all answers")
}

/// All attacks, against hookward in front of one server.
async fn check(kind: ServerKind) {
    let behind = Behind::start(kind).await;
    let attacks = corpus::attacks();
    let paths = corpus::paths(&attacks);
    let sources = paths.iter().enumerate().map(|(number, path)| {
        format!(
            "  s{number}: {{ path: '{path}', mode: proxy, app: \"http://{}\", verify: {{ scheme: none }}, dedup: off, \
             methods: [POST, PUT, PATCH, GET, DELETE] }}\n",
            behind.tap.address()
        )
    });
    let gateway = Gateway::start(&format!("sources:\n{}", sources.collect::<String>())).await;
    let fronts = send_all(gateway.ingress(), &attacks).await;
    drop(gateway);
    let passed_on = behind.judge(&attacks, &fronts).unwrap_or_else(|what| panic!("{what}"));
    assert!(attacks.len() > 662, "{} attacks", attacks.len());
    assert!(passed_on > 100, "genuine requests pass: {passed_on}");
}

fn by_tag(seen: Vec<Seen>) -> BTreeMap<String, Vec<Seen>> {
    let mut by_tag = BTreeMap::<_, Vec<_>>::new();
    for seen in seen {
        by_tag.entry(seen.tag.clone()).or_default().push(seen);
    }
    by_tag
}

#[tokio::test]
async fn s05_nginx_sees_the_requests_that_we_saw() {
    check(ServerKind::Nginx).await;
}

#[tokio::test]
async fn s05_apache_sees_the_requests_that_we_saw() {
    check(ServerKind::Apache).await;
}

#[tokio::test]
async fn s05_haproxy_sees_the_requests_that_we_saw() {
    check(ServerKind::Haproxy).await;
}

#[tokio::test]
async fn s05_a_node_app_sees_the_requests_that_we_saw() {
    check(ServerKind::Node).await;
}
