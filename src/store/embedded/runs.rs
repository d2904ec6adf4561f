//! Sorted runs: where the index keeps what is found by a hash (dedup marks, senders' event ids).
//!
//! Random keys in a B-tree would touch, checksum and write a page each. So a transaction appends its entries
//! as one sorted run, and eight runs of a level are merged into one of the next: a run of any size is written
//! from front to back. A run is cut into leaves by the first bits of the key, so that one seek finds an entry.

use rusqlite::{Connection, params};

use super::index::IndexFault;

/// So many runs of a level make one of the next.
const RUNS_MERGED: usize = 8;
/// No merge makes a larger run than this: it would keep the thread from its work for too long.
const RUN_ENTRIES_MAX: i64 = 262_144;
/// A leaf is cut when it would hold more than this, on average.
const LEAF_ENTRIES: u64 = 128;
/// A run has at most two to the power of this many leaves.
const LEAF_BITS_MAX: u32 = 12;

/// Whose entries. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Dedup marks; a slice is a bucket of time.
    Marks = 0,
    /// Senders' event ids; a slice is a segment of the journal.
    Lookups = 1,
}

/// A hash and the event that it leads to (as [`seq_key`](super::index::seq_key)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) hash: u128,
    pub(super) seq: i64,
}

/// One run, as the table has it.
#[derive(Clone, Copy, Debug)]
struct Run {
    number: i64,
    bits: u32,
    entries: i64,
}

// === impl Kind ===

impl Kind {
    /// Bytes of a hash on disk: a look-up's has only 64 bits.
    fn hash_bytes(self) -> usize {
        match self {
            Self::Marks => 16,
            Self::Lookups => 8,
        }
    }

    fn entry_bytes(self) -> usize {
        self.hash_bytes() + 8
    }
}

/// The number of the next run.
pub(super) fn next_run(connection: &Connection) -> rusqlite::Result<i64> {
    let last: Option<i64> = connection.query_row("SELECT max(id) FROM leaves", [], |row| row.get(0))?;
    Ok(last.map_or(1, |id| (id >> LEAF_BITS_MAX) + 1))
}

/// Adds entries to a slice, as part of the caller's transaction.
pub(super) fn add(
    connection: &Connection,
    next: &mut i64,
    kind: Kind,
    slice: i64,
    mut entries: Vec<Entry>,
) -> Result<(), IndexFault> {
    entries.sort_unstable();
    write(connection, next, kind, slice, 0, &entries)?;
    for level in 0.. {
        let runs = runs_of(connection, kind, slice, level)?;
        let total: i64 = runs.iter().map(|run| run.entries).sum();
        if runs.len() < RUNS_MERGED || total > RUN_ENTRIES_MAX {
            break;
        }
        let mut merged = Vec::with_capacity(usize::try_from(total).unwrap_or_default());
        for run in &runs {
            each_leaf(connection, kind, *run, |entry| merged.push(entry))?;
        }
        // The stable sort makes use of what is sorted already.
        merged.sort();
        merged.dedup();
        for run in runs {
            remove(connection, kind, slice, level, run)?;
        }
        write(connection, next, kind, slice, level + 1, &merged)?;
    }
    Ok(())
}

/// The events that this hash leads to, those of newer slices first; no older slice is asked when `most` are found.
pub(super) fn find(
    connection: &Connection,
    kind: Kind,
    (first, last): (i64, i64),
    hash: u128,
    most: usize,
) -> Result<Vec<i64>, IndexFault> {
    let mut runs = connection.prepare_cached(
        "SELECT run, bits, slice FROM runs WHERE kind = ?1 AND slice BETWEEN ?2 AND ?3 ORDER BY slice DESC",
    )?;
    let mut leaf = connection.prepare_cached("SELECT entries, chk FROM leaves WHERE id = ?1")?;
    let mut runs = runs.query(params![kind as i64, first, last])?;
    let (mut found, mut slice): (_, i64) = (Vec::new(), last);
    while let Some(run) = runs.next()? {
        if found.len() >= most && run.get::<_, i64>(2)? != slice {
            break;
        }
        slice = run.get::<_, i64>(2)?;
        let id = leaf_id(run.get(0)?, run.get(1)?, hash);
        let mut rows = leaf.query([id])?;
        if let Some(row) = rows.next()? {
            let bytes = verified(row, id)?;
            let entries = bytes.chunks_exact(kind.entry_bytes());
            found.extend(
                entries
                    .filter_map(|bytes| decode(kind, bytes))
                    .filter(|entry| entry.hash == hash)
                    .map(|entry| entry.seq),
            );
        }
    }
    Ok(found)
}

/// All entries of a kind, leaf by leaf, from run `from` on; the next run, or `None` after the last.
pub(super) fn read_run(
    connection: &Connection,
    kind: Kind,
    from: i64,
    mut each: impl FnMut(i64, Entry),
) -> Result<Option<i64>, IndexFault> {
    let mut statement = connection.prepare_cached(
        "SELECT slice, run, bits, entries FROM runs WHERE kind = ?1 AND run >= ?2 ORDER BY run LIMIT 1",
    )?;
    let mut rows = statement.query(params![kind as i64, from])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (slice, run) = (row.get(0)?, Run { number: row.get(1)?, bits: row.get(2)?, entries: row.get(3)? });
    each_leaf(connection, kind, run, |entry| each(slice, entry))?;
    Ok(Some(run.number + 1))
}

/// Removes runs of the slices below `slice` until `most` entries are gone; how many are.
pub(super) fn forget_below(connection: &Connection, kind: Kind, slice: i64, most: u64) -> Result<u64, IndexFault> {
    let mut gone = 0;
    let sql = "SELECT slice, level, run, bits, entries FROM runs WHERE kind = ?1 AND slice < ?2 LIMIT 1";
    while gone < most {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![kind as i64, slice])?;
        let Some(row) = rows.next()? else { break };
        let (slice, level) = (row.get(0)?, row.get(1)?);
        let run = Run { number: row.get(2)?, bits: row.get(3)?, entries: row.get(4)? };
        drop(rows);
        remove(connection, kind, slice, level, run)?;
        gone += run.entries.max(1).cast_unsigned();
    }
    Ok(gone)
}

fn write(
    connection: &Connection,
    next: &mut i64,
    kind: Kind,
    slice: i64,
    level: u32,
    entries: &[Entry],
) -> Result<(), IndexFault> {
    let count = entries.len() as u64;
    let bits = count.div_ceil(LEAF_ENTRIES).next_power_of_two().trailing_zeros().min(LEAF_BITS_MAX);
    let run = *next;
    *next += 1;
    connection.prepare_cached("INSERT INTO runs VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
        kind as i64,
        slice,
        level,
        run,
        bits,
        count.cast_signed()
    ])?;
    let mut insert = connection.prepare_cached("INSERT INTO leaves VALUES (?1, ?2, ?3)")?;
    let mut bytes = Vec::with_capacity(kind.entry_bytes() * LEAF_ENTRIES as usize * 2);
    for leaf in entries.chunk_by(|left, right| leaf_id(run, bits, left.hash) == leaf_id(run, bits, right.hash)) {
        let Some(first) = leaf.first() else { continue };
        let id = leaf_id(run, bits, first.hash);
        bytes.clear();
        for entry in leaf {
            let hash = entry.hash.to_be_bytes();
            bytes.extend_from_slice(hash.get(..kind.hash_bytes()).unwrap_or_default());
            bytes.extend_from_slice(&entry.seq.to_be_bytes());
        }
        insert.execute(params![id, bytes, checksum(id, &bytes)])?;
    }
    Ok(())
}

fn runs_of(connection: &Connection, kind: Kind, slice: i64, level: u32) -> Result<Vec<Run>, IndexFault> {
    let mut statement = connection
        .prepare_cached("SELECT run, bits, entries FROM runs WHERE kind = ?1 AND slice = ?2 AND level = ?3")?;
    let runs = statement.query_map(params![kind as i64, slice, level], |row| {
        Ok(Run { number: row.get(0)?, bits: row.get(1)?, entries: row.get(2)? })
    })?;
    Ok(runs.collect::<rusqlite::Result<_>>()?)
}

fn each_leaf(connection: &Connection, kind: Kind, run: Run, mut each: impl FnMut(Entry)) -> Result<(), IndexFault> {
    let mut statement =
        connection.prepare_cached("SELECT entries, chk, id FROM leaves WHERE id BETWEEN ?1 AND ?2 ORDER BY id")?;
    let mut rows = statement.query(leaves_of(run))?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let bytes = verified(row, row.get(2)?)?;
        for entry in bytes.chunks_exact(kind.entry_bytes()).filter_map(|bytes| decode(kind, bytes)) {
            count += 1;
            each(entry);
        }
    }
    if count == run.entries { Ok(()) } else { Err(IndexFault::Damaged(format!("run {} is not whole", run.number))) }
}

fn remove(connection: &Connection, kind: Kind, slice: i64, level: u32, run: Run) -> Result<(), IndexFault> {
    connection
        .prepare_cached("DELETE FROM runs WHERE kind = ?1 AND slice = ?2 AND level = ?3 AND run = ?4")?
        .execute(params![kind as i64, slice, level, run.number])?;
    connection.prepare_cached("DELETE FROM leaves WHERE id BETWEEN ?1 AND ?2")?.execute(leaves_of(run))?;
    Ok(())
}

fn leaves_of(run: Run) -> [i64; 2] {
    let first = run.number << LEAF_BITS_MAX;
    [first, first + (1 << run.bits.min(LEAF_BITS_MAX)) - 1]
}

fn leaf_id(run: i64, bits: u32, hash: u128) -> i64 {
    let leaf = (hash >> (128 - bits.clamp(1, LEAF_BITS_MAX))) as i64;
    (run << LEAF_BITS_MAX) + if bits == 0 { 0 } else { leaf }
}

fn verified<'a>(row: &'a rusqlite::Row<'_>, id: i64) -> Result<&'a [u8], IndexFault> {
    let damaged = || IndexFault::Damaged(format!("leaf {id} of its sorted runs"));
    let bytes = row.get_ref(0)?.as_blob().ok().ok_or_else(damaged)?;
    let stored: i64 = row.get(1)?;
    if checksum(id, bytes) == stored { Ok(bytes) } else { Err(damaged()) }
}

fn checksum(id: i64, bytes: &[u8]) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&id.to_le_bytes());
    hasher.update(bytes);
    i64::from(hasher.finalize())
}

fn decode(kind: Kind, bytes: &[u8]) -> Option<Entry> {
    let (hash, seq) = bytes.split_at_checked(kind.hash_bytes())?;
    let mut whole = [0; 16];
    whole.get_mut(..hash.len())?.copy_from_slice(hash);
    Some(Entry { hash: u128::from_be_bytes(whole), seq: i64::from_be_bytes(seq.try_into().ok()?) })
}

#[cfg(test)]
mod tests {
    use super::super::key::mix;
    use super::*;

    fn connection() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(super::super::index::RUNS_SCHEMA).unwrap();
        connection
    }

    fn hash(number: u64) -> u128 {
        u128::from(mix(number)) << 64 | u128::from(mix(!number))
    }

    fn leads(connection: &Connection, kind: Kind, number: u64, slices: (i64, i64)) -> Vec<i64> {
        let hash = if kind == Kind::Lookups { hash(number) >> 64 << 64 } else { hash(number) };
        find(connection, kind, slices, hash, usize::MAX).unwrap()
    }

    fn runs(connection: &Connection) -> i64 {
        connection.query_row("SELECT count(*) FROM runs", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn every_entry_is_found_through_all_merges_and_none_else() {
        for kind in [Kind::Marks, Kind::Lookups] {
            let connection = connection();
            let mut next = next_run(&connection).unwrap();
            let mut number = 0;
            for round in 0..200_u64 {
                let end = number + round % 97;
                let entries = (number..end).map(|number| Entry { hash: hash(number), seq: number.cast_signed() });
                number = end;
                add(&connection, &mut next, kind, (round / 100).cast_signed(), entries.collect()).unwrap();
            }
            assert!(runs(&connection) < 40, "merged: {}", runs(&connection));
            for each in (0..number).step_by(7) {
                assert_eq!(leads(&connection, kind, each, (0, 1)), [each.cast_signed()]);
            }
            assert!((number..number + 100).all(|each| leads(&connection, kind, each, (0, 1)).is_empty()));
            assert_eq!(next_run(&connection).unwrap(), next);
        }
    }

    #[test]
    fn a_key_leads_to_all_its_events_and_an_equal_entry_is_kept_once() {
        let connection = connection();
        let mut next = 1;
        for round in 0..8 {
            let entries = vec![Entry { hash: hash(1), seq: 7 }, Entry { hash: hash(1), seq: round }];
            add(&connection, &mut next, Kind::Marks, 5, entries).unwrap();
        }
        let mut found = leads(&connection, Kind::Marks, 1, (5, 5));
        found.sort_unstable();
        assert_eq!(found, [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn slices_are_forgotten_in_steps() {
        let connection = connection();
        let mut next = 1;
        for slice in 0..4 {
            let entries = (0..1000).map(|number| Entry { hash: hash(number), seq: slice }).collect();
            add(&connection, &mut next, Kind::Marks, slice, entries).unwrap();
        }
        assert_eq!(forget_below(&connection, Kind::Marks, 3, 1500).unwrap(), 2000);
        assert_eq!(leads(&connection, Kind::Marks, 1, (0, 9)), [3, 2]);
        assert_eq!(forget_below(&connection, Kind::Marks, 3, 1500).unwrap(), 1000);
        assert_eq!(forget_below(&connection, Kind::Marks, 3, 1500).unwrap(), 0);
        let leaves: i64 = connection.query_row("SELECT count(*) FROM leaves", [], |row| row.get(0)).unwrap();
        assert_eq!(leaves, 8, "what is left is the last slice");
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let connection = connection();
        add(&connection, &mut 1, Kind::Marks, 0, vec![Entry { hash: hash(1), seq: 1 }]).unwrap();
        connection.execute("UPDATE leaves SET entries = zeroblob(24)", []).unwrap();
        assert!(matches!(find(&connection, Kind::Marks, (0, 0), 0, 1), Err(IndexFault::Damaged(_))));
    }
}
