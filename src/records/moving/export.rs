//! Writing down what a store holds.

use std::io::Write;

use super::line::{EndLine, EventLine, Line, StoreLine};
use super::{MoveError, Moved};
use crate::domain::Timestamp;
use crate::store::{Store, WrittenWebhook};

/// Marks of one line.
const MARKS_OF_LINE: usize = 1_000;

/// Counts what goes through.
struct Lines<W> {
    out: W,
    bytes: u64,
    line: Vec<u8>,
}

/// Writes everything that `store` holds to `out`; `told` hears how far it is.
///
/// # Errors
/// [`MoveError`]; what was written then has no last line.
pub async fn export<S: Store>(
    store: &S,
    now: Timestamp,
    out: impl Write,
    mut told: impl FnMut(&Moved),
) -> Result<Moved, MoveError> {
    let mut lines = Lines { out, bytes: 0, line: Vec::new() };
    let mut moved = Moved::default();
    lines.write(&Line::Store(StoreLine::new(store.keys(), now)))?;
    for webhook in store.webhooks().await? {
        lines.write(&Line::Webhook(Box::new(WrittenWebhook::new(&webhook))))?;
        moved.webhooks += 1;
    }
    let mut after = None;
    loop {
        let page = store.read_out(after).await?;
        moved.damaged += page.damaged;
        for event in &page.events {
            lines.write(&Line::Event(Box::new(EventLine::new(event))))?;
            moved.events += 1;
            moved.open += event.deliveries.iter().filter(|delivery| delivery.state.is_open()).count() as u64;
        }
        moved.bytes = lines.bytes;
        told(&moved);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut from = None;
    loop {
        let (marks, next) = store.read_marks(from).await?;
        for some in marks.chunks(MARKS_OF_LINE) {
            lines.write(&Line::marks(some))?;
            moved.marks += some.len() as u64;
        }
        moved.bytes = lines.bytes;
        told(&moved);
        from = next;
        if from.is_none() {
            break;
        }
    }
    let Moved { webhooks, events, marks, .. } = moved;
    lines.write(&Line::End(EndLine { webhooks, events, marks }))?;
    lines.out.flush()?;
    moved.bytes = lines.bytes;
    Ok(moved)
}

// === impl Lines ===

impl<W: Write> Lines<W> {
    fn write(&mut self, line: &Line<'_>) -> Result<(), MoveError> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line).map_err(std::io::Error::from)?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)?;
        self.bytes += self.line.len() as u64;
        Ok(())
    }
}
