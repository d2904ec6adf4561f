//! Child processes of the bench: started, asked, watched in /proc, and ended with everything that they started.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

/// Longest silence of a role that was asked: above the 10 s that a sender waits for the last answers.
const SILENCE_SECONDS_MAX: i64 = 60;

/// CPU time and memory of a process and all its descendants.
#[derive(Clone, Copy, Default)]
pub(crate) struct Usage {
    /// User and system time, in microseconds (the kernel counts in steps of 10 ms).
    pub(crate) cpu_micros: u64,
    /// Resident now, in bytes.
    pub(crate) rss_bytes: u64,
}

/// A process that is ended when this is dropped, descendants included.
pub(crate) struct Victim {
    child: Child,
}

impl Victim {
    /// Starts `command`; its output goes to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let file = std::fs::File::options().create(true).append(true).open(log).expect("a log file");
        let errors = file.try_clone().expect("a second handle of the log file");
        let child = command.stdin(Stdio::null()).stdout(file).stderr(errors).spawn();
        Self { child: child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")) }
    }

    /// Sum over the process and its descendants.
    pub(crate) fn usage(&self) -> Usage {
        descendants(self.child.id()).into_iter().fold(Usage::default(), |sum, id| {
            let one = usage(id);
            Usage { cpu_micros: sum.cpu_micros + one.cpu_micros, rss_bytes: sum.rss_bytes + one.rss_bytes }
        })
    }

    /// Whether it has not ended by itself.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Panics when the process has ended by itself.
    pub(crate) fn check(&mut self) {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("the system under test ended by itself: {status}");
        }
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn crash(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let all = descendants(self.child.id());
        signal(self.child.id(), Signal::TERM);
        let give_up = Instant::now() + Duration::from_secs(3);
        while Instant::now() < give_up && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(self.child.kill());
        drop(self.child.wait());
        for id in all.into_iter().skip(1) {
            if Path::new(&format!("/proc/{id}")).exists() {
                signal(id, Signal::KILL);
            }
        }
    }
}

fn signal(id: u32, signal: Signal) {
    if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // An error here is a process that has already ended.
        let _gone = kill_process(id, signal);
    }
}

/// The process itself, then its descendants.
fn descendants(id: u32) -> Vec<u32> {
    let mut all = vec![id];
    let mut parents: Vec<(u32, u32)> = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(other) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(parent) = stat(other).and_then(|fields| fields.get(1)?.parse().ok()) {
            parents.push((other, parent));
        }
    }
    let mut index = 0;
    while index < all.len() {
        let parent = all[index];
        all.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        index += 1;
    }
    all
}

/// Fields of /proc/ID/stat after the name, from the state on.
fn stat(id: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn usage(id: u32) -> Usage {
    let Some(fields) = stat(id) else { return Usage::default() };
    let at = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    // utime and stime in hundredths of a second; resident pages (proc(5), counted from the state).
    Usage { cpu_micros: (at(11) + at(12)) * 10_000, rss_bytes: at(21) * 4096 }
}

/// One of our own roles in a process of its own.
pub(crate) struct Role {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Role {
    /// Starts this very binary again with `arguments`.
    pub(crate) fn start(arguments: &[String]) -> Self {
        let this = std::env::current_exe().expect("the path of this binary");
        let mut child = Command::new(this)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child of the bench");
        let input = child.stdin.take().expect("stdin of the child");
        let output = BufReader::new(child.stdout.take().expect("stdout of the child"));
        Self { child, input, output }
    }

    /// CPU and memory of the role.
    pub(crate) fn usage(&self) -> Usage {
        usage(self.child.id())
    }

    /// Sends a command that is not answered, or answered later.
    pub(crate) fn tell(&mut self, command: &str) {
        writeln!(self.input, "{command}").and_then(|()| self.input.flush()).expect("a role that still listens");
    }

    /// The next line that the role says. Panics when the role has ended (its stderr is ours) or says nothing for long.
    pub(crate) fn hear(&mut self) -> String {
        if self.output.buffer().is_empty() {
            let mut waiting = [PollFd::new(self.output.get_ref(), PollFlags::IN)];
            let wait = Timespec { tv_sec: SILENCE_SECONDS_MAX, tv_nsec: 0 };
            let heard = poll(&mut waiting, Some(&wait)).expect("a poll of the role");
            assert!(heard > 0, "a role of the bench said nothing for {SILENCE_SECONDS_MAX} s");
        }
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line from the role");
        assert!(!line.is_empty(), "a role of the bench ended early");
        line.trim().to_owned()
    }

    /// Panics when the role has ended by itself.
    pub(crate) fn check(&mut self) {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("a role of the bench ended by itself: {status}");
        }
    }

    /// Asks and waits for the answer, as numbers.
    pub(crate) fn ask(&mut self, command: &str) -> Vec<u64> {
        self.tell(command);
        self.hear().split_whitespace().map(|word| word.parse().expect("a number from the role")).collect()
    }

    /// The port that a role says it listens on.
    pub(crate) fn port(&mut self) -> u16 {
        let line = self.hear();
        line.strip_prefix("port ").and_then(|port| port.parse().ok()).expect("a port from the role")
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
