//! HTTP/2 at the ingress, frame by frame: what RFC 9113 forbids, what our limits forbid, floods, and a genuine client.

mod floods;
pub(crate) mod frames;
mod genuine;
mod rfc9113;
