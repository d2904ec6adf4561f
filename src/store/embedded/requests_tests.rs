//! The log of requests under a key: what it remembers, what it forgets, and what a crash leaves.

use std::time::Duration;

use super::*;

const BYTE: Bytes = Bytes::from_static(b"x");

fn name(project: u64, number: usize) -> [u8; 32] {
    let mut name = [0; 32];
    let digits = format!("{project:08}{number:08}");
    name.iter_mut().zip(digits.bytes()).for_each(|(byte, digit)| *byte = digit);
    name
}

fn begun(project: u64, number: usize, at: Timestamp) -> KeptRequest {
    KeptRequest { name: name(project, number), project, request: [7; 32], begun_at: at, answer: None }
}

/// As if it had been begun and answered.
fn know(known: &mut Known, project: u64, number: usize, answer: Bytes) {
    known.make_room(project);
    known.insert(begun(project, number, Timestamp(0)));
    known.end(name(project, number), Some(answer));
}

fn log() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    (folder, path)
}

#[test]
fn what_was_noted_is_known_after_it_was_opened_again() {
    let (_folder, path) = log();
    let mut first = Log::open(&path).unwrap();
    let now = Timestamp(1_000);
    for number in 0..3 {
        assert_eq!(first.begin(begun(1, number, now)).unwrap(), None);
    }
    let answer = Bytes::from_static(b"what was answered\n");
    first.end(name(1, 0), Some(answer.clone())).unwrap();
    first.end(name(1, 1), None).unwrap();
    drop(first);
    let mut second = Log::open(&path).unwrap();
    let answered = KeptRequest { answer: Some(answer), ..begun(1, 0, now) };
    let later = now.plus(KNOWN_FOR).minus(Duration::from_millis(1));
    assert_eq!(second.begin(begun(1, 0, later)).unwrap(), Some(answered));
    assert_eq!(
        second.begin(begun(1, 2, later)).unwrap(),
        Some(begun(1, 2, now)),
        "begun; what came of it nobody knows"
    );
    assert_eq!(second.begin(begun(1, 1, later)).unwrap(), None, "it was not made after all");
    assert_eq!(second.begin(begun(1, 0, now.plus(KNOWN_FOR))).unwrap(), None, "a day later a key is new");
}

#[test]
fn a_torn_line_is_nothing_and_a_damaged_one_only_itself() {
    let (_folder, path) = log();
    let now = Timestamp(1_000);
    let mut first = Log::open(&path).unwrap();
    for number in 0..3 {
        first.begin(begun(1, number, now)).unwrap();
    }
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, whole.get(..whole.len() - 5).unwrap()).unwrap();
    let mut torn = Log::open(&path).unwrap();
    assert_eq!(torn.begin(begun(1, 1, now)).unwrap(), Some(begun(1, 1, now)));
    assert_eq!(torn.begin(begun(1, 2, now)).unwrap(), None, "it never counted");
    drop(torn);
    let damaged = String::from_utf8(whole).unwrap().replacen("begun", "begin", 1);
    std::fs::write(&path, damaged).unwrap();
    let mut damaged = Log::open(&path).unwrap();
    assert_eq!(damaged.begin(begun(1, 1, now)).unwrap(), Some(begun(1, 1, now)));
    assert_eq!(damaged.begin(begun(1, 0, now)).unwrap(), None);
    std::fs::write(&path, "hookward requests 2\n").unwrap();
    assert!(Log::open(&path).unwrap_err().to_string().contains("another version"));
}

#[test]
fn the_log_is_written_anew_where_most_of_it_is_over() {
    let (_folder, path) = log();
    let mut log = Log::open(&path).unwrap();
    for _ in 0..LINES_OVER_MAX {
        assert_eq!(log.begin(begun(1, 0, Timestamp(0))).unwrap(), None);
        log.end(name(1, 0), None).unwrap();
    }
    assert!(log.lines <= LINES_OVER_MAX + 2, "{}", log.lines);
    let lines = std::fs::read_to_string(&path).unwrap().lines().count();
    assert_eq!(lines, log.lines + 1, "with the head");
}

#[test]
fn a_project_pushes_out_its_own_keys_only() {
    let mut known = Known::default();
    know(&mut known, 1, 0, BYTE);
    for number in 0..=KEYS_OF_PROJECT_MAX {
        know(&mut known, 2, number, BYTE);
    }
    assert!(known.entries.contains_key(&name(1, 0)));
    assert!(!known.entries.contains_key(&name(2, 0)), "the oldest is gone");
    assert!(known.entries.contains_key(&name(2, 1)));
}

#[test]
fn keys_and_bytes_are_bounded_in_all_and_what_is_under_way_stays() {
    let mut known = Known::default();
    known.insert(begun(0, 0, Timestamp(0)));
    for number in 0..KEYS_MAX + 10 {
        know(&mut known, number as u64 % 100 + 1, number, BYTE);
    }
    assert_eq!((known.entries.len(), known.order.len(), known.answers_bytes), (KEYS_MAX, KEYS_MAX, KEYS_MAX - 1));
    assert!(known.entries.contains_key(&name(0, 0)), "nobody knows yet what it is answered");
    let mut known = Known::default();
    for number in 0..20 {
        know(&mut known, 1, number, Bytes::from(vec![0; ANSWERS_BYTES_MAX / 4]));
    }
    assert!(known.answers_bytes <= ANSWERS_BYTES_MAX, "{}", known.answers_bytes);
    assert!(known.entries.contains_key(&name(1, 19)) && !known.entries.contains_key(&name(1, 1)));
}
