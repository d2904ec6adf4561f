//! The negative control: fronts that are sloppy on purpose, in hookward's place. The harness must find each of them out,
//! or it proves nothing.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::corpus;
use super::servers::ServerKind;
use super::tap::Seen;
use super::{Behind, Front, judge, send_all};

/// Lines of a head with nothing but its request line, `X-Case`, `Host` and a length, and of its end.
const HEAD_LINES: usize = 5;

/// How a front gets it wrong.
#[derive(Clone, Copy, Debug)]
enum Sloppy {
    /// It goes by the first Content-Length, and passes head and body on as they came.
    AsItCame,
    /// It goes by the first Content-Length, and writes heads of its own that can be read in one way only.
    Rewritten,
    /// It is right about where a request ends, and sends each on twice.
    Twice,
}

/// A front that is sloppy in one way.
struct SloppyFront {
    address: SocketAddr,
    task: JoinHandle<()>,
}

// === impl SloppyFront ===

impl SloppyFront {
    async fn start(sloppy: Sloppy, server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                tokio::spawn(pass(sloppy, near, server));
            }
        });
        Self { address, task }
    }
}

impl Drop for SloppyFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads to the end, sends on what it takes for requests, and gives back whatever comes.
async fn pass(sloppy: Sloppy, mut near: TcpStream, server: SocketAddr) {
    let (mut bytes, mut answers) = (Vec::new(), Vec::new());
    drop(near.read_to_end(&mut bytes).await);
    let requests = requests(sloppy, &bytes);
    if requests.is_empty() {
        return;
    }
    let mut far = TcpStream::connect(server).await.unwrap();
    let (mut far_reads, mut far_writes) = far.split();
    let write = async {
        drop(far_writes.write_all(&requests.concat()).await);
        // The server may wait for the rest of what it takes these for; of the others it closes behind the last.
        if matches!(sloppy, Sloppy::AsItCame) {
            drop(far_writes.shutdown().await);
        }
    };
    let read = async { drop(far_reads.read_to_end(&mut answers).await) };
    tokio::join!(write, read);
    drop(near.write_all(&answers).await);
}

fn requests(sloppy: Sloppy, mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut requests = Vec::new();
    while let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") {
        let (head, rest) = bytes.split_at(end + 4);
        let text: String = head.iter().copied().map(char::from).collect();
        let field = |wanted: &str| {
            let mut fields = text.lines().filter_map(|line| line.split_once(':'));
            fields.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim().to_owned())
        };
        let length = field("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
        let is_whole = rest.len() >= length;
        let (body, rest) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        let line = text.lines().next().unwrap_or_default().split(' ').collect::<Vec<_>>();
        let is_plain = |word: &&str| word.bytes().all(|byte| byte.is_ascii_graphic());
        let ([method, target, ..], Some(tag), true) = (&*line, field("x-case"), line.iter().all(is_plain)) else {
            break;
        };
        let length = body.len();
        let own = format!("{method} {target} HTTP/1.1\r\nHost: a\r\nX-Case: {tag}\r\nContent-Length: {length}\r\n\r\n");
        let own = [own.as_bytes(), body].concat();
        match sloppy {
            Sloppy::AsItCame => requests.push([head, body].concat()),
            Sloppy::Rewritten => requests.push(own),
            // It takes only what can be read in one way.
            Sloppy::Twice if is_whole && text.matches("\r\n").count() == HEAD_LINES => {
                requests.extend([own.clone(), own])
            }
            Sloppy::Twice => break,
        }
        bytes = rest;
    }
    if let (Sloppy::Rewritten | Sloppy::Twice, Some(last)) = (sloppy, requests.last_mut()) {
        let end = memchr::memmem::find(last, b"\r\n").unwrap() + 2;
        last.splice(end..end, *b"Connection: close\r\n");
    }
    requests
}

/// What the harness says of a sloppy front.
async fn verdict(sloppy: Sloppy) -> String {
    let behind = Behind::start(ServerKind::Node).await;
    let front = SloppyFront::start(sloppy, behind.tap.address()).await;
    let attacks = corpus::attacks();
    let fronts = send_all(front.address, &attacks).await;
    behind.judge(&attacks, &fronts).expect_err("a disagreement")
}

#[tokio::test]
async fn control_a_front_that_passes_heads_on_as_they_came_is_found_out() {
    let said = verdict(Sloppy::AsItCame).await;
    assert!(said.contains("field transfer-encoding") || said.contains("half a body"), "{said}");
}

#[tokio::test]
async fn control_a_front_that_goes_by_the_wrong_length_is_found_out() {
    let said = verdict(Sloppy::Rewritten).await;
    assert!(said.contains("what was forwarded of"), "{said}");
}

#[tokio::test]
async fn control_a_front_that_sends_a_request_twice_is_found_out() {
    let said = verdict(Sloppy::Twice).await;
    assert!(said.contains("what was forwarded of"), "{said}");
}

#[test]
fn control_each_kind_of_disagreement_has_its_name() {
    let attack = corpus::attacks().into_iter().find(|attack| attack.requests().len() == 2).expect("a plain one");
    let seen = attack.requests();
    let fronts = |recorded, refused_behind, answers| Front { answers, recorded, refused_behind, shown: String::new() };
    let say = |front: Front, forwarded: &[Seen], recorded: &[Seen]| judge(&attack, &front, forwarded, recorded);
    let mut other = seen.clone();
    other[0].body.push(b'x');
    assert_eq!(say(fronts(2, 0, 2), &seen, &seen), Ok(()));
    assert_eq!(say(fronts(1, 1, 2), &seen, &seen[..1]), Ok(()), "the server refuses one");
    assert_eq!(say(fronts(0, 0, 1), &[], &[]), Ok(()), "the front refuses all");
    assert_eq!(say(fronts(1, 0, 1), &seen, &seen), Err("number of answers"));
    assert_eq!(say(fronts(2, 0, 2), &seen, &seen[..1]), Err("number of requests behind"));
    assert_eq!(say(fronts(1, 1, 2), &seen, &seen), Err("number of requests behind"));
    assert_eq!(say(fronts(2, 0, 2), &seen, &other), Err("order and bodies behind"));
    let turned = [seen[1].clone(), seen[0].clone()];
    assert_eq!(say(fronts(2, 0, 2), &seen, &turned), Err("order and bodies behind"));
    assert_eq!(say(fronts(2, 0, 2), &other, &other), Err("what was forwarded"));
    assert_eq!(say(fronts(2, 0, 4), &seen, &seen), Err("number of all answers"));
}
