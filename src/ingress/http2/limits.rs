//! What one HTTP/2 connection may take, and why so much.
//!
//! Beside these hold the configured ones: `connections_max`, `headers_bytes_max`, `header_timeout`, `request_timeout`,
//! `drain_timeout` and the limits of bodies.

use std::time::Duration;

use crate::ingress::connection::{LINGER, LINGER_BYTES_MAX};

/// Requests at a time; what RFC 9113 section 6.5.2 recommends as the least, and what nginx and Envoy take.
pub(super) const STREAMS_MAX: u32 = 100;

/// Bytes of one body that may be on their way before they are read: one body in flight at the speed of HTTP/1.1.
pub(super) const STREAM_WINDOW_BYTES: u32 = 64 << 10;

/// The same for all bodies of a connection: not 100 times as much, or one sender could fill the memory.
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 256 << 10;

/// The largest frame; the least that may be announced (RFC 9113 section 6.5.2).
pub(super) const FRAME_BYTES_MAX: u32 = 16 << 10;

/// The table of header compression: the default of RFC 7541, which every client has.
pub(super) const HEADER_TABLE_BYTES: u32 = 4 << 10;

/// Bytes of an answer that wait for a sender that does not read; for each stream.
pub(super) const SEND_BUFFER_BYTES: usize = 64 << 10;

/// Streams that the sender has reset before we looked at them (rapid reset, CVE-2023-44487); one more ends the connection.
pub(super) const RESETS_PENDING_MAX: usize = 20;

/// Streams that we had to reset because of what the sender did (MadeYouReset, CVE-2025-8671); one more ends the
/// connection.
pub(super) const RESETS_LOCAL_MAX: usize = 64;

/// After so long without a frame the other side is asked whether it is there.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(20);

/// And has so long to answer.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// What h2 takes of a header list beyond `headers_bytes_max`, as a factor: within it we refuse with 431 and a reason,
/// beyond it h2 does with a bare 431.
pub(super) const HEADER_LIST_FACTOR: usize = 2;

/// Frames that bring no work (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, …) which a connection has to its
/// credit; at the start, and at the most.
pub(super) const CREDIT_MAX: i64 = 2000;

/// What a request adds to the credit: some frames go with each.
pub(super) const CREDIT_OF_REQUEST: i64 = 15;

/// What a reset costs: the request before it has cost us work, so that resets alone use the credit up.
pub(super) const COST_OF_RESET: i64 = 20;

/// Bytes of a body that add one frame to the credit.
pub(super) const CREDIT_BYTES_READ: usize = 64;

/// Bytes that we have sent which add one frame: they are answered with WINDOW_UPDATE.
pub(super) const CREDIT_BYTES_SENT: u64 = 1024;

/// What a connection has to end after it was told to, while nothing is in flight.
pub(super) const GOODBYE: Duration = Duration::from_secs(1);

/// What is read, and dropped, of a body that was refused before its end: as long as HTTP/1.1 lingers.
pub(super) const LEFTOVER_TIME_MAX: Duration = LINGER;

/// And not more than this, in bytes.
pub(super) const LEFTOVER_BYTES_MAX: usize = LINGER_BYTES_MAX;
