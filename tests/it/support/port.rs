//! Ports for servers that must be able to come back on the same one.
//!
//! They lie below the range from which the kernel takes ports for outgoing connections, so that no client can sit
//! on one while its server is down, and a locked file tells other test processes that it is taken.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// A port of 127.0.0.1 that is ours for as long as this lives.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Takes one that nothing listens on.
    pub(crate) fn take() -> Self {
        let folder = std::env::temp_dir().join("hookward-test-ports");
        std::fs::create_dir_all(&folder).unwrap();
        for _ in 0..1000 {
            let number = fastrand::u16(12_000..32_000);
            let lock = File::create(folder.join(number.to_string())).unwrap();
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Self { number, _lock: lock };
            }
        }
        panic!("no free port between 12000 and 32000");
    }

    /// Where a server on it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}
