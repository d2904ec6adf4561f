//! The envelope: the sender's id and the event's type, read from the signed body without building it up.
//!
//! Id and type come from the body; a header serves only where the body has none, and an id that differs
//! between the two is refused. A field is text, or a whole number as it is written; 1 to 255 bytes on
//! one line. Where the scheme needs one and there is none: 400. A body that is read at all is validated to
//! its last byte (see [`scan()`] for what is JSON here and for the rules of depth and of names that come
//! twice); a compressed body is inflated into a bounded copy for reading ([`inflate`]).
//!
//! Where nothing is needed from the body (the id stands in a header, the type is optional), a body that is
//! not JSON passes without a type.
//!
//! - [`mod@pointer`]: where a field stands
//! - [`config`]: where id and type stand, and the bounds
//! - [`mod@scan`]: the one pass over the body; `piecewise`: the same over one that comes in pieces; `search`: the way to a field; `specials`: the end of a string
//! - [`inflate`]: the bounded copy of a compressed body
//! - [`question`]: the guard
//!
//! ```
//! use bytes::Bytes;
//! use hookward::domain::Facts;
//! use hookward::guard::{Envelope, EnvelopeLayer, envelope, signature::presets};
//! use http::{Request, Response};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let app = service_fn(|request: Request<Bytes>| async move {
//!     let facts = request.extensions().get::<Facts>().cloned().unwrap_or_default();
//!     Ok::<_, std::io::Error>(Response::new(Bytes::from(facts.event_type.unwrap_or_default().into_string())))
//! });
//! let guard = Envelope::new(envelope::Config::of(&presets::APPMINT.scheme()));
//! let app = EnvelopeLayer::new(guard).layer(app);
//!
//! let event = Request::post("/").body(Bytes::from(r#"{"id":"evt_1","type":"payment.failed","data":{}}"#))?;
//! assert_eq!(app.clone().oneshot(event).await?.body(), "payment.failed");
//! let nobody = Request::post("/").body(Bytes::from(r#"{"data":{}}"#))?;
//! assert_eq!(app.oneshot(nobody).await?.status(), 400);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod config;
pub mod inflate;
mod piecewise;
pub mod pointer;
pub mod question;
pub mod scan;
mod search;
mod specials;

pub use config::{Config, INFLATED_BYTES_MAX_DEFAULT};
pub(in crate::guard) use piecewise::Piecewise;
pub use pointer::{Field, FieldError, Lookup, POINTER_TOKENS_MAX, Pointer};
pub use question::{Envelope, EnvelopeLayer};
pub use scan::{DEPTH_MAX, ScanError, Value, scan};
