//! The line of the text that a problem is about, with everything masked that is or may be a secret.

use std::ops::Range;

use super::tree::{Kind, NodeId, Place, Tree};

/// A line of the configuration with a mark under what is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The line, secrets masked with `…`, control characters replaced.
    pub line: String,
    /// How many characters stand before the mark.
    pub mark_from: usize,
    /// How many characters the mark is wide; at least 1.
    pub mark_width: usize,
}

/// The longest line that is shown, in characters.
const LINE_CHARS_MAX: usize = 160;

/// How much of a line is looked at: a file may be one long line.
const LINE_BYTES_MAX: usize = 4096;

/// Keys whose values are secrets or may carry them, wherever they stand.
const SECRET_KEYS: &[&str] = &[
    "secret",
    "verify_token",
    "secrets",
    "token",
    "tokens",
    "password",
    "passwords",
    "auth",
    "credentials",
    "authorization",
    "add",
    "secrets_key",
    "key",
    "api_key",
];

/// Keys that are harmless even below one of [`SECRET_KEYS`].
const HARMLESS_KEYS: &[&str] = &["name", "role", "file", "scheme", "type", "header", "username", "user"];

/// The parts of the text that no excerpt may show.
pub(crate) fn secrets_in(tree: &Tree, text: &str) -> Vec<Range<usize>> {
    let mut masked = Vec::new();
    collect(tree, Tree::ROOT, false, text, &mut masked);
    masked
}

fn collect(tree: &Tree, id: NodeId, secret: bool, text: &str, masked: &mut Vec<Range<usize>>) {
    let Some(node) = tree.get(id) else { return };
    match &node.kind {
        Kind::Scalar(_) => {
            let written = text.get(node.place.bytes.clone()).unwrap_or_default();
            if (secret && !is_bare_reference(written)) || looks_secret(written) {
                masked.push(node.place.bytes.clone());
            }
        }
        Kind::List(items) => items.iter().for_each(|item| collect(tree, *item, secret, text, masked)),
        Kind::Mapping(entries) => {
            for entry in entries {
                let key = entry.key.to_ascii_lowercase();
                let named = SECRET_KEYS.contains(&key.as_str());
                let below = named || (secret && !HARMLESS_KEYS.contains(&key.as_str()));
                collect(tree, entry.value, below, text, masked);
            }
        }
    }
}

/// Where every scalar at or below this node stands.
pub(crate) fn values_in(tree: &Tree, id: NodeId) -> Vec<Range<usize>> {
    match tree.get(id).map(|node| (&node.kind, &node.place)) {
        Some((Kind::Scalar(_), place)) => vec![place.bytes.clone()],
        Some((Kind::List(items), _)) => items.iter().flat_map(|item| values_in(tree, *item)).collect(),
        Some((Kind::Mapping(entries), _)) => entries.iter().flat_map(|entry| values_in(tree, entry.value)).collect(),
        None => Vec::new(),
    }
}

/// `${NAME}` says nothing about what the variable holds; `${NAME:-default}` shows the default.
fn is_bare_reference(written: &str) -> bool {
    let inner = written.trim_matches(['"', '\'']).strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    inner.is_some_and(|name| name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_'))
}

/// What is a secret wherever it stands: a webhook secret, or a URL with credentials or parameters.
fn looks_secret(written: &str) -> bool {
    written.contains("whsec_") || written.split_once("://").is_some_and(|(_, rest)| rest.contains(['@', '?', '#']))
}

// === impl Excerpt ===

impl Excerpt {
    /// The line at this place; nothing where the place lies beyond what can be shown.
    pub(crate) fn new(text: &str, place: &Place, masked: &[Range<usize>], keys_only: bool) -> Option<Self> {
        let line = text.lines().nth(place.line.checked_sub(1)?)?;
        let line_start = line.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
        let mark = place.bytes.start..place.bytes.end.max(place.bytes.start + 1);
        let shown = if keys_only { keys_of(line) } else { line.len() };
        let window = line_start..line_start + LINE_BYTES_MAX;
        let masked: Vec<_> =
            masked.iter().filter(|range| range.start < window.end && range.end > window.start).collect();
        let mut excerpt = Self { line: String::new(), mark_from: 0, mark_width: 0 };
        let mut in_mask = false;
        for (offset, char) in line.char_indices().take_while(|(offset, _)| *offset < LINE_BYTES_MAX) {
            let at = line_start + offset;
            let is_masked = offset >= shown || masked.iter().any(|range| range.contains(&at));
            let first_of_mask = is_masked && !in_mask;
            in_mask = is_masked;
            if at < mark.start && (!is_masked || first_of_mask) {
                excerpt.mark_from += 1;
            } else if mark.contains(&at) && (!is_masked || first_of_mask || excerpt.mark_width == 0) {
                excerpt.mark_width += 1;
            }
            match (is_masked, first_of_mask) {
                (false, _) => excerpt.line.push(if char.is_control() { ' ' } else { char }),
                (true, true) => excerpt.line.push('…'),
                (true, false) => {}
            }
        }
        let chars = excerpt.line.chars().count();
        excerpt.line = excerpt.line.chars().take(LINE_CHARS_MAX).collect::<String>().trim_end().to_owned();
        excerpt.mark_from = excerpt.mark_from.min(chars);
        excerpt.mark_width = excerpt.mark_width.clamp(1, LINE_CHARS_MAX.saturating_sub(excerpt.mark_from).max(1));
        let visible = mark.start < window.end && excerpt.mark_from < LINE_CHARS_MAX;
        visible.then_some(excerpt)
    }
}

/// How many bytes of the line are indentation, list dashes and one key with its colon.
fn keys_of(line: &str) -> usize {
    let start = line.len() - line.trim_start_matches([' ', '\t', '-']).len();
    let rest = line.get(start..).unwrap_or_default();
    let name = rest.find(|char: char| !(char.is_ascii_alphanumeric() || char == '_' || char == '-'));
    match name {
        Some(end) if end > 0 && rest.get(end..).is_some_and(|rest| rest.starts_with(':')) => start + end + 1,
        _ => start,
    }
}
