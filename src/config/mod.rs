//! The configuration: as written, then checked.
//!
//! A file is found and read ([`load()`]), becomes a tree that knows every line and column (`document`), the structs
//! of what people write (`written`), and at last [`Checked`], the sum of what each stage asks for (`check`).
//! [`reload`] does the same again while the gateway runs.
//!
//! Invariants: an unknown key, a key of a feature that is not built, and a contradiction are errors with file, line,
//! column, key path and advice; as many as are independent of each other at once. No error shows a secret. A bad
//! file costs bounded time and memory: [`FILE_BYTES_MAX`] bytes, [`NODES_MAX`] values, [`DEPTH_MAX`] levels. The
//! environment is read here and nowhere else.

mod check;
mod document;
mod finding;
mod later;
mod load;
mod memory;
pub mod quantity;
pub mod reload;
mod schema;
mod watched;
mod written;

pub use check::checked::{
    Admin, Checked, Destination, Durability, Mode, Outbound, RedisStore, Role, Source, Store, Token,
};
pub use document::excerpt::Excerpt;
pub use document::parse::{DEPTH_MAX, FILE_BYTES_MAX, NODES_MAX};
pub use finding::{Error, Finding};
pub use load::{DEFAULT_FILES, FILE_VARIABLE, Loaded, find, load, load_with};
pub use quantity::{Period, Size};
pub use reload::{Reloaded, Reloads};
pub use schema::schema;
