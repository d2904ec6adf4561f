//! The name service of one gateway: files and a name server of the test's own in the place of the machine's.
//!
//! The gateway runs in a mount namespace in which `/etc/hosts`, `/etc/resolv.conf` and `/etc/nsswitch.conf` are ours; nobody
//! else sees them. Needs root.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use tempfile::TempDir;

/// The name that destinations of these tests have.
pub(crate) const NAME: &str = "service.test";

/// What fits into an answer over UDP (RFC 1035 section 2.3.4).
const UDP_BYTES_MAX: usize = 512;

/// What the server says of every name.
#[derive(Clone, Debug)]
pub(crate) enum Zone {
    /// These addresses.
    Addresses(Vec<Ipv4Addr>),
    /// There is no such name.
    NoSuchName,
    /// SERVFAIL.
    Fails,
    /// Nothing at all.
    Silent,
}

/// The files and, where there is one, the server.
#[derive(Debug)]
pub(crate) struct Names {
    folder: TempDir,
    zone: Arc<Mutex<Zone>>,
    /// How many questions came.
    asked: Arc<Mutex<usize>>,
}

// === impl Names ===

impl Names {
    /// Names stand in a file.
    pub(crate) fn in_file(address: Ipv4Addr) -> Self {
        let names = Self::with_files("files", "");
        names.move_to(address);
        names
    }

    /// Names are asked for at a server that answers so.
    pub(crate) fn by_server(zone: Zone) -> Self {
        let (udp, tcp) = sockets();
        let server = udp.local_addr().unwrap().ip();
        let names = Self::with_files("dns", &format!("nameserver {server}\noptions timeout:1 attempts:1\n"));
        *names.zone.lock().unwrap() = zone;
        let (zone, asked) = (Arc::clone(&names.zone), Arc::clone(&names.asked));
        std::thread::spawn(move || serve_udp(&udp, &zone, &asked));
        let zone = Arc::clone(&names.zone);
        std::thread::spawn(move || serve_tcp(&tcp, &zone));
        names
    }

    /// Names are asked for at a name server that somebody else runs at this address.
    pub(crate) fn of_server(server: std::net::IpAddr, options: &str) -> Self {
        Self::with_files("dns", &format!("nameserver {server}\noptions {options}\n"))
    }

    fn with_files(lookup: &str, resolver: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("hookward-names-").tempdir().unwrap();
        std::fs::write(folder.path().join("nsswitch.conf"), format!("hosts: {lookup}\n")).unwrap();
        std::fs::write(folder.path().join("resolv.conf"), resolver).unwrap();
        std::fs::write(folder.path().join("hosts"), "").unwrap();
        Self { folder, zone: Arc::new(Mutex::new(Zone::Silent)), asked: Arc::default() }
    }

    /// The file says another address from now on.
    pub(crate) fn move_to(&self, address: Ipv4Addr) {
        // In place: what is mounted over another file is this very file.
        std::fs::write(self.file("hosts"), format!("{address} {NAME}\n")).unwrap();
    }

    /// The server answers otherwise from now on.
    pub(crate) fn answer(&self, zone: Zone) {
        *self.zone.lock().unwrap() = zone;
    }

    /// How many questions came over UDP.
    pub(crate) fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }

    /// Under which the gateway must run, see [`Gateway::under`](super::Gateway::under).
    pub(crate) fn command(&self) -> Vec<String> {
        let script = "for name in hosts resolv.conf nsswitch.conf; do mount --bind \"$0/$name\" \"/etc/$name\" || exit; done; \
                      exec \"$@\"";
        let mut command: Vec<String> = ["unshare", "--mount", "sh", "-c", script].map(str::to_owned).to_vec();
        command.push(self.folder.path().to_str().unwrap().to_owned());
        command
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Port 53, which resolv.conf cannot change, of an address that nobody else takes.
fn sockets() -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let address = (Ipv4Addr::new(127, fastrand::u8(2..), fastrand::u8(..), fastrand::u8(1..255)), 53);
        if let (Ok(udp), Ok(tcp)) = (UdpSocket::bind(address), TcpListener::bind(address)) {
            return (udp, tcp);
        }
    }
    panic!("no free address for a name server: port 53 needs root");
}

fn serve_udp(socket: &UdpSocket, zone: &Mutex<Zone>, asked: &Mutex<usize>) {
    let mut question = [0; UDP_BYTES_MAX];
    while let Ok((length, from)) = socket.recv_from(&mut question) {
        *asked.lock().unwrap() += 1;
        let Some(answer) = answer(&question[..length], &zone.lock().unwrap()) else { continue };
        let answer = if answer.len() > UDP_BYTES_MAX { cut(&question[..length]) } else { answer };
        let _sent = socket.send_to(&answer, from);
    }
}

fn serve_tcp(listener: &TcpListener, zone: &Mutex<Zone>) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        // Both of a resolver's questions may come over one connection.
        while let Some(question) = read_question(&mut stream) {
            let Some(answer) = answer(&question, &zone.lock().unwrap()) else { break };
            let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
            let _sent = stream.write_all(&[&length[..], &answer].concat());
        }
    }
}

/// What stands behind its length (RFC 1035 section 4.2.2).
fn read_question(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut question).ok()?;
    Some(question)
}

/// The answer, however long.
fn answer(question: &[u8], zone: &Zone) -> Option<Vec<u8>> {
    let mut packet = reply_to(question);
    match zone {
        Zone::Silent => return None,
        Zone::NoSuchName => *packet.rcode_mut() = RCODE::NameError,
        Zone::Fails => *packet.rcode_mut() = RCODE::ServerFailure,
        Zone::Addresses(addresses) => {
            let asked = packet.questions[0].clone();
            if asked.qtype == QTYPE::TYPE(TYPE::A) {
                let record = |address: &Ipv4Addr| {
                    ResourceRecord::new(asked.qname.clone(), CLASS::IN, 0, RData::A(A::from(*address)))
                };
                packet.answers.extend(addresses.iter().map(record));
            }
        }
    }
    Some(packet.build_bytes_vec_compressed().unwrap())
}

/// The answer that says: ask again over TCP.
fn cut(question: &[u8]) -> Vec<u8> {
    let mut packet = reply_to(question);
    packet.set_flags(PacketFlag::TRUNCATION);
    packet.build_bytes_vec().unwrap()
}

/// An empty answer. Resolvers ignore one of a server that neither knows nor asks others.
fn reply_to(question: &[u8]) -> Packet<'_> {
    let mut packet = Packet::parse(question).unwrap().into_reply();
    packet.set_flags(PacketFlag::RECURSION_AVAILABLE);
    packet
}
