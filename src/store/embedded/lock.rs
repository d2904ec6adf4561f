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
    file: File,
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
        // Written over and cut afterwards: that needs no new block of a full disk.
        let pid = format!("{}\n", std::process::id());
        file.rewind()
            .and_then(|()| file.write_all(pid.as_bytes()))
            .and_then(|()| file.set_len(pid.len() as u64))
            .map_err(OpenError::folder("write", &path))?;
        Ok(Self { file })
    }
}

impl Drop for FolderLock {
    /// Gives the lock back itself: closing the file does so only when no process that was being started at that
    /// moment holds a copy of it.
    fn drop(&mut self) {
        if let Err(error) = flock(&self.file, FlockOperation::Unlock) {
            tracing::warn!(%error, "the lock of the store could not be given back; it goes with its file");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_given_back_even_while_a_copy_of_its_file_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        assert!(matches!(FolderLock::take(folder.path()), Err(OpenError::InUse { .. })));
        // What a child has between fork and exec.
        let copy = lock.file.try_clone().unwrap();
        drop(lock);
        drop(FolderLock::take(folder.path()).unwrap());
        drop(copy);
    }
}
