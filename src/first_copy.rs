//! How far the copy of what was on the source at the start has come, for people.

use actors::FirstCopied;

/// Percent, rate and time left, of one flow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FirstCopy {
    of: FirstCopied,
    /// Partitions that are not in it yet.
    unseen: u64,
    per_second: f64,
}

impl FirstCopy {
    /// `unseen`: partitions whose logs were not looked at yet; `per_second`: offsets, of late.
    pub(crate) fn new(of: FirstCopied, unseen: u64, per_second: f64) -> Self {
        Self {
            of,
            unseen,
            per_second,
        }
    }

    /// Offsets, of late.
    pub(crate) fn per_second(&self) -> f64 {
        self.per_second
    }

    /// Everything that was there is copied, as far as known.
    pub(crate) fn is_done(&self) -> bool {
        self.unseen == 0 && self.of.copied >= self.of.total
    }

    /// 0 to 100, and 100 only if nothing is left of what is known; none while nothing is known.
    pub(crate) fn percent(&self) -> Option<f64> {
        let FirstCopied { total, copied, .. } = self.of;
        if copied >= total {
            // Logs without a record are copied as soon as they are seen.
            return (total > 0 || self.unseen == 0).then_some(100.0);
        }
        Some((copied as f64 / total as f64 * 100.0).min(99.99))
    }

    /// For a line; none when it is done.
    pub(crate) fn said(&self) -> Option<String> {
        (!self.is_done()).then(|| words(self.percent(), self.seconds_left(), self.unseen))
    }

    /// At the rate of late; none while nothing moves, or not all is known.
    pub(crate) fn seconds_left(&self) -> Option<u64> {
        let left = self.of.total.saturating_sub(self.of.copied);
        match (left, self.unseen) {
            (0, 0) => Some(0),
            (_, 0) if self.per_second > 0.0 => {
                let seconds = (left as f64 / self.per_second).ceil();
                // As a cast does it: what is too great is the greatest.
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "not negative, and cut off at the greatest"
                )]
                Some(seconds as u64)
            }
            _ => None,
        }
    }
}

/// `45 s`, `3 min`, `2 h 10 min`, `3 d 4 h`.
pub(crate) fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds.div_ceil(60), seconds / 3_600, seconds / 86_400);
    match seconds {
        0..90 => format!("{seconds} s"),
        90..5_400 => format!("{minutes} min"),
        5_400..172_800 => format!("{hours} h {} min", seconds % 3_600 / 60),
        _ => format!("{days} d {} h", seconds % 86_400 / 3_600),
    }
}

/// `43.1 %, 3 min left`; the rest when it is known.
pub(crate) fn words(percent: Option<f64>, seconds_left: Option<u64>, unseen: u64) -> String {
    let mut words = match percent {
        // Not rounded up to 100 before it is.
        Some(percent) => format!("{:.1} %", (percent * 10.0).floor() / 10.0),
        None => "looking".to_owned(),
    };
    match (unseen, seconds_left) {
        (0, Some(seconds @ 1..)) => words += &format!(", {} left", span(seconds)),
        (0, _) => {}
        (unseen, _) => words += &format!(" of what is known, {unseen} partitions to look at"),
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(total: u64, copied: u64, unseen: u64, per_second: f64) -> FirstCopy {
        let of = FirstCopied {
            total,
            copied,
            advanced: copied,
        };
        FirstCopy::new(of, unseen, per_second)
    }

    fn said(total: u64, copied: u64, unseen: u64, per_second: f64) -> String {
        let copy = copy(total, copied, unseen, per_second);
        words(copy.percent(), copy.seconds_left(), unseen)
    }

    #[test]
    fn what_is_known_is_said_and_no_more() {
        assert_eq!(
            said(0, 0, 3, 0.0),
            "looking of what is known, 3 partitions to look at"
        );
        assert_eq!(said(1_000, 431, 0, 3.0), "43.1 %, 4 min left");
        assert_eq!(said(1_000, 431, 0, 0.0), "43.1 %");
        assert_eq!(
            said(1_000, 431, 2, 3.0),
            "43.1 % of what is known, 2 partitions to look at"
        );
        assert_eq!(said(1_000_000, 999_999, 0, 1.0), "99.9 %, 1 s left");
        assert_eq!(said(1_000, 1_000, 0, 3.0), "100.0 %");
        assert_eq!(said(0, 0, 0, 0.0), "100.0 %", "nothing was there");
        assert!(copy(5, 5, 0, 0.0).is_done() && !copy(5, 5, 1, 0.0).is_done());
        assert!(copy(u64::MAX, 0, 0, 1e-300).seconds_left() == Some(u64::MAX));
    }

    #[test]
    fn spans_have_two_units_at_most() {
        for (seconds, text) in [
            (0, "0 s"),
            (89, "89 s"),
            (90, "2 min"),
            (5_399, "90 min"),
            (7_800, "2 h 10 min"),
            (273_600, "3 d 4 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
