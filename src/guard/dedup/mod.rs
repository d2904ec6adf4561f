//! Dedup: what tells a copy from a new event, and what becomes of a copy.
//!
//! The guard ([`Dedup`]) never refuses: it leaves a key in [`Facts::dedup_key`](crate::domain::Facts), 16 bytes
//! that only copies share: a keyed hash of the source and of what the source deduplicates by ([`By`]). Where
//! the id is not covered by the sender's proof, the body's SHA-256 is part of the key: otherwise anybody who has
//! seen one signed request could send it under the id of another event, which then would pass for a copy.
//! Without an id there is no key, and without a key no dedup.
//!
//! The gateway's queue mode hands the key to the store, which takes event and mark in one step. Any other app
//! uses [`DedupLayer`]: the mark is claimed before the app is asked, becomes permanent when the app answered
//! 2xx, and is released otherwise, so that the sender's retry gets through. A copy that arrives while the
//! first is in flight is told to come again (503 with `Retry-After`); a copy of a permanent one is answered 200
//! with `Hookward-Duplicate: true` and does not reach the app.
//!
//! - [`config`]: what two copies have in common
//! - [`key`]: the guard
//! - [`marks`]: the seam to whatever keeps marks
//! - [`memory`]: marks in memory, bounded
//! - [`layer`]: the layer for other apps
//!
//! ```
//! use std::sync::Arc;
//! use bytes::Bytes;
//! use hookward::domain::{Clock, Facts};
//! use hookward::guard::{Dedup, DedupLayer, GuardLayer, dedup};
//! use http::{Request, Response};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let config = dedup::Config::default();
//! let marks = Arc::new(dedup::MemoryMarks::new(100_000, config.window, Clock::machine()));
//! let app = service_fn(|_: Request<Bytes>| async { Ok::<_, std::io::Error>(Response::new(Bytes::from("OK"))) });
//! let app = DedupLayer::new(marks).layer(app);
//! let app = GuardLayer::new(Dedup::new(&config, "payments", *b"a secret of ours")).layer(app);
//!
//! let event = |id: &str| {
//!     let facts = Facts { source_event_id: Some(id.into()), source_event_id_signed: true, ..Facts::default() };
//!     Request::post("/").extension(facts).body(Bytes::from("{}"))
//! };
//! let first = app.clone().oneshot(event("evt_1")?).await?;
//! assert!(!first.headers().contains_key("hookward-duplicate"));
//! let copy = app.clone().oneshot(event("evt_1")?).await?;
//! assert_eq!((copy.status().as_u16(), copy.headers()["hookward-duplicate"].to_str()?), (200, "true"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod config;
pub mod key;
pub mod layer;
pub mod marks;
pub mod memory;

pub use config::{By, Config, WINDOW_DEFAULT};
pub use key::Dedup;
pub use layer::{DedupLayer, Deduplicated};
pub use marks::{Claim, Marks};
pub use memory::MemoryMarks;
