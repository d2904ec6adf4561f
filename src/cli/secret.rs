//! Secrets for one call: from files or the environment, never from an argument, which `ps` shows.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::Failure;
use crate::domain::Secret;

/// The variable with the secret.
const SECRET_VARIABLE: &str = "HOOKWARD_SECRET";

/// The secret of each file, else the one of the environment; without the line break that `echo` leaves.
///
/// # Errors
///
/// A file cannot be read, or there is no secret at all.
pub(super) fn secrets(files: &[PathBuf]) -> Result<Vec<Secret>, Failure> {
    if files.is_empty() {
        #[allow(clippy::disallowed_methods, reason = "a secret on the command line is seen by everybody")]
        let variable = std::env::var(SECRET_VARIABLE);
        let missing = |_| Failure::Usage(format!("no secret: use --secret-file, or set ${SECRET_VARIABLE}"));
        return Ok(vec![of_text(variable.map_err(missing)?)]);
    }
    let read = |file: &PathBuf| match std::fs::read_to_string(file) {
        Ok(text) => Ok(of_text(text)),
        Err(error) => Err(Failure::Failed(format!("{}: {error}", file.display()))),
    };
    files.iter().map(read).collect()
}

fn of_text(text: String) -> Secret {
    let text = Zeroizing::new(text);
    Secret::new(text.trim_end_matches(['\r', '\n']))
}
