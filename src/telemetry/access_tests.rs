//! Lines arrive whole and in order, hostile text stays inside its line, and a stuck reader costs nobody a wait.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use prometheus_client::metrics::counter::Counter;

use super::*;

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that takes nothing until it is told to.
struct Stuck(SyncSender<()>, Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_send(()).ok();
        self.1.recv().map_err(|gone| io::Error::new(io::ErrorKind::BrokenPipe, gone))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_arrive_in_order_and_hostile_text_stays_inside_its_line() {
    let output = Output::default();
    let (log, writer) = AccessLog::start(output.clone(), Counter::default()).unwrap();
    for status in 200..300 {
        log.write(&AccessLine {
            status,
            path: "/a\n{\"status\":999}\u{1b}[2J",
            user_agent: Some("\u{9b}31m\r\n"),
            duration: Duration::from_micros(1234),
            ..AccessLine::default()
        });
    }
    drop(writer);
    let text = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
    assert!(!text.replace('\n', "").chars().any(crate::telemetry::escape::is_unsafe));
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let statuses: Vec<u64> = lines.iter().map(|line| line["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, (200..300).collect::<Vec<_>>());
    assert_eq!(lines[0]["path"], "/a\n{\"status\":999}\u{1b}[2J");
    assert_eq!(lines[0]["duration_ms"], 1.234);
    assert!(lines[0].get("source").is_none());
}

#[test]
fn a_stuck_reader_makes_lines_drop_and_nobody_wait() {
    let (stuck, is_stuck) = sync_channel(1);
    let (go_on, going) = sync_channel(1024);
    let dropped = Counter::default();
    let (log, writer) = AccessLog::start(Stuck(stuck, going), dropped.clone()).unwrap();
    let path = "x".repeat(100_000);
    let line = AccessLine { path: &path, ..AccessLine::default() };
    log.write(&line);
    is_stuck.recv().unwrap();
    for _ in 0..100 {
        log.write(&line);
    }
    // 4 MiB hold 41 of these lines; the other 59 are gone, and counted.
    assert_eq!(dropped.get(), 59);
    drop(go_on);
    drop(writer);
    assert_eq!(dropped.get(), 101, "a broken pipe counts what it swallowed");
}

#[test]
fn a_log_that_is_off_takes_nothing() {
    let log = AccessLog::off();
    assert!(!log.is_on());
    log.write(&AccessLine::default());
}
