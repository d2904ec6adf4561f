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

    /// All requests, in the order in which they began; or what can be read in more than one way.
    pub(super) fn seen(&self) -> Result<Vec<Seen>, String> {
        let written = self.written.lock().unwrap();
        let mut connections = BTreeMap::<_, (Vec<u8>, Vec<_>)>::new();
        for (when, (number, piece)) in written.iter().enumerate() {
            let (bytes, pieces) = connections.entry(number).or_default();
            pieces.push((bytes.len(), when));
            bytes.extend_from_slice(piece);
        }
        let mut seen = Vec::new();
        for (bytes, pieces) in connections.values() {
            for (at, request) in requests(bytes)? {
                let piece = pieces.partition_point(|(begin, _)| *begin <= at) - 1;
                seen.push((pieces[piece].1, request));
            }
        }
        seen.sort_by_key(|(when, _)| *when);
        Ok(seen.into_iter().map(|(_, request)| request).collect())
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

/// The requests on one connection, and where they begin. They have one length each and nothing else that says where
/// they end.
fn requests(all: &[u8]) -> Result<Vec<(usize, Seen)>, String> {
    let (mut bytes, mut requests) = (all, Vec::new());
    while !bytes.is_empty() {
        let (seen, rest) = request(bytes).map_err(|what| format!("{what}: {}", bytes.escape_ascii()))?;
        requests.push((all.len() - bytes.len(), seen));
        bytes = rest;
    }
    Ok(requests)
}

fn request(bytes: &[u8]) -> Result<(Seen, &[u8]), String> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n").ok_or("half a head")?;
    // Bytes above 127 are opaque text (RFC 9110 section 5.5).
    let head: String = bytes[..end].iter().copied().map(char::from).collect();
    if head.replace("\r\n", "").contains(|char: char| char.is_ascii_control() && char != '\t') {
        return Err("a control character".to_owned());
    }
    let mut lines = head.split("\r\n");
    let (mut length, mut tag) = (None, None);
    let line = lines.next().unwrap().split(' ').collect::<Vec<_>>();
    let &[method, target, "HTTP/1.1"] = &*line else { return Err("no request line".to_owned()) };
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or_else(|| format!("no field {line:?}"))?;
        let name = name.to_ascii_lowercase();
        let is_twice = match &*name {
            "content-length" => {
                let value = value.parse::<usize>().map_err(|error| format!("length {value:?}: {error}"))?;
                length.replace(value).is_some()
            }
            "x-case" => tag.replace(value.to_owned()).is_some(),
            odd if odd.contains("transfer") || odd.contains("length") || odd == "upgrade" || odd == "expect" => {
                return Err(format!("field {odd}"));
            }
            _ => false,
        };
        if is_twice {
            return Err(format!("field {name} twice"));
        }
    }
    let (body, length) = (&bytes[end + 4..], length.unwrap_or_default());
    let (body, rest) = body.split_at_checked(length).ok_or("half a body")?;
    let (method, target) = (method.to_owned(), target.to_owned());
    Ok((Seen { tag: tag.ok_or("nobody's request")?, method, target, body: body.to_vec() }, rest))
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
