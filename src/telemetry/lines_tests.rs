//! Lines arrive whole and in order, and a stuck reader costs nobody a wait.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use prometheus_client::metrics::counter::Counter;

use super::*;

const GATHER: Duration = Duration::from_millis(20);

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
fn lines_arrive_in_order() {
    let output = Output::default();
    let (lines, writer) = Lines::start("test", output.clone(), GATHER, Counter::default()).unwrap();
    let mut expected = String::new();
    for number in 0..20_000 {
        let line = format!("line {number}\n");
        lines.push(line.as_bytes());
        expected.push_str(&line);
    }
    drop(writer);
    assert_eq!(String::from_utf8(output.0.lock().unwrap().clone()).unwrap(), expected);
}

#[test]
fn a_stuck_reader_makes_lines_drop_and_nobody_wait() {
    let (stuck, is_stuck) = sync_channel(1);
    let (go_on, going) = sync_channel(1024);
    let dropped = Counter::default();
    let (lines, writer) = Lines::start("test", Stuck(stuck, going), GATHER, dropped.clone()).unwrap();
    let line = format!("{}\n", "x".repeat(100_000));
    lines.push(line.as_bytes());
    is_stuck.recv().unwrap();
    for _ in 0..100 {
        lines.push(line.as_bytes());
    }
    // 4 MiB hold 41 of these lines; the other 59 are gone, and counted.
    assert_eq!(dropped.get(), 59);
    drop(go_on);
    drop(writer);
    assert_eq!(dropped.get(), 101, "a broken pipe counts what it swallowed");
}
