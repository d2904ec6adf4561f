//! A bar on standard error for what takes long; nothing at all where that is no terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often it is drawn, a second.
const DRAWN_HERTZ: u8 = 5;

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unit {
    Events,
    Bytes,
}

/// A bar up to `length`; without one it only counts. It is wiped away when it is dropped.
pub(super) fn bar(length: Option<u64>, unit: Unit) -> ProgressBar {
    let template = match (unit, length) {
        (Unit::Events, Some(_)) => "{wide_bar} {human_pos} of {human_len} events, {eta} left",
        (Unit::Events, None) => "{spinner} {human_pos} events",
        (Unit::Bytes, Some(_)) => "{wide_bar} {binary_bytes} of {binary_total_bytes}, {eta} left",
        (Unit::Bytes, None) => "{spinner} {binary_bytes}",
    };
    let target = ProgressDrawTarget::stderr_with_hz(DRAWN_HERTZ);
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(length, target).with_style(style).with_finish(indicatif::ProgressFinish::AndClear)
}
