//! What the operating system says about this process, read from /proc when somebody scrapes (Linux only).
//!
//! The names are the ones that every Prometheus client library uses, so without our prefix.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Memory, file descriptors and CPU time of this process.
#[derive(Debug)]
pub(super) struct ProcessCollector;

/// The unit of CPU times in /proc: Linux shows 100 a second to every program, whatever the kernel counts in.
const TICKS_PER_SECOND: f64 = 100.0;

/// What one scrape reads.
struct Usage {
    cpu_seconds: f64,
    resident_bytes: f64,
    open_files: Option<i64>,
}

// === impl Usage ===

impl Usage {
    /// `None` where there is no /proc.
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // Field 2 is the program's name in brackets and may hold anything; the fields after it count from 3.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let files = fs::read_dir("/proc/self/fd").ok();
        Some(Self {
            cpu_seconds: (ticks(14)? + ticks(15)?) / TICKS_PER_SECOND,
            resident_bytes: resident.trim().trim_end_matches(" kB").parse::<f64>().ok()? * 1024.0,
            // The listing holds one descriptor itself.
            open_files: files.and_then(|files| i64::try_from(files.count()).ok()?.checked_sub(1)),
        })
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(usage) = Usage::read() else { return Ok(()) };
        let cpu = ConstCounter::new(usage.cpu_seconds);
        let help = "User and system CPU time";
        cpu.encode(encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), cpu.metric_type())?)?;
        let resident = ConstGauge::new(usage.resident_bytes);
        let help = "Resident memory";
        let unit = Some(&Unit::Bytes);
        resident.encode(encoder.encode_descriptor("process_resident_memory", help, unit, resident.metric_type())?)?;
        if let Some(open) = usage.open_files {
            let open = ConstGauge::new(open);
            let help = "Open file descriptors";
            open.encode(encoder.encode_descriptor("process_open_fds", help, None, open.metric_type())?)?;
        }
        Ok(())
    }
}
