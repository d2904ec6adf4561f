//! hookward: a webhook gateway. Genuine webhooks in, once, durably, out to every service.
//!
//! The modules in the order in which a request meets them:
//!
//! 1. [`ingress`]: sockets, client address, routing by path, the bounded body
//! 2. [`guard`]: allowlist, rate limit, signature, replay window, envelope, dedup as public tower layers
//! 3. [`intake`]: the durable keep, then the answer
//! 4. [`dispatch`]: which delivery is due, a lane for each destination
//! 5. [`deliver`]: one attempt, one request, one outcome
//! 6. [`records`]: search, redelivery, retention
//!
//! What is emitted instead of received begins in [`outbound`]: customers' webhooks, and events for them.
//!
//! They meet in [`app`] and nowhere else. Under them lie [`domain`] (pure values), `deadline` (time limits of what is read),
//! [`store`] (what is kept) and [`telemetry`]; around them [`config`], [`api`] and [`cli`].

pub mod ingress;

pub mod guard;

pub mod intake;

pub mod dispatch;

pub mod deliver;

pub mod records;

pub mod outbound;

mod deadline;
pub mod domain;
pub mod store;
pub mod telemetry;

pub mod api;
pub mod app;
pub mod cli;
pub mod config;
