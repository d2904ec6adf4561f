//! Stage 1: sockets, client address, routing by path, bounded body.
//!
//! Every limit is a field of [`Config`].

pub mod config;

pub use config::Config;
