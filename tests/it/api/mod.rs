//! The admin port against the real store: what it shows, what it does, and whom it refuses.

mod access;
mod again;
mod command_line;
mod fixture;
mod health;
mod idempotency;
mod lists;
mod live;
mod openapi;
mod projects;
mod schemathesis;
mod scrape;
mod secrets;
mod shown;
