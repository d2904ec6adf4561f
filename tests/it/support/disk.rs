//! A disk whose power can be cut: an ext4 file system in a file of its own, mounted through a loop device.
//!
//! `xfs_io -x -c shutdown` stops the file system at once without writing its journal or any dirty page, which is
//! what a machine sees that loses power. Needs root. A refusal to mount fails the test; it is never skipped.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a file system whose users are dead may be busy.
const BUSY_MAX: Duration = Duration::from_secs(10);

/// The disk; unmounted and removed when dropped, and by the janitor should this process be killed.
#[derive(Debug)]
pub(crate) struct Disk {
    image: PathBuf,
    mount_point: PathBuf,
    janitor: Child,
    _folder: TempDir,
}

// === impl Disk ===

impl Disk {
    /// Makes and mounts one.
    pub(crate) fn new(bytes: u64) -> Self {
        let disk = Self::unmounted();
        std::fs::File::create(&disk.image).unwrap().set_len(bytes).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk.image));
        disk.mount();
        disk
    }

    /// One in memory: as small, but its syncs take no time, and its power cannot be cut.
    pub(crate) fn in_memory(bytes: u64) -> Self {
        let disk = Self::unmounted();
        let size = format!("size={bytes}");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&disk.mount_point));
        disk
    }

    fn unmounted() -> Self {
        let folder = tempfile::Builder::new().prefix("hookward-disk-").tempdir().unwrap();
        let image = folder.path().join("image");
        let mount_point = folder.path().join("mounted");
        std::fs::create_dir(&mount_point).unwrap();
        let janitor = janitor(&mount_point, folder.path());
        Self { image, mount_point, janitor, _folder: folder }
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.mount_point
    }

    /// Makes durable what is there.
    pub(crate) fn sync(&self) {
        run(Command::new("sync").arg("-f").arg(&self.mount_point));
    }

    /// Cuts the power: from now on nothing that was not synced will ever reach the disk.
    pub(crate) fn cut(&self) {
        run(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(&self.mount_point));
    }

    /// Gives the power back; whoever used the disk must be dead.
    pub(crate) fn replug(&self) {
        let start = Instant::now();
        while !Command::new("umount").arg(&self.mount_point).stderr(Stdio::null()).status().unwrap().success() {
            assert!(start.elapsed() < BUSY_MAX, "{} stays busy", self.mount_point.display());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.mount();
    }

    fn mount(&self) {
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.mount_point));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Its standard input ends: the janitor cleans up and we wait for it.
        drop(self.janitor.stdin.take());
        let _ended = self.janitor.wait();
    }
}

/// Cleans up when its standard input ends, thus also when this process is killed; in a process group of its own, so
/// that it does not die with us.
fn janitor(mount_point: &Path, folder: &Path) -> Child {
    let script =
        "cat >/dev/null; umount \"$1\" 2>/dev/null || umount -l \"$1\" 2>/dev/null; rm -rf --one-file-system \"$2\"";
    let mut child = Command::new("sh")
        .args(["-c", script, "janitor"])
        .args([mount_point, folder])
        .process_group(0)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().flush().unwrap();
    child
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?} does not run: {error}. Install e2fsprogs and xfsprogs (tests/run does) and run as root")
    });
    assert!(
        output.status.success(),
        "{command:?} failed ({}): {}{}. The power-cut run needs root and a free loop device",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

#[test]
fn a_power_cut_takes_what_was_not_synced_and_nothing_else() {
    let disk = Disk::new(64 << 20);
    let file = |name: &str| disk.path().join(name);
    let mut synced = std::fs::File::create(file("synced")).unwrap();
    synced.write_all(b"kept").unwrap();
    synced.sync_all().unwrap();
    std::fs::File::open(disk.path()).unwrap().sync_all().unwrap();
    synced.write_all(b" and lost").unwrap();
    std::fs::write(file("unsynced"), b"lost").unwrap();
    disk.cut();
    assert!(std::fs::write(file("late"), b"refused").is_err(), "a disk without power takes nothing");
    drop(synced);
    disk.replug();
    assert_eq!(std::fs::read(file("synced")).unwrap(), b"kept");
    assert!(!file("unsynced").exists() || std::fs::read(file("unsynced")).unwrap().is_empty());
}
