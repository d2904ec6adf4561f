//! The last good answer of a feed on disk: a line about it, then its bytes as they came.
//!
//! Written beside and renamed into place, readable by nobody else: a crash leaves the old one or the new one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ANSWER_BYTES_MAX;
use crate::domain::Timestamp;
use crate::guard::allow_ips::Feed;

/// A good answer.
pub(super) struct Copy {
    pub(super) etag: Option<Box<str>>,
    pub(super) last_modified: Option<Box<str>>,
    pub(super) fetched_at: Timestamp,
    pub(super) body: Bytes,
}

/// The line about it.
#[derive(Deserialize, Serialize)]
struct About {
    version: u8,
    url: String,
    etag: Option<Box<str>>,
    last_modified: Option<Box<str>>,
    fetched_at_ms: u64,
}

const VERSION: u8 = 1;

/// The most bytes of a copy: the answer and the line.
const COPY_BYTES_MAX: u64 = ANSWER_BYTES_MAX as u64 + (16 << 10);

// === impl Copy ===

impl Copy {
    /// The copy of a feed, where there is one.
    pub(super) fn read(folder: &Path, feed: &Feed) -> io::Result<Option<Self>> {
        let file = match File::open(path(folder, feed)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut bytes = Vec::new();
        file.take(COPY_BYTES_MAX).read_to_end(&mut bytes)?;
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "not a copy of an address list");
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
        let about: About = serde_json::from_slice(bytes.get(..end).unwrap_or_default())?;
        if about.version != VERSION || *about.url != *feed.url {
            return Err(damaged());
        }
        let body = Bytes::copy_from_slice(bytes.get(end + 1..).unwrap_or_default());
        let fetched_at = Timestamp(about.fetched_at_ms);
        Ok(Some(Self { etag: about.etag, last_modified: about.last_modified, fetched_at, body }))
    }

    /// Takes the old copy's place.
    pub(super) fn write(&self, folder: &Path, feed: &Feed) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let about = About {
            version: VERSION,
            url: feed.url.to_string(),
            etag: self.etag.clone(),
            last_modified: self.last_modified.clone(),
            fetched_at_ms: self.fetched_at.0,
        };
        let path = path(folder, feed);
        let beside = path.with_extension("new");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        serde_json::to_writer(&mut file, &about)?;
        file.write_all(b"\n")?;
        file.write_all(&self.body)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        File::open(folder)?.sync_all()
    }
}

/// The name can be read, the hash tells feeds apart whose names look alike.
fn path(folder: &Path, feed: &Feed) -> PathBuf {
    const NAME_BYTES_MAX: usize = 40;
    let plain = |character: char| if character.is_ascii_alphanumeric() { character } else { '-' };
    let name: String = feed.name.chars().take(NAME_BYTES_MAX).map(plain).collect();
    let hash = Sha256::digest(format!("{}\n{:?}", feed.url, feed.form));
    folder.join(format!("{name}-{}.feed", hex::encode(hash.get(..6).unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_copy_is_what_was_written_for_its_feed_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let below = folder.path().join("feeds");
        let (github, stripe) = (Feed::named("github").expect("it"), Feed::named("stripe").expect("it"));
        assert!(Copy::read(&below, &github).expect("readable").is_none());
        let copy = Copy {
            etag: Some("\"1\"".into()),
            last_modified: None,
            fetched_at: Timestamp(7),
            body: Bytes::from_static(b"{\n}"),
        };
        copy.write(&below, &github).expect("written");
        let read = Copy::read(&below, &github).expect("readable").expect("there");
        assert_eq!((read.etag, read.fetched_at, &*read.body), (copy.etag, Timestamp(7), &b"{\n}"[..]));
        assert!(Copy::read(&below, &stripe).expect("readable").is_none());
        let mode = fs::metadata(path(&below, &github)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(path(&below, &github), "nonsense").expect("written");
        assert!(Copy::read(&below, &github).is_err());
    }
}
