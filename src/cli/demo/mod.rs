//! `hookward demo`: a gateway, three services and a sender on loopback, and what became of every request.
//!
//! Nothing is staged: the gateway is the one that `serve` runs, with the embedded store in a temporary
//! folder; the services are HTTP servers that count what reaches them; the sender speaks HTTP to the ingress. What
//! the table says comes from the answers, from the services, and from the admin port.
//!
//! Reading order: [`cases`] (what is sent and how it should end), [`services`], [`sender`], [`report`], and
//! [`run`] which puts them together.

mod cases;
mod report;
mod run;
mod sender;
mod services;

pub(super) use run::{Args, run};
