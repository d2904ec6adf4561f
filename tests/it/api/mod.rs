//! The admin port against the real store: what it shows, what it does, and whom it refuses.

mod access;
mod again;
mod command_line;
mod fixture;
mod health;
mod lists;
mod live;
mod scrape;
mod secrets;
mod shown;
