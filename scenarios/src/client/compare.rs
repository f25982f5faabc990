//! Are two topics equal, and if not, how do they differ?

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::KafkaClient;
use super::read::Isolation;
use super::record::{ReadRecord, TestRecord};
use crate::Error;

/// The records of a topic in order of their offsets, per partition.
pub type Contents = BTreeMap<i32, Vec<ReadRecord>>;

/// Compares a topic with its copy: partitions, and per partition every record with key, value, headers,
/// timestamp and order. Offsets may differ.
///
/// # Errors
/// [`Error::Differs`] that says per partition how many records are missing, extra, doubled or out of
/// order, and shows the first place where the two part.
pub fn compare(source: &Contents, target: &Contents) -> Result<(), Error> {
    let mut report = Vec::new();
    if !source.keys().eq(target.keys()) {
        report.push(format!(
            "partitions {:?}, copied {:?}",
            ids(source),
            ids(target)
        ));
    }
    for (partition, expected) in source {
        let found = target.get(partition).map_or(&[][..], Vec::as_slice);
        let equal = expected.len() == found.len()
            && expected
                .iter()
                .zip(found)
                .all(|(a, b)| a.record == b.record);
        if !equal {
            report.push(format!("partition {partition}: {}", part(expected, found)));
        }
    }
    if report.is_empty() {
        Ok(())
    } else {
        Err(Error::Differs(report.join("\n")))
    }
}

impl KafkaClient {
    /// Reads `topic` here and `copy` on `target` and compares them; see [`compare`].
    ///
    /// `isolation` is what the flow reads the source with: MM2's default copies aborted records too, as
    /// plain ones.
    ///
    /// # Errors
    /// As [`KafkaClient::read_all`] and [`compare`].
    pub fn check_copy(
        &self,
        topic: &str,
        target: &Self,
        copy: &str,
        isolation: Isolation,
        patience: Duration,
    ) -> Result<(), Error> {
        let source = self.read_all(topic, isolation, patience)?;
        let found = target.read_all(copy, Isolation::ReadCommitted, patience)?;
        compare(&source, &found)
            .map_err(|error| Error::Differs(format!("{topic} -> {copy}: {error}")))
    }
}

/// Says how two unequal lists differ.
fn part(expected: &[ReadRecord], found: &[ReadRecord]) -> String {
    // Per record: how often expected and found, and where it was expected first.
    let mut counts: HashMap<&TestRecord, (usize, usize, usize)> = HashMap::new();
    for (index, read) in expected.iter().enumerate() {
        counts.entry(&read.record).or_insert((0, 0, index)).0 += 1;
    }
    let (mut disordered, mut furthest) = (0, 0);
    for read in found {
        let (wanted, seen, index) = counts.entry(&read.record).or_insert((0, 0, usize::MAX));
        *seen += 1;
        // Where a record stands more than once, its place says nothing.
        if *wanted == 1 && *seen == 1 {
            if *index < furthest {
                disordered += 1;
            }
            furthest = furthest.max(*index);
        }
    }
    let (mut missing, mut extra, mut doubled) = (0, 0, 0);
    for (wanted, seen, _) in counts.into_values() {
        missing += wanted.saturating_sub(seen);
        if wanted == 0 {
            extra += seen;
        } else {
            doubled += seen.saturating_sub(wanted);
        }
    }
    let same = expected
        .iter()
        .zip(found)
        .take_while(|(a, b)| a.record == b.record)
        .count();
    format!(
        "{} records, copied {}: {missing} missing, {extra} extra, {doubled} doubled, {disordered} out of \
         order; first difference at record {same}: expected {:?}, found {:?}",
        expected.len(),
        found.len(),
        expected.get(same),
        found.get(same)
    )
}

fn ids(contents: &Contents) -> Vec<i32> {
    contents.keys().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::numbered;

    fn contents(ids: &[u64]) -> Contents {
        let record = |id: u64| numbered(id..id + 1, 1, 10).remove(0);
        let read = ids.iter().zip(0..).map(|(id, offset)| ReadRecord {
            offset,
            record: record(*id),
        });
        Contents::from([(0, read.collect())])
    }

    fn difference(source: &[u64], target: &[u64]) -> String {
        compare(&contents(source), &contents(target))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn equal_whatever_the_offsets() {
        let mut shifted = contents(&[1, 2, 3]);
        for read in shifted.values_mut().flatten() {
            read.offset += 100;
        }
        compare(&contents(&[1, 2, 3]), &shifted).unwrap();
    }

    #[test]
    fn says_what_differs() {
        let missing = "1 missing, 0 extra, 0 doubled, 0 out of order; first difference at record 1";
        assert!(difference(&[1, 2, 3], &[1, 3]).contains(missing));
        let extra = "0 missing, 1 extra, 0 doubled, 0 out of order; first difference at record 2";
        assert!(difference(&[1, 2], &[1, 2, 9]).contains(extra));
        assert!(difference(&[1, 2], &[1, 1, 2]).contains("0 missing, 0 extra, 1 doubled"));
        assert!(difference(&[1, 2, 3], &[1, 3, 2]).contains("0 doubled, 1 out of order"));
    }

    #[test]
    fn sees_a_header_and_a_missing_partition() {
        let (source, mut target) = (contents(&[1]), contents(&[1]));
        target
            .values_mut()
            .flatten()
            .for_each(|r| r.record.headers.push(("h".to_owned(), None)));
        assert!(compare(&source, &target).is_err());
        assert!(compare(&source, &Contents::new()).is_err());
        assert!(compare(&Contents::new(), &source).is_err());
    }
}
