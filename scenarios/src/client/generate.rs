//! Records to write: numbered ones that can be counted, and odd ones that find assumptions.

use std::ops::Range;

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

use super::record::TestRecord;

/// Timestamp of record 0 in [`numbered`]: November 2023. Unit: milliseconds.
const FIRST_TIMESTAMP_MS: i64 = 1_700_000_000_000;

/// Records whose keys are the decimal `ids`, spread over the partitions in turn, with values of
/// `value_bytes` bytes (a repeating pattern). Their fate is counted with [`super::tally()`].
pub fn numbered(ids: Range<u64>, partitions: i32, value_bytes: usize) -> Vec<TestRecord> {
    let spread = u64::from(partitions.max(1).cast_unsigned());
    let one = |id: u64| TestRecord {
        partition: i32::try_from(id % spread).unwrap_or_default(),
        key: Some(id.to_string().into_bytes()),
        value: Some(
            format!("{id} ")
                .into_bytes()
                .into_iter()
                .cycle()
                .take(value_bytes)
                .collect(),
        ),
        headers: Vec::new(),
        timestamp_ms: FIRST_TIMESTAMP_MS + id.cast_signed(),
    };
    ids.map(one).collect()
}

/// An endless, repeatable stream of odd records: null and empty keys and values, repeated and empty header
/// names, null header values, bytes that are no text, timestamps from the first millisecond of 1970 on that
/// jump back, values from nothing to 20 kB, exact repetitions. The seed is printed, for the log of a failed
/// test.
#[derive(Debug)]
pub struct OddRecords {
    random: StdRng,
    partitions: i32,
    last: Option<TestRecord>,
}

impl OddRecords {
    /// A stream with a new seed.
    pub fn new(partitions: i32) -> Self {
        Self::seeded(rand::rng().next_u64(), partitions)
    }

    /// The stream of this seed.
    pub fn seeded(seed: u64, partitions: i32) -> Self {
        eprintln!("odd records: seed {seed}");
        Self {
            random: StdRng::seed_from_u64(seed),
            partitions: partitions.max(1),
            last: None,
        }
    }

    fn bytes(&mut self, most: usize) -> Option<Vec<u8>> {
        match self.random.random_range(0..6) {
            0 => None,
            1 => Some(Vec::new()),
            2 => {
                let mut bytes = vec![0; self.random.random_range(1..=most)];
                self.random.fill_bytes(&mut bytes); // does not compress, is no UTF-8
                Some(bytes)
            }
            _ => Some(vec![b'x'; self.random.random_range(1..=most)]),
        }
    }

    fn headers(&mut self) -> Vec<(String, Option<Vec<u8>>)> {
        const NAMES: [&str; 5] = ["h", "h", "H", "", "ü"];
        let count = self.random.random_range(0..5_usize).saturating_sub(1);
        let name = |this: &mut Self| NAMES[this.random.random_range(0..NAMES.len())].to_owned();
        (0..count).map(|_| (name(self), self.bytes(30))).collect()
    }

    fn timestamp_ms(&mut self) -> i64 {
        match self.random.random_range(0..8) {
            0 => 1,
            1 => 1_000_000_000_000, // 2001
            2 => self.random.random_range(1..4_000_000_000),
            _ => FIRST_TIMESTAMP_MS + self.random.random_range(-1_000_000..1_000_000),
        }
    }
}

impl Iterator for OddRecords {
    type Item = TestRecord;

    fn next(&mut self) -> Option<TestRecord> {
        let again = self.random.random_range(0..20) == 0;
        let record = match self.last.take().filter(|_| again) {
            Some(last) => last,
            None => TestRecord {
                partition: self.random.random_range(0..self.partitions),
                key: self.bytes(60),
                value: self.bytes(20_000),
                headers: self.headers(),
                timestamp_ms: self.timestamp_ms(),
            },
        };
        self.last = Some(record.clone());
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_records_again() {
        let take = || OddRecords::seeded(7, 3).take(500).collect::<Vec<_>>();
        let records = take();
        assert_eq!(records, take());
        let any = |is: fn(&TestRecord) -> bool| records.iter().any(is);
        assert!(any(|r| r.key.is_none()) && any(|r| r.value.is_none()));
        assert!(any(|r| r.value.as_ref().is_some_and(Vec::is_empty)));
        assert!(any(|r| r
            .headers
            .iter()
            .any(|(name, value)| name == "h" && value.is_none())));
        assert!(any(|r| r.timestamp_ms == 1));
        assert!(
            records
                .iter()
                .all(|r| r.timestamp_ms > 0 && (0..3).contains(&r.partition))
        );
    }

    #[test]
    fn numbers_go_round_the_partitions() {
        let records = numbered(10..14, 3, 5);
        assert_eq!(
            records.iter().map(|r| r.partition).collect::<Vec<_>>(),
            [1, 2, 0, 1]
        );
        assert_eq!(records[0].key.as_deref(), Some(&b"10"[..]));
        assert_eq!(records[0].value.as_deref(), Some(&b"10 10"[..]));
    }
}
