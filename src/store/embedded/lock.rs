//! One process a folder: a lock file that the kernel releases when its holder dies.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::OpenError;

const LOCK_FILE: &str = "lock";

/// Held as long as the engine is open.
#[derive(Debug)]
pub(super) struct FolderLock {
    _file: File,
}

// === impl FolderLock ===

impl FolderLock {
    /// Makes the folder where it is missing and locks it.
    pub(super) fn take(folder: &Path) -> Result<Self, OpenError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(OpenError::folder("make the folder", folder))?;
        let path = folder.join(LOCK_FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(OpenError::folder("open", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                let known = file.read_to_string(&mut pid).is_ok_and(|_| !pid.trim().is_empty());
                let pid = if known { pid.trim().into() } else { "unknown".into() };
                return Err(OpenError::InUse { path: folder.into(), pid });
            }
            Err(error) => return Err(OpenError::folder("lock", &path)(error.into())),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(OpenError::folder("write", &path))?;
        Ok(Self { _file: file })
    }
}
