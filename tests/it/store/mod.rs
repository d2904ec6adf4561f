//! The store: one conformance suite that every engine passes, and what the embedded engine must survive.

mod embedded;
mod suite;
mod world;
