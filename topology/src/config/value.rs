//! Kafka's typed values: how a text becomes a boolean, a number, a list (docs/spec/mm2.md 1.1,
//! item 2). Readers take a property map, a key and the default for an absent key.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::ConfigError;
use crate::properties::Properties;

/// Intervals and timeouts above this count as this. Nobody waits longer, and sums of times stay
/// far from overflow.
pub const DURATION_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Java's `String.trim`: drops control characters and blanks at both ends.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

/// A LIST: empty after trimming is the empty list, otherwise split at commas with white space
/// around; empty items are kept.
pub(crate) fn list(text: &str) -> impl Iterator<Item = &str> {
    let text = trim(text);
    let is_space = |c| matches!(c, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r');
    let items = text.split(',').map(move |item| item.trim_matches(is_space));
    items.filter(move |_| !text.is_empty())
}

/// A BOOLEAN: `true` or `false` in any case.
pub(crate) fn boolean(
    properties: &Properties,
    key: &str,
    default: bool,
) -> Result<bool, ConfigError> {
    match properties.get(key).map(trim) {
        None => Ok(default),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err(ConfigError::invalid(properties, key, "write true or false")),
    }
}

/// A SHORT, INT or LONG in a range.
pub(crate) fn number<N>(
    properties: &Properties,
    key: &str,
    default: N,
    range: RangeInclusive<N>,
) -> Result<N, ConfigError>
where
    N: std::str::FromStr + PartialOrd + Display,
{
    let Some(text) = properties.get(key) else {
        return Ok(default);
    };
    match trim(text).parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => {
            let (from, to) = range.into_inner();
            let expected = format!("write a whole number from {from} to {to}");
            Err(ConfigError::invalid(properties, key, expected))
        }
    }
}

/// A replication factor: a positive SHORT, or -1 for the broker's default.
pub(crate) fn replication_factor(
    properties: &Properties,
    key: &str,
    default: i16,
) -> Result<i16, ConfigError> {
    match number(properties, key, default, -1..=i16::MAX) {
        Ok(factor) if factor != 0 => Ok(factor),
        _ => {
            let expected = format!(
                "write a replication factor from 1 to {}, or -1 for the broker's default",
                i16::MAX
            );
            Err(ConfigError::invalid(properties, key, expected))
        }
    }
}

/// A time in milliseconds, at least 1, at most [`DURATION_MAX`].
pub(crate) fn millis(
    properties: &Properties,
    key: &str,
    default: Duration,
) -> Result<Duration, ConfigError> {
    if !properties.contains(key) {
        return Ok(default);
    }
    match number(properties, key, 0, i64::MIN..=i64::MAX).map(u64::try_from) {
        Ok(Ok(millis)) if millis > 0 => Ok(Duration::from_millis(millis).min(DURATION_MAX)),
        _ => Err(ConfigError::invalid(
            properties,
            key,
            "write milliseconds, at least 1",
        )),
    }
}

/// The pair `<name>.enabled`, `<name>.interval.seconds`; `None` if disabled or negative
/// (docs/spec/mm2.md 1.7). 0 is refused: MM2 accepts it and then fails to start, or spins.
pub(crate) fn interval(
    properties: &Properties,
    name: &str,
    default: Duration,
) -> Result<Option<Duration>, ConfigError> {
    let interval = interval_if_set(properties, name, true)?;
    Ok(interval.map(|set| set.unwrap_or(default)))
}

/// As [`interval`], where it makes a difference whether the seconds are set: `Some(None)` if it is
/// enabled, and they are not.
pub(crate) fn interval_if_set(
    properties: &Properties,
    name: &str,
    enabled_default: bool,
) -> Result<Option<Option<Duration>>, ConfigError> {
    let key = format!("{name}.interval.seconds");
    let enabled = boolean(properties, &format!("{name}.enabled"), enabled_default)?;
    let expected = "write seconds, at least 1, or a negative number to switch it off";
    if !properties.contains(&key) {
        return Ok(enabled.then_some(None));
    }
    let seconds = number(properties, &key, 0, i64::MIN..=i64::MAX)
        .map_err(|_| ConfigError::invalid(properties, &key, expected))?;
    match u64::try_from(seconds) {
        _ if !enabled => Ok(None),
        Err(_) => Ok(None),
        Ok(0) => Err(ConfigError::invalid(properties, &key, expected)),
        Ok(seconds) => Ok(Some(Some(Duration::from_secs(seconds).min(DURATION_MAX)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: &str) -> Properties {
        [("k", value)].into_iter().collect()
    }

    #[test]
    fn booleans_are_true_and_false_in_any_case() {
        for (text, expected) in [("TRUE ", true), (" False", false)] {
            assert_eq!(boolean(&one(text), "k", !expected), Ok(expected));
        }
        for text in ["yes", "1", "", "truee"] {
            let error = boolean(&one(text), "k", true).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("k: `{text}` is not valid; write true or false")
            );
        }
        assert_eq!(boolean(&one("x"), "absent", true), Ok(true));
    }

    #[test]
    fn numbers_are_trimmed_and_ranged() {
        assert_eq!(number(&one(" +7\t"), "k", 0, 1..=9), Ok(7));
        for text in ["0", "10", "", "two", "1.0", "0x1", "99999999999999999999"] {
            assert!(number(&one(text), "k", 0, 1..=9).is_err(), "{text}");
        }
        assert_eq!(replication_factor(&one("-1"), "k", 2), Ok(-1));
        for text in ["0", "-2", "40000", "two"] {
            assert!(replication_factor(&one(text), "k", 2).is_err(), "{text}");
        }
    }

    #[test]
    fn lists_keep_empty_items() {
        let items = |text| list(text).collect::<Vec<_>>();
        assert_eq!(items(" "), [""; 0]);
        assert_eq!(items(" a ,\tb,c "), ["a", "b", "c"]);
        assert_eq!(items("a,,b,"), ["a", "", "b", ""]);
    }

    #[test]
    fn intervals_end_at_bounds() {
        let interval = |enabled: &str, seconds: &str| {
            let pairs = [("r.enabled", enabled), ("r.interval.seconds", seconds)];
            interval(&pairs.into_iter().collect(), "r", Duration::from_secs(600))
        };
        assert_eq!(interval("true", "5"), Ok(Some(Duration::from_secs(5))));
        assert_eq!(interval("true", "-1"), Ok(None));
        assert_eq!(interval("false", "0"), Ok(None));
        assert_eq!(
            interval("true", "9223372036854775807"),
            Ok(Some(DURATION_MAX))
        );
        assert!(interval("true", "0").is_err());
        assert!(interval("false", "x").is_err());
        assert!(interval("maybe", "5").is_err());
        assert!(millis(&one("0"), "k", DURATION_MAX).is_err());
        assert!(millis(&one("-5"), "k", DURATION_MAX).is_err());
        assert_eq!(
            millis(&one("1500"), "k", DURATION_MAX),
            Ok(Duration::from_millis(1500))
        );
    }
}
