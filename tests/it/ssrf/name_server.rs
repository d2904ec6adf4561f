//! A name server of the test's own: answers over UDP what a function says, anew for every question, or does not.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// Answers until the process ends; counts the questions.
pub(super) struct NameServer {
    pub(super) questions: Arc<AtomicUsize>,
}

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;

impl NameServer {
    /// Listens at `address` and answers with `addresses(name, family)`, at a time to live of nothing; `None`: is silent.
    pub(super) fn start(
        address: SocketAddr,
        addresses: impl Fn(&str, Family) -> Option<Vec<IpAddr>> + Send + 'static,
    ) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        Self::serve(socket, addresses)
    }

    /// The same at an address that is free.
    pub(super) fn anywhere(addresses: impl Fn(&str, Family) -> Option<Vec<IpAddr>> + Send + 'static) -> (IpAddr, Self) {
        for _ in 0..100 {
            let address = Ipv4Addr::new(127, fastrand::u8(64..128), fastrand::u8(..), fastrand::u8(1..255));
            if let Ok(socket) = UdpSocket::bind((address, 53)) {
                return (address.into(), Self::serve(socket, addresses));
            }
        }
        panic!("no free address for a name server: port 53 needs root");
    }

    fn serve(socket: UdpSocket, addresses: impl Fn(&str, Family) -> Option<Vec<IpAddr>> + Send + 'static) -> Self {
        let questions = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&questions);
        std::thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((bytes, from)) = socket.recv_from(&mut packet) {
                counted.fetch_add(1, Ordering::SeqCst);
                if let Some(answer) = answer(&packet[..bytes], &addresses) {
                    socket.send_to(&answer, from).unwrap();
                }
            }
        });
        Self { questions }
    }
}

/// The answer to one question (RFC 1035 section 4.1).
fn answer(query: &[u8], addresses: &dyn Fn(&str, Family) -> Option<Vec<IpAddr>>) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).into_owned());
        at = end;
    }
    let question_end = at + 5;
    let found = match u16::from_be_bytes([query[at + 1], query[at + 2]]) {
        TYPE_A => addresses(&labels.join("."), Family::V4)?,
        TYPE_AAAA => addresses(&labels.join("."), Family::V6)?,
        _ => Vec::new(),
    };
    // The query's id; an answer, recursion available, no error; one question, so many answers.
    let mut out = vec![query[0], query[1], 0x81, 0x80, 0, 1, 0, u8::try_from(found.len()).unwrap(), 0, 0, 0, 0];
    out.extend_from_slice(&query[12..question_end]);
    for address in found {
        let (kind, data) = match address {
            IpAddr::V4(v4) => (TYPE_A, v4.octets().to_vec()),
            IpAddr::V6(v6) => (TYPE_AAAA, v6.octets().to_vec()),
        };
        // The name of the question, class IN, time to live 0.
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0]);
        out.push(u8::try_from(data.len()).unwrap());
        out.extend_from_slice(&data);
    }
    Some(out)
}
