//! What `/metrics` says, read as Prometheus reads it.

/// One reading.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    text: String,
}

impl Metrics {
    /// Of an exposition in Prometheus' text format.
    pub(crate) fn of(text: String) -> Self {
        Self { text }
    }

    /// The sum of all series of this name that carry these labels; 0 where there is none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| value(line, name, labels)).sum()
    }

    /// The exposition as it came.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

fn value(line: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let (series, number) = line.rsplit_once(' ')?;
    let (found, set) = series.split_once('{').unwrap_or((series, ""));
    let wanted = labels.iter().all(|(label, value)| set.contains(&format!("{label}=\"{value}\"")));
    (found == name && wanted).then(|| number.parse().ok())?
}
