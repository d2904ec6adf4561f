//! Durations and sizes as people write them: a whole number and its unit.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// A duration such as `500ms`, `5s`, `15m`, `6h` or `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// A number of bytes such as `512B`, `64KiB`, `1MiB` or `1GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Why a text is not a quantity; it does not repeat the text, which may have come from a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// No such duration.
    #[error("not a duration\nwrite a whole number and ms, s, m, h or d, such as 500ms, 5s or 15m")]
    NotAPeriod,
    /// No such size.
    #[error("not a size\nwrite a whole number and B, KiB, MiB, GiB, TiB, KB, MB, GB or TB, such as 64KiB")]
    NotASize,
    /// Only digits.
    #[error("the unit is missing\nwrite ms, s, m, h or d behind the number, such as 5s")]
    PeriodWithoutUnit,
    /// Only digits.
    #[error("the unit is missing\nwrite B, KiB, MiB or GiB behind the number, such as 64KiB")]
    SizeWithoutUnit,
    /// Longer than [`Period::MAX`].
    #[error("longer than 3650d")]
    PeriodTooLong,
    /// Larger than [`Size::MAX`].
    #[error("larger than 1024TiB")]
    SizeTooLarge,
}

const PERIOD_UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// The number and the unit's factor: `None` for anything else, `Some((_, None))` where the unit is missing.
fn split(text: &str, units: &[(&str, u64)]) -> Option<(Option<u64>, Option<u64>)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    if number.is_empty() {
        return None;
    }
    let unit = unit.trim_start();
    if unit.is_empty() {
        return Some((number.parse().ok(), None));
    }
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    Some((number.parse().ok(), Some(*factor)))
}

// === impl Period ===

impl Period {
    /// The longest one: ten years.
    pub const MAX: Duration = Duration::from_secs(3650 * 86_400);
}

impl FromStr for Period {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (number, factor) = split(text, PERIOD_UNITS).ok_or(QuantityError::NotAPeriod)?;
        let factor = factor.ok_or(QuantityError::PeriodWithoutUnit)?;
        let millis = number.and_then(|number| number.checked_mul(factor)).ok_or(QuantityError::PeriodTooLong)?;
        let period = Duration::from_millis(millis);
        if period > Self::MAX { Err(QuantityError::PeriodTooLong) } else { Ok(Self(period)) }
    }
}

/// The shortest way to write it: `90s`, `15m`, `96h`.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        // Days only from two of them on: people say 24h.
        let fits = |(unit, factor): &&(&str, u64)| {
            millis.is_multiple_of(*factor) && millis >= *factor && (*unit != "d" || millis >= 7 * factor)
        };
        match PERIOD_UNITS.iter().rev().find(fits) {
            Some((unit, factor)) => write!(f, "{}{unit}", millis / factor),
            None => f.write_str("0s"),
        }
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Parse("a duration such as 5s", FromStr::from_str))
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A whole number and its unit: 500ms, 5s, 15m, 6h, 30d.",
            "pattern": "^([0-9]+ ?(ms|s|m|h|d)|.*\\$\\{.*)$",
        })
    }
}

// === impl Size ===

impl Size {
    /// The largest one: a pebibyte.
    pub const MAX: u64 = 1 << 50;
}

impl FromStr for Size {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (number, factor) = split(text, SIZE_UNITS).ok_or(QuantityError::NotASize)?;
        let factor = factor.ok_or(QuantityError::SizeWithoutUnit)?;
        let bytes = number.and_then(|number| number.checked_mul(factor)).ok_or(QuantityError::SizeTooLarge)?;
        if bytes > Self::MAX { Err(QuantityError::SizeTooLarge) } else { Ok(Self(bytes)) }
    }
}

/// The largest binary unit that divides it: `64KiB`, `1MiB`, `1500B`.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = SIZE_UNITS.iter().filter(|(unit, _)| unit.ends_with("iB"));
        match binary.rev().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Parse("a size such as 64KiB", FromStr::from_str))
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A whole number and its unit: 512B, 64KiB, 1MiB, 1GB.",
            "pattern": "^([0-9]+ ?([KMGT]i?)?B|.*\\$\\{.*)$",
        })
    }
}

/// Reads a text by a function and passes on what it says is wrong.
struct Parse<T>(&'static str, fn(&str) -> Result<T, QuantityError>);

impl<T> serde::de::Visitor<'_> for Parse<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_period(text: &str, expected: Result<u64, QuantityError>) {
        assert_eq!(text.parse::<Period>().map(|period| period.0.as_millis()), expected.map(u128::from), "{text}");
    }

    #[track_caller]
    fn check_size(text: &str, expected: Result<u64, QuantityError>) {
        assert_eq!(text.parse::<Size>().map(|size| size.0), expected, "{text}");
    }

    #[test]
    fn durations_are_a_number_and_a_unit() {
        check_period("500ms", Ok(500));
        check_period("0s", Ok(0));
        check_period("5s", Ok(5000));
        check_period(" 15 m ", Ok(900_000));
        check_period("96h", Ok(345_600_000));
        check_period("30d", Ok(2_592_000_000));
        check_period("5", Err(QuantityError::PeriodWithoutUnit));
        check_period("-5s", Err(QuantityError::NotAPeriod));
        check_period("1.5h", Err(QuantityError::NotAPeriod));
        check_period("5 minutes", Err(QuantityError::NotAPeriod));
        check_period("5S", Err(QuantityError::NotAPeriod));
        check_period("", Err(QuantityError::NotAPeriod));
        check_period("99999999999999999999s", Err(QuantityError::PeriodTooLong));
        check_period("3651d", Err(QuantityError::PeriodTooLong));
    }

    #[test]
    fn sizes_are_a_number_and_a_unit() {
        check_size("512B", Ok(512));
        check_size("64KiB", Ok(65_536));
        check_size("1 MiB", Ok(1 << 20));
        check_size("1GB", Ok(1_000_000_000));
        check_size("1K", Err(QuantityError::NotASize));
        check_size("1mib", Err(QuantityError::NotASize));
        check_size("1024", Err(QuantityError::SizeWithoutUnit));
        check_size("18446744073709551615KiB", Err(QuantityError::SizeTooLarge));
        check_size("ä", Err(QuantityError::NotASize));
    }

    #[test]
    fn quantities_are_printed_as_people_write_them() {
        for text in ["0s", "500ms", "90s", "15m", "24h", "96h", "30d"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
        for text in ["0B", "1500B", "64KiB", "1MiB", "256MiB", "1TiB"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
    }
}
