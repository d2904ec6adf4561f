//! What is asked for several things, one after the other: what fails is said, and the others go on.

use serde_json::{Value, json};

use super::{Failure, print};

/// How it went so far.
pub(super) struct Several {
    as_json: bool,
    failed: bool,
}

// === impl Several ===

impl Several {
    pub(super) fn new(as_json: bool) -> Self {
        Self { as_json, failed: false }
    }

    /// What came of one of them; `None` where it failed, which is said.
    ///
    /// # Errors
    /// It cannot be said.
    pub(super) fn of<T>(&mut self, id: &str, came: Result<T, Failure>) -> Result<Option<T>, Failure> {
        let failure = match came {
            Ok(came) => return Ok(Some(came)),
            Err(failure) => failure,
        };
        self.failed = true;
        if self.as_json {
            print(&format!("{}\n", json!({ "id": id, "error": failure.to_string() })))?;
        } else {
            eprintln!("error: {}: {failure}", id.escape_debug());
        }
        Ok(None)
    }

    /// Prints an answer: an object of JSON a line, or what `says` makes of it.
    ///
    /// # Errors
    /// It cannot be printed.
    pub(super) fn print(&self, answer: &Value, says: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        print(&if self.as_json { format!("{answer}\n") } else { says(answer) })
    }

    /// # Errors
    /// One of them failed.
    pub(super) fn end(self) -> Result<(), Failure> {
        if self.failed { Err(Failure::Reported) } else { Ok(()) }
    }
}
