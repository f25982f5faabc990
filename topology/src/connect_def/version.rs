//! Versions of plugins (KIP-891): numbers and Maven's ranges of them.

use std::cmp::Ordering;

/// Numbers with dots between them, without trailing zeros. None: there are words in it, which Maven has an order for.
fn numbers(version: &str) -> Option<Vec<u64>> {
    let numbers: Result<Vec<u64>, _> = version.trim().split('.').map(str::parse).collect();
    let mut numbers = numbers.ok()?;
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    Some(numbers)
}

fn compare(a: &str, b: &str) -> Option<Ordering> {
    Some(numbers(a)?.cmp(&numbers(b)?))
}

/// Whether this version is one of those that are wanted: a version, `latest`, or ranges.
pub(super) fn fits(wanted: &str, version: &str) -> bool {
    if wanted.starts_with(['[', '(']) {
        return in_ranges(wanted, version);
    }
    wanted == "latest" || is_same(wanted, version)
}

/// Whether the two mean the same version.
fn is_same(a: &str, b: &str) -> bool {
    a == b || compare(a, b) == Some(Ordering::Equal)
}

/// Whether the version is in one of the ranges, such as `[4.0,5)` or `(,4.2],[4.3,)`. Also true if that cannot be told.
fn in_ranges(ranges: &str, version: &str) -> bool {
    (ranges.split_inclusive([']', ')'])).any(|range| {
        let range = range.trim_start_matches(',').trim();
        let inner = range.trim_matches(['[', ']', '(', ')']);
        if range.is_empty() {
            return false;
        }
        let Some((from, to)) = inner.split_once(',') else {
            return compare(inner, version).is_none_or(Ordering::is_eq);
        };
        let above = match compare(version, from) {
            Some(Ordering::Equal) => range.starts_with('['),
            order => order.is_none_or(Ordering::is_gt),
        };
        let below = match compare(version, to) {
            Some(Ordering::Equal) => range.ends_with(']'),
            order => order.is_none_or(Ordering::is_lt),
        };
        above && below
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_maven() {
        let here = "4.3.1";
        for range in [
            "[4.0,5)",
            "[4.3.1]",
            "[4.3.1.0]",
            "[4.0,4.2],[4.3,)",
            "[4.3.1],",
            "(,)",
            "[4.3.1,4.3.1]",
            "[4.3.1-rc1,)",
        ] {
            assert!(fits(range, here), "{range}");
        }
        for range in ["(,4.3.1)", "(4.3.1,)", "[4.10,)", "[1],[2]", "[1.0,2.0]"] {
            assert!(!fits(range, here), "{range}");
        }
        assert!(
            ["4.3.1.0", "4.03.1", "latest"]
                .iter()
                .all(|version| fits(version, here))
        );
        assert!(
            !["4.3", "4.3.1-rc1", "", "]", ","]
                .iter()
                .any(|version| fits(version, here))
        );
    }
}
