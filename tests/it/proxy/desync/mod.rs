//! S05: the corpus of `http_desync_guardian` (Amazon's, 159 requests with 503 odd fields) through proxy mode, in front of
//! real servers. Number and bodies of the requests behind must be those in front.
//!
//! ```text
//! raw socket ──► hookward ──► tap ──► nginx, apache2, haproxy or Node ──► recorder
//! ```
//!
//! The tap notes what hookward sends, which can be read in one way only or the test fails; the recorder notes what the
//! server took it for. Each request of the corpus carries others where a body may be, and one behind it.

mod corpus;
mod servers;
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

/// All attacks, against hookward in front of one server.
async fn check(kind: ServerKind) {
    let recorder = Sink::answering(|_| Answer::status(200).header("x-recorded", "yes")).await;
    let server = Server::start(kind, recorder.address()).await;
    let tap = Tap::start(server.address()).await;
    let attacks = corpus::attacks();
    let paths = corpus::paths(&attacks);
    let sources = paths.iter().enumerate().map(|(number, path)| {
        format!(
            "  s{number}: {{ path: '{path}', mode: proxy, app: \"http://{}\", verify: {{ scheme: none }}, dedup: off, \
             methods: [POST, PUT, PATCH, GET, DELETE] }}\n",
            tap.address()
        )
    });
    let gateway = Gateway::start(&format!("sources:\n{}", sources.collect::<String>())).await;
    let address = gateway.ingress();
    let mut fronts = BTreeMap::new();
    let mut waiting = attacks.iter().cloned();
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < ATTACKS_AT_A_TIME
            && let Some(attack) = waiting.next()
        {
            under_way.spawn(async move { (attack.tag.clone(), send(address, &attack).await) });
        }
        let Some(ended) = under_way.join_next().await else { break };
        let (tag, front) = ended.unwrap();
        fronts.insert(tag, front);
    }
    drop(gateway);
    let forwarded = by_tag(tap.seen());
    let recorded = by_tag(recorder.hits().iter().map(Seen::of_hit).collect());
    let mut passed_on = 0;
    for attack in &attacks {
        let front = &fronts[&attack.tag];
        let forwarded = forwarded.get(&attack.tag).map_or(&[][..], Vec::as_slice);
        let recorded = recorded.get(&attack.tag).map_or(&[][..], Vec::as_slice);
        let said = || {
            format!(
                "{kind:?}: {} ({})\n--- sent\n{}\n--- forwarded {forwarded:#?}\n--- behind {recorded:#?}\n--- came back\n{}",
                attack.name,
                attack.tag,
                attack.bytes.escape_ascii(),
                front.shown
            )
        };
        // Each request that went on has one answer, and each answer that is not ours one request.
        assert_eq!(front.recorded + front.refused_behind, forwarded.len(), "answers of {}", said());
        assert_eq!(front.recorded, recorded.len(), "requests behind of {}", said());
        // What the server took up it took for what we had sent: nothing more, nothing else, in this order.
        let mut rest = forwarded.iter();
        assert!(recorded.iter().all(|seen| rest.any(|sent| sent == seen)), "order and bodies of {}", said());
        // And we had sent what the attack is by RFC 9112, or less.
        let requests = attack.requests();
        let mut rest = requests.iter();
        assert!(forwarded.iter().all(|sent| rest.any(|request| request == sent)), "{requests:#?} is {}", said());
        // The one answer more is that to what nobody can read.
        assert!(front.answers <= requests.len() + 1, "{requests:#?} is {}", said());
        passed_on += forwarded.len();
    }
    assert!(recorded.keys().all(|tag| fronts.contains_key(tag)), "a request without a sender: {:?}", recorded.keys());
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
