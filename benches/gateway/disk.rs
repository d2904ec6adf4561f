//! What one fdatasync costs on the disk that the stores of the runs are on, measured between the runs.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

/// Syncs of each kind in one measurement.
const SYNCS: u64 = 100;

/// Medians of writing so many bytes and calling fdatasync, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sync {
    /// Size of each write.
    pub(crate) bytes: u64,
    /// Written behind the end of a file, so that the file system journals the new length too.
    pub(crate) append_p50: f64,
    /// Written over blocks that the file has: the cheapest that this disk offers.
    pub(crate) overwrite_p50: f64,
}

impl Sync {
    /// The cheaper of the two.
    pub(crate) fn cheaper(self) -> f64 {
        self.append_p50.min(self.overwrite_p50)
    }
}

/// Measures with writes of `bytes` on the file system of `folder`, after what the last run has left is written.
pub(crate) fn fdatasync(folder: &Path, bytes: u64) -> Sync {
    std::fs::create_dir_all(folder).expect("a folder for the probe");
    rustix::fs::syncfs(File::open(folder).expect("the folder of the probe")).expect("a file system that syncs");
    let path = folder.join("fdatasync-probe");
    let file = File::create(&path).expect("a file for the probe");
    let block = vec![0x5a; usize::try_from(bytes).expect("a small write")];
    let sequential = || {
        let mut micros: Vec<f64> = (0..SYNCS)
            .map(|index| {
                let begun = Instant::now();
                file.write_all_at(&block, index * bytes).expect("a block written");
                file.sync_data().expect("fdatasync");
                begun.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        micros.sort_by(f64::total_cmp);
        micros[micros.len() / 2]
    };
    let (append_p50, overwrite_p50) = (sequential(), sequential());
    drop(std::fs::remove_file(path));
    Sync { bytes, append_p50, overwrite_p50 }
}
