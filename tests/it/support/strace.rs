//! System calls that fail or dawdle in a process that runs: strace, attached and detached again.

use std::path::Path;
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process};

use super::eventually;

/// An attached strace; dropping it lets the process go on as before.
#[derive(Debug)]
pub(crate) struct Strace(Child);

// === impl Strace ===

impl Strace {
    /// Injects into these calls on this file, in strace's words: `error=EIO`, `delay_enter=300000` (microseconds).
    pub(crate) async fn attach(pid: u32, file: &Path, calls: &str, fault: &str) -> Self {
        let child = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-P"])
            .arg(file)
            .args(["-e", &format!("inject={calls}:{fault}"), "-p", &pid.to_string()])
            .spawn()
            .expect("strace is installed (tests/run does it)");
        let tracer = format!("TracerPid:\t{}", child.id());
        eventually("strace at every thread", async || {
            let mut threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
            let traced = |status: String| status.lines().any(|line| line == tracer);
            threads
                .all(|thread| std::fs::read_to_string(thread.unwrap().path().join("status")).is_ok_and(traced))
                .then_some(())
        })
        .await;
        Self(child)
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // Asked to end it lets go of the process; killed it could take it along.
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        let _gone = kill_process(pid, Signal::TERM);
        let _ended = self.0.wait();
    }
}
