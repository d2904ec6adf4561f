//! The one integration binary: the gateway seen from outside, a module a subject.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

mod abuse;
mod answers;
mod api;
mod config;
mod demo;
mod faults;
mod flow;
mod gateway;
mod guard;
mod http2;
mod ingress;
mod interop;
mod loss;
mod outbound;
mod proxy;
mod redis;
mod settings;
mod small;
mod ssrf;
mod store;
mod support;
