//! Standard output that takes a closed pipe for an end and not for a disaster.

use std::io::{self, Write};

use super::Failure;

/// Writes the text as it is and flushes it.
///
/// # Errors
///
/// [`Failure::OutputClosed`] where the reader went away (`hookward schema | head -1`), [`Failure::Failed`] on
/// any other trouble.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Writes a line to standard error; where that is closed nobody wants to know.
pub fn note(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}
