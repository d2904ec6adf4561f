//! Names of sources, targets and types as small numbers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;

use super::key::MixState;
use crate::domain::event::DEFAULT_PROJECT;

/// The names of the index, known by heart.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<Arc<str>, i64>,
    names: HashMap<i64, Arc<str>>,
    /// What was asked last, by [`slot`]: most events ask for the same few names.
    recent: [Option<(Arc<str>, i64)>; SLOTS],
}

/// Names by number, each read once.
pub(super) struct NamesRead<'a> {
    pub(super) connection: &'a Connection,
    known: RefCell<HashMap<i64, Arc<str>, MixState>>,
}

const SLOTS: usize = 16;

/// Beyond this many names new ones are looked up each time: types come from senders and may be endless.
const KNOWN_NAMES_MAX: usize = 65_536;

// === impl Names ===

impl Names {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut names = Self::default();
        let mut statement = connection.prepare("SELECT id, name FROM names LIMIT ?1")?;
        let mut rows = statement.query([i64::try_from(KNOWN_NAMES_MAX).unwrap_or(i64::MAX)])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(1)?;
            names.learn(row.get(0)?, &name);
        }
        Ok(names)
    }

    /// The number of a name, given now if need be.
    pub(super) fn number(&mut self, connection: &Connection, name: &str) -> rusqlite::Result<i64> {
        if let Some(Some((recent, number))) = self.recent.get(slot(name))
            && **recent == *name
        {
            return Ok(*number);
        }
        if let Some((known, number)) = self.numbers.get_key_value(name) {
            let (known, number) = (Arc::clone(known), *number);
            if let Some(recent) = self.recent.get_mut(slot(name)) {
                *recent = Some((known, number));
            }
            return Ok(number);
        }
        connection.prepare_cached("INSERT OR IGNORE INTO names(name) VALUES (?1)")?.execute([name])?;
        let number =
            connection.prepare_cached("SELECT id FROM names WHERE name = ?1")?.query_row([name], |row| row.get(0))?;
        if self.names.len() < KNOWN_NAMES_MAX {
            self.learn(number, name);
        }
        Ok(number)
    }

    /// The name of a number.
    pub(super) fn name(&self, connection: &Connection, number: i64) -> rusqlite::Result<Arc<str>> {
        if let Some(name) = self.names.get(&number) {
            return Ok(Arc::clone(name));
        }
        let name: String =
            connection.prepare_cached("SELECT name FROM names WHERE id = ?1")?.query_row([number], |row| row.get(0))?;
        Ok(name.into())
    }

    fn learn(&mut self, number: i64, name: &str) {
        let name: Arc<str> = name.into();
        self.numbers.insert(Arc::clone(&name), number);
        self.names.insert(number, name);
    }
}

// === impl NamesRead ===

impl<'a> NamesRead<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self { connection, known: RefCell::default() }
    }

    pub(super) fn name(&self, number: i64) -> rusqlite::Result<Arc<str>> {
        if let Some(name) = self.known.borrow().get(&number) {
            return Ok(Arc::clone(name));
        }
        let mut statement = self.connection.prepare_cached("SELECT name FROM names WHERE id = ?1")?;
        let name: Arc<str> = statement.query_row([number], |row| row.get::<_, String>(0))?.into();
        self.known.borrow_mut().insert(number, Arc::clone(&name));
        Ok(name)
    }

    /// The name of a project, of which the default one has no number.
    pub(super) fn project(&self, number: Option<i64>) -> rusqlite::Result<Arc<str>> {
        number.map_or_else(|| Ok(DEFAULT_PROJECT.into()), |number| self.name(number))
    }
}

fn slot(name: &str) -> usize {
    let bytes = name.as_bytes();
    (bytes.len() + usize::from(bytes.last().copied().unwrap_or_default())) % SLOTS
}
