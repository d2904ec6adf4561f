//! As much of HTTP/1.1 as sender and sink need, parsed from raw bytes: they share two cores with what they measure.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

/// Bytes read from a socket at once; above any request or answer of the bench.
pub(crate) const READ_BYTES: usize = 16 * 1024;

/// One whole message at the start of a buffer.
pub(crate) struct Message {
    /// Length of the head with its empty line, in bytes.
    pub(crate) head: usize,
    /// Length of head and body, in bytes.
    pub(crate) total: usize,
    /// The peer closes the connection after this message.
    pub(crate) close: bool,
}

/// Finds one whole message, or `None` while bytes are missing. Panics at what no system of the bench sends.
pub(crate) fn message(buffer: &[u8]) -> Option<Message> {
    let head = find(buffer, b"\r\n\r\n")? + 4;
    let (mut length, mut chunked, mut close) = (0, false, false);
    for line in buffer[..head].split(|byte| *byte == b'\n').skip(1) {
        match line.first().map(u8::to_ascii_lowercase) {
            Some(b'c') => {
                if let Some(value) = value(line, b"content-length:") {
                    length = value.parse().expect("a content-length that is a number");
                } else if let Some(value) = value(line, b"connection:") {
                    close = value.eq_ignore_ascii_case("close");
                }
            }
            Some(b't') => chunked |= value(line, b"transfer-encoding:").is_some(),
            _ => {}
        }
    }
    if chunked {
        let end = find(&buffer[head..], b"0\r\n\r\n")? + 5;
        return Some(Message { head, total: head + end, close });
    }
    (buffer.len() >= head + length).then_some(Message { head, total: head + length, close })
}

fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let start = line.get(..name.len())?;
    let rest = line.get(name.len()..)?;
    start.eq_ignore_ascii_case(name).then(|| std::str::from_utf8(rest).unwrap_or("").trim())
}

/// Position of `wanted` in `buffer`.
pub(crate) fn find(buffer: &[u8], wanted: &[u8]) -> Option<usize> {
    buffer.windows(wanted.len()).position(|window| window == wanted)
}

/// A socket without blocking, with what was read or could not yet be written.
pub(crate) struct Connection {
    pub(crate) socket: TcpStream,
    unread: Vec<u8>,
    unwritten: Vec<u8>,
}

/// What reading found.
pub(crate) enum Read1 {
    /// Bytes are there (see [`Connection::read`]).
    Bytes,
    /// Nothing for now.
    Nothing,
    /// The peer is gone.
    Closed,
}

impl Connection {
    /// Wraps a connected socket.
    pub(crate) fn new(socket: TcpStream) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, unread: Vec::new(), unwritten: Vec::new() })
    }

    /// Reads once and calls `each` with every whole message; says whether the connection is still of use.
    pub(crate) fn read(&mut self, scratch: &mut [u8], mut each: impl FnMut(&Message, &[u8])) -> Read1 {
        let mut found = Read1::Nothing;
        loop {
            let count = match (&self.socket).read(scratch) {
                Ok(0) => return Read1::Closed,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return found,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Read1::Closed,
            };
            found = Read1::Bytes;
            if self.unread.is_empty() {
                let used = consume(&scratch[..count], &mut each);
                self.unread.extend_from_slice(&scratch[used..count]);
            } else {
                self.unread.extend_from_slice(&scratch[..count]);
                let used = consume(&self.unread, &mut each);
                self.unread.drain(..used);
            }
            // A short read has emptied the socket: edge-triggered epoll reports what comes next.
            if count < scratch.len() {
                return found;
            }
        }
    }

    /// Writes all bytes now or keeps the rest for [`Connection::flush`]; false when the peer is gone.
    pub(crate) fn write(&mut self, parts: &[u8]) -> bool {
        if !self.unwritten.is_empty() {
            self.unwritten.extend_from_slice(parts);
            return self.flush();
        }
        match (&self.socket).write(parts) {
            Ok(count) if count == parts.len() => true,
            Ok(count) => {
                self.unwritten.extend_from_slice(&parts[count..]);
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.unwritten.extend_from_slice(parts);
                true
            }
            Err(_) => false,
        }
    }

    /// Writes what an earlier write could not; false when the peer is gone.
    pub(crate) fn flush(&mut self) -> bool {
        while !self.unwritten.is_empty() {
            match (&self.socket).write(&self.unwritten) {
                Ok(count) => drop(self.unwritten.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        true
    }
}

fn consume(buffer: &[u8], each: &mut impl FnMut(&Message, &[u8])) -> usize {
    let mut used = 0;
    while used < buffer.len() {
        let Some(found) = message(&buffer[used..]) else { break };
        each(&found, &buffer[used..used + found.total]);
        used += found.total;
    }
    used
}
