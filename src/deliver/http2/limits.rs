//! What one HTTP/2 connection to an app may take, and why so much.
//!
//! Beside these hold the app's own limits, and of the configuration `request_timeout` and the limits of bodies.

use std::time::Duration;

/// Requests at a time over one connection, where the app takes as many: what RFC 9113 section 6.5.2 recommends as the least.
pub(super) const STREAMS_MAX: usize = 100;

/// Connections to one app; who finds no room on any of them waits.
pub(super) const CONNECTIONS_MAX: usize = 64;

/// Bytes of one answer that may be on their way before its sender takes them.
pub(super) const STREAM_WINDOW_BYTES: u32 = 64 << 10;

/// The same for all answers of a connection: enough for each to fill its own, so that senders who do not read stop no other.
pub(super) const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * 100;

/// The largest frame; the least that may be announced (RFC 9113 section 6.5.2).
pub(super) const FRAME_BYTES_MAX: u32 = 16 << 10;

/// The header list of an answer: as much as of one that comes over HTTP/1.1.
pub(super) const HEADER_LIST_BYTES_MAX: u32 = 64 << 10;

/// What is held of one request's body in pieces until it is written.
pub(super) const SEND_BUFFER_BYTES: usize = 256 << 10;

/// Streams that we reset because of what the app did on them; one more ends the connection.
pub(super) const RESETS_LOCAL_MAX: usize = 64;

/// How often an app is asked whether it is there, while it owes an answer.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(20);

/// And has so long to answer. A connection that is in doubt takes no request meanwhile.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// A request is held so often while something of the app's is to be read first.
pub(super) const WAITS_MAX: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_windows_of_all_streams_fit_into_the_connections() {
        assert_eq!(u64::from(CONNECTION_WINDOW_BYTES), u64::from(STREAM_WINDOW_BYTES) * STREAMS_MAX as u64);
    }
}
