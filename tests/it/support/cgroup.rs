//! A control group that a process is started in: less memory, less processor time. Version 1 or 2, whichever is mounted.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a group whose process is dead may be busy.
const BUSY_MAX: Duration = Duration::from_secs(10);

/// The group; removed when dropped, so the process must be dead by then.
#[derive(Debug)]
pub(crate) struct Cgroup(PathBuf);

// === impl Cgroup ===

impl Cgroup {
    /// With this much memory and no swap.
    pub(crate) fn with_memory(bytes: u64) -> Self {
        let group = Self::new("memory");
        group.set("memory.limit_in_bytes", "memory.max", &bytes.to_string(), &bytes.to_string());
        group
    }

    /// With so many hundredths of one processor.
    pub(crate) fn with_processor(percent: u32) -> Self {
        let group = Self::new("cpu");
        let quota = (percent * 1000).to_string();
        group.set("cpu.cfs_quota_us", "cpu.max", &quota, &format!("{quota} 100000"));
        group
    }

    fn new(controller: &str) -> Self {
        let (first, second) = (Path::new("/sys/fs/cgroup").join(controller), Path::new("/sys/fs/cgroup"));
        let root = if first.is_dir() { &*first } else { second };
        if root == second {
            // May be on already, or be allowed to us only further down: making the group says so.
            let _on = std::fs::write(second.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        let path = root.join(format!("hookward-test-{}-{}", std::process::id(), fastrand::u32(..)));
        std::fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}: run as root", path.display()));
        Self(path)
    }

    fn set(&self, first_name: &str, second_name: &str, first: &str, second: &str) {
        let (name, value) = if self.0.join(first_name).exists() { (first_name, first) } else { (second_name, second) };
        std::fs::write(self.0.join(name), value).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// How often its processes had to wait for their next share of the processor.
    pub(crate) fn throttled(&self) -> u64 {
        let stat = std::fs::read_to_string(self.0.join("cpu.stat")).unwrap();
        let times = stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")).unwrap();
        times.parse().unwrap()
    }

    /// The most memory that they have taken at a time, in bytes; `None` where the system does not tell.
    pub(crate) fn memory_peak(&self) -> Option<u64> {
        let read = |name| std::fs::read_to_string(self.0.join(name)).ok()?.trim().parse().ok();
        read("memory.max_usage_in_bytes").or_else(|| read("memory.peak"))
    }

    /// Under which a gateway must run, see [`Gateway::under`](super::Gateway::under).
    pub(crate) fn command(&self) -> Vec<String> {
        let script = "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"";
        ["sh", "-c", script, self.0.to_str().unwrap()].map(str::to_owned).to_vec()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let start = Instant::now();
        while std::fs::remove_dir(&self.0).is_err() && start.elapsed() < BUSY_MAX {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
