//! Reading in what another store held.

use std::io::{BufRead, Read};

use super::line::{EndLine, FORMAT, Line, read_marks};
use super::{MoveError, Moved};
use crate::domain::IdMint;
use crate::store::{MovedEvent, Store, StoreKeys};

/// The longest line: the largest body that a source may take, escaped at its worst, and its attempts' answers.
const LINE_BYTES_MAX: u64 = 1 << 30;

/// Bytes of lines that are kept in the store together.
const PAGE_BYTES_MAX: u64 = 8 << 20;

/// Events that are kept together.
const PAGE_EVENTS_MAX: usize = 256;

/// An export of which the first line was read.
#[derive(Debug)]
pub struct Opening<R> {
    /// The keys of the store that wrote it: a new store is opened with them.
    pub keys: StoreKeys,
    lines: Lines<R>,
}

#[derive(Debug)]
struct Lines<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
    bytes: u64,
}

/// Reads the first line.
///
/// # Errors
/// [`MoveError`]: this is no export of ours.
pub fn begin<R: BufRead>(input: R) -> Result<Opening<R>, MoveError> {
    let mut lines = Lines { input, line: Vec::new(), number: 0, bytes: 0 };
    let keys = match lines.next()? {
        Some(Line::Store(store)) if store.format == FORMAT => store.keys(),
        Some(Line::Store(store)) => Err(format!("it has format {}, this build reads {FORMAT}", store.format)),
        _ => Err("this is not an export: it begins with another line".into()),
    };
    let keys = keys.map_err(|reason| lines.wrong(reason))?;
    Ok(Opening { keys, lines })
}

/// Reads the rest into `store`; `told` hears how far it is.
///
/// # Errors
/// [`MoveError`]; what came before is kept, and reading all of it again does no harm.
pub async fn import<S: Store, R: BufRead>(
    store: &S,
    opening: Opening<R>,
    mut told: impl FnMut(&Moved),
) -> Result<Moved, MoveError> {
    let Opening { keys, mut lines } = opening;
    let mint = IdMint::new(keys.mint);
    let mut moved = Moved::default();
    let (mut page, mut page_from) = (Vec::new(), lines.bytes);
    let end = loop {
        let line = lines.next()?;
        if !page.is_empty() && !matches!(line, Some(Line::Event(_))) {
            moved.new += store.take_in(std::mem::take(&mut page)).await?;
        }
        match line {
            Some(Line::Event(event)) => {
                let event = event.read(&mint);
                // What came before is kept, whatever this one is.
                let event = match event {
                    Ok(event) => event,
                    Err(reason) => {
                        store.take_in(page).await?;
                        return Err(lines.wrong(reason));
                    }
                };
                moved.events += 1;
                moved.open += open_of(&event);
                page.push(event);
                if page.len() >= PAGE_EVENTS_MAX || lines.bytes - page_from >= PAGE_BYTES_MAX {
                    moved.new += store.take_in(std::mem::take(&mut page)).await?;
                    page_from = lines.bytes;
                }
            }
            Some(Line::Webhook(webhook)) => {
                let webhook = webhook.read().map_err(|reason| lines.wrong(reason))?;
                if store.webhook(webhook.id).await?.is_none() {
                    store.keep_webhook(&webhook, None).await?;
                }
                moved.webhooks += 1;
            }
            Some(Line::Marks(marks)) => {
                let marks = read_marks(marks).map_err(|reason| lines.wrong(reason))?;
                moved.marks += marks.len() as u64;
                store.take_marks(marks).await?;
            }
            Some(Line::End(end)) => break end,
            Some(Line::Store(_)) => {
                return Err(lines.wrong("another export begins here: import one after the other".into()));
            }
            None => return Err(MoveError::CutOff),
        }
        moved.bytes = lines.bytes;
        told(&moved);
    };
    moved.bytes = lines.bytes;
    told(&moved);
    let Moved { webhooks, events, marks, .. } = moved;
    if end != (EndLine { webhooks, events, marks }) {
        return Err(lines.wrong("lines are missing: it counts others than came before it".into()));
    }
    Ok(moved)
}

fn open_of(event: &MovedEvent) -> u64 {
    event.deliveries.iter().filter(|delivery| delivery.state.is_open()).count() as u64
}

// === impl Lines ===

impl<R: BufRead> Lines<R> {
    /// The next line; `None` at the end, also where the last one is cut off.
    fn next(&mut self) -> Result<Option<Line<'static>>, MoveError> {
        self.line.clear();
        let read = self.input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line)?;
        self.number += 1;
        self.bytes += read as u64;
        if self.line.last() != Some(&b'\n') {
            return if read as u64 == LINE_BYTES_MAX { Err(self.wrong("it is too long".into())) } else { Ok(None) };
        }
        match serde_json::from_slice(&self.line) {
            Ok(line) => Ok(Some(line)),
            Err(error) => Err(MoveError::Line { number: self.number, reason: error.to_string() }),
        }
    }

    fn wrong(&self, reason: String) -> MoveError {
        MoveError::Line { number: self.number, reason }
    }
}
