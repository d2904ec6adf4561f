//! How the bench talks to its roles: one line in, one line out, over the child's stdin and stdout.

use std::io::{BufRead, Write};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock, the same in every process of the machine.
pub(crate) fn now_nanos() -> u64 {
    nanos(ClockId::Monotonic)
}

/// Nanoseconds of CPU time that this process has used.
pub(crate) fn cpu_nanos() -> u64 {
    nanos(ClockId::ProcessCPUTime)
}

fn nanos(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let count = |number: i64| u64::try_from(number).expect("a clock that counts up");
    count(now.tv_sec) * 1_000_000_000 + count(now.tv_nsec)
}

/// Prints one answer.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        // The bench is gone: nobody is left to measure for.
        std::process::exit(0);
    }
}

/// Answers every command with what `answer` returns, on a thread of its own; the process ends with its stdin.
pub(crate) fn serve(mut answer: impl FnMut(&str) -> Option<String> + Send + 'static) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if let Some(text) = answer(line.trim()) {
                say(&text);
            }
        }
        std::process::exit(0);
    });
}
