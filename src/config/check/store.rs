//! `store`.

use std::path::PathBuf;

use super::checked::{Durability, Store};
use super::redis;
use super::value::{period, size};
use crate::config::document::problem::Problems;
use crate::config::document::spanned::At;
use crate::config::quantity::Size;
use crate::config::written;

/// The smallest `bytes_max`: less than this the engine takes when it is empty.
const BYTES_MAX_MIN: u64 = 64 << 20;

pub(super) fn store(written: Option<&At<written::Store>>, problems: &mut Problems<'_>) -> Store {
    let default = Store::default();
    let Some(At { value: written, .. }) = written else { return default };
    let redis = match written.engine.as_ref().map(|engine| engine.value) {
        Some(written::Engine::Redis) => redis::redis(written, problems),
        Some(written::Engine::Embedded) | None => {
            redis::only_redis(written, problems);
            None
        }
    };
    let mut checked = Store {
        redis,
        path: folder(written.path.as_ref(), default.path, problems),
        bytes_max: written
            .bytes_max
            .as_ref()
            .map(|bytes_max| size(Some(bytes_max), BYTES_MAX_MIN, BYTES_MAX_MIN, Size::MAX, problems)),
        disk_free_min: size(written.disk_free_min.as_ref(), default.disk_free_min, 0, Size::MAX, problems),
        rejections_bytes_max: size(
            written.rejections_bytes_max.as_ref(),
            default.rejections_bytes_max,
            0,
            Size::MAX,
            problems,
        ),
        ..default
    };
    if let Some(At { value: retention, .. }) = &written.retention {
        checked.retention_events = period(retention.events.as_ref(), checked.retention_events, problems);
        checked.retention_rejections = period(retention.rejections.as_ref(), checked.retention_rejections, problems);
    }
    if let Some(durability) = &written.durability
        && durability.value == written::Durability::Relaxed
    {
        checked.durability = Durability::Relaxed;
        problems.warn(
            durability.at,
            "an event that was acknowledged can be lost in a power cut",
            "`strict` keeps it; sync costs the sender some milliseconds",
        );
    }
    checked
}

fn folder(written: Option<&At<String>>, default: PathBuf, problems: &mut Problems<'_>) -> PathBuf {
    let Some(At { value, at }) = written else { return default };
    if value.trim().is_empty() || value.contains('\0') {
        problems.wrong(*at, "not a folder", "write it like ./data or /var/lib/hookward");
        return default;
    }
    PathBuf::from(value)
}
