//! As written to checked: every value in its stage's own type, every contradiction named.
//!
//! Each file checks one section and goes on after a problem, so that a person hears of all of them at once.
//! A value that is wrong is replaced by its default for the rest of the check; nothing that was wrong
//! leaves this module.

pub(super) mod checked;
mod destination;
mod feed;
mod mode;
mod outbound;
mod ports;
mod redis;
mod route;
mod source;
mod store;
mod tls;
mod value;
mod verify;
mod whole;

pub(super) use whole::check;
