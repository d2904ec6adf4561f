//! The embedded engine: a journal of our own in the accept path, a SQLite index behind it.
