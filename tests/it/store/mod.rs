//! The store: one conformance suite that every engine passes, and what the embedded engine must survive.

mod cluster;
mod damage;
mod edits;
mod embedded;
mod faults;
mod gauges;
mod heal;
mod laying;
mod marks;
mod moving;
mod order;
mod redis;
mod requests;
mod retention;
mod specimen;
mod suite;
mod totals;
mod webhooks;
mod world;
