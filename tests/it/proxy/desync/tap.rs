//! Between the gateway and the server behind: passes every byte on, and notes the requests.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::Hit;

/// A request, as far as two parsers must agree about it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// The attack to which it belongs.
    pub(super) tag: String,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) body: Vec<u8>,
}

/// Pieces as they were written, each with the number of its connection.
type Written = Arc<Mutex<Vec<(usize, Vec<u8>)>>>;

/// A listening socket in front of a server.
#[derive(Debug)]
pub(super) struct Tap {
    address: SocketAddr,
    written: Written,
    task: JoinHandle<()>,
}

// === impl Tap ===

impl Tap {
    pub(super) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, written) = (listener.local_addr().unwrap(), Written::default());
        let kept = Arc::clone(&written);
        let task = tokio::spawn(async move {
            for number in 0.. {
                let (near, _) = listener.accept().await.unwrap();
                tokio::spawn(pass(near, TcpStream::connect(server).await.unwrap(), Arc::clone(&kept), number));
            }
        });
        Self { address, written, task }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All requests, in the order in which they began.
    pub(super) fn seen(&self) -> Vec<Seen> {
        let written = self.written.lock().unwrap();
        let mut connections = BTreeMap::<_, (Vec<u8>, Vec<_>)>::new();
        for (when, (number, piece)) in written.iter().enumerate() {
            let (bytes, pieces) = connections.entry(number).or_default();
            pieces.push((bytes.len(), when));
            bytes.extend_from_slice(piece);
        }
        let mut seen = Vec::new();
        for (bytes, pieces) in connections.values() {
            for (at, request) in requests(bytes) {
                let piece = pieces.partition_point(|(begin, _)| *begin <= at) - 1;
                seen.push((pieces[piece].1, request));
            }
        }
        seen.sort_by_key(|(when, _)| *when);
        seen.into_iter().map(|(_, request)| request).collect()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(near: TcpStream, far: TcpStream, written: Written, number: usize) {
    let (mut near_reads, mut near_writes) = near.into_split();
    let (mut far_reads, mut far_writes) = far.into_split();
    let back = tokio::spawn(async move { drop(tokio::io::copy(&mut far_reads, &mut near_writes).await) });
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = near_reads.read(&mut bytes).await {
        written.lock().unwrap().push((number, bytes[..count].to_vec()));
        if far_writes.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
    drop(far_writes);
    drop(back.await);
}

/// The requests on one connection, and where they begin. They have one length each and nothing else, or the test fails.
fn requests(all: &[u8]) -> Vec<(usize, Seen)> {
    let (mut bytes, mut requests) = (all, Vec::new());
    while !bytes.is_empty() {
        let shown = || bytes.escape_ascii().to_string();
        let end = memchr::memmem::find(bytes, b"\r\n\r\n").unwrap_or_else(|| panic!("half a head: {}", shown()));
        // Bytes above 127 are opaque text (RFC 9110 section 5.5).
        let head: String = bytes[..end].iter().copied().map(char::from).collect();
        assert!(
            !head.replace("\r\n", "").contains(|char: char| char.is_ascii_control() && char != '\t'),
            "{}",
            shown()
        );
        let mut lines = head.split("\r\n");
        let (mut length, mut tag) = (None, None);
        let line = lines.next().unwrap().split(' ').collect::<Vec<_>>();
        let &[method, target, "HTTP/1.1"] = &*line else { panic!("a request line: {}", shown()) };
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no field {line:?} in {}", shown()));
            match &*name.to_ascii_lowercase() {
                "content-length" => assert!(length.replace(value.parse::<usize>().unwrap()).is_none(), "{}", shown()),
                "x-case" => assert!(tag.replace(value.to_owned()).is_none(), "{}", shown()),
                odd if odd.contains("transfer") || odd.contains("length") || odd == "upgrade" || odd == "expect" => {
                    panic!("{odd} in {}", shown())
                }
                _ => {}
            }
        }
        let body = &bytes[end + 4..];
        let length = length.unwrap_or_default();
        assert!(body.len() >= length, "half a body: {}", shown());
        let tag = tag.unwrap_or_else(|| panic!("whose is {}", shown()));
        let (method, target) = (method.to_owned(), target.to_owned());
        let at = all.len() - bytes.len();
        requests.push((at, Seen { tag, method, target, body: body[..length].to_vec() }));
        bytes = &body[length..];
    }
    requests
}

// === impl Seen ===

impl Seen {
    /// What the recorder noted.
    pub(super) fn of_hit(hit: &Hit) -> Self {
        Self {
            tag: hit.header("x-case").to_owned(),
            method: hit.method.to_string(),
            target: hit.uri.to_string(),
            body: hit.body.to_vec(),
        }
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.method, self.target, self.body.escape_ascii())
    }
}
