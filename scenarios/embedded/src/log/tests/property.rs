//! Whatever is sent, the log stays in order and every offset is found.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Records, codec, producer, and how far from the expected sequence.
    Send {
        count: i32,
        codec: usize,
        producer: i64,
        skip: i32,
        transactional: bool,
    },
    /// A batch that row 10 refuses, or 10b when compressed.
    Gap {
        codec: usize,
        patched: bool,
    },
    Resend,
    Marker {
        producer: i64,
        commit: bool,
    },
    Roll,
    Hold(Option<i64>),
    Truncate(i64),
    Restart,
    Delete(i64),
    Retain,
    Compact,
}

fn step() -> impl Strategy<Value = Step> {
    let send = (
        1..6i32,
        0..5usize,
        -1..3i64,
        prop_oneof![8 => Just(0), 1 => -2..3i32],
        any::<bool>(),
    );
    prop_oneof![
        12 => send.prop_map(|(count, codec, producer, skip, transactional)| {
            Step::Send { count, codec, producer, skip, transactional }
        }),
        2 => (1..5usize, any::<bool>()).prop_map(|(codec, patched)| Step::Gap { codec, patched }),
        2 => Just(Step::Resend),
        2 => (0..3i64, any::<bool>()).prop_map(|(producer, commit)| Step::Marker { producer, commit }),
        2 => Just(Step::Roll),
        1 => prop::option::of(0..60i64).prop_map(Step::Hold),
        1 => (0..60i64).prop_map(Step::Truncate),
        1 => Just(Step::Restart),
        1 => (-1..40i64).prop_map(Step::Delete),
        1 => Just(Step::Retain),
        1 => Just(Step::Compact),
    ]
}

/// Next sequence of a producer, as the log says.
fn next_sequence(log: &Log, producer: i64) -> i32 {
    let producers = log.producers();
    producers
        .iter()
        .find(|p| p.producer_id == producer)
        .map_or(0, |p| p.last_sequence + 1)
}

fn send(t: &mut Partition, sent: &Sent) -> Result<(), TestCaseError> {
    let (end, bytes) = (t.log.end_offset(), t.log.bytes());
    match t.send(sent) {
        Ok(appended) if appended.duplicate => {
            prop_assert!(appended.last_offset < end);
            prop_assert_eq!((t.log.end_offset(), t.log.bytes()), (end, bytes));
        }
        Ok(appended) => {
            let count = sent.records.len() as i64;
            prop_assert_eq!(
                (appended.base_offset, appended.last_offset),
                (end, end + count - 1)
            );
            prop_assert_eq!(t.log.end_offset(), end + count);
        }
        Err(_) => prop_assert_eq!((t.log.end_offset(), t.log.bytes()), (end, bytes)),
    }
    Ok(())
}

/// Batches in order; offsets in order; every offset is found, in the batch that holds it or the next.
fn check(t: &Partition, dense: bool) -> Result<(), TestCaseError> {
    let (start, end) = (t.log.start_offset(), t.log.end_offset());
    let batches = t.batches();
    let mut next = batches.first().map_or(end, |b| b.header.base_offset());
    prop_assert!(!dense || next <= start);
    for batch in &batches {
        let header = &batch.header;
        prop_assert!(header.base_offset() >= next, "overlap at {}", next);
        prop_assert!(!dense || header.base_offset() == next, "hole at {}", next);
        next = header.next_offset();
        let offsets: Vec<_> = seen(batch)
            .into_iter()
            .map(|(offset, _, _)| offset)
            .collect();
        prop_assert!(offsets.is_sorted_by(|a, b| a < b));
    }
    prop_assert!(next <= end && (!dense || next == end));
    prop_assert!(t.log.last_stable_offset() <= t.log.high_watermark());
    prop_assert!(t.log.high_watermark() <= end);
    prop_assert_eq!(
        t.log.bytes(),
        t.log.batches().map(|b| b.len() as u64).sum::<u64>()
    );
    for offset in start..=end {
        let slice = t.log.read(offset, 1, true, Isolation::LogEnd).unwrap();
        let found = cut(&slice.records).first().map(|b| b.header.base_offset());
        let wanted = batches.iter().find(|b| b.header.last_offset() >= offset);
        prop_assert_eq!(
            found,
            wanted.map(|b| b.header.base_offset()),
            "read at {}",
            offset
        );
        let limits = [
            (Isolation::Uncommitted, t.log.high_watermark()),
            (Isolation::Committed, t.log.last_stable_offset()),
        ];
        for (isolation, limit) in limits {
            let slice = t.log.read(offset, 200, false, isolation).unwrap();
            prop_assert!(slice.records.len() <= 200);
            let whole = t.log.read(offset, ALL, true, isolation).unwrap();
            prop_assert!(
                cut(&whole.records)
                    .iter()
                    .all(|b| b.header.last_offset() < limit)
            );
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_log_stays_in_order(steps in prop::collection::vec(step(), 1..60), compacted in any::<bool>()) {
        let mut t = if compacted { Partition::compacted() } else { Partition::new() };
        t.settings.segment_bytes = 600;
        t.settings.retention_bytes = 2000;
        let (mut last, mut dense) = (Sent::records(1), true);
        for step in steps {
            t.now_ms += 1000;
            match step {
                Step::Send { count, codec, producer, skip, transactional } => {
                    const KEYS: [&str; 6] = ["a", "b", "c", "a", "d", "e"];
                    let keys: Vec<_> = (0..count as usize).map(|n| KEYS[(n + codec) % 6]).collect();
                    let mut sent = Sent::keys(&keys).at(t.now_ms).codec(Codec::ALL[codec]);
                    if producer >= 0 {
                        sent = sent.by(producer, 0, (next_sequence(&t.log, producer) + skip).max(0));
                        if transactional {
                            sent = sent.transactional();
                        }
                    }
                    send(&mut t, &sent)?;
                    last = sent;
                }
                Step::Gap { codec, patched } => {
                    let sent = Sent::records(2).deltas(&[0, 2]).codec(Codec::ALL[codec]);
                    let gap = Sent { last_offset_delta: (!patched).then_some(2), ..sent };
                    t.refused(&gap);
                }
                Step::Resend => send(&mut t, &last)?,
                Step::Marker { producer, commit } => {
                    let end = t.log.end_offset();
                    prop_assert_eq!(t.marker(producer, 0, commit), end);
                }
                Step::Roll => t.log.roll(),
                Step::Hold(at) => t.log.hold_high_watermark(at),
                Step::Truncate(offset) => {
                    let inside = t.batches().iter().any(|b| {
                        b.header.base_offset() < offset && b.header.last_offset() >= offset
                    });
                    if !inside {
                        t.log.truncate_to(offset); // replicas cut at batches
                    }
                }
                Step::Restart => t.log.restart(t.now_ms, HOUR_MS),
                Step::Delete(before) => drop(t.log.delete_records(before)),
                Step::Retain => drop(t.log.retain(&t.settings, t.now_ms)),
                Step::Compact => {
                    t.log.compact(&t.settings, t.now_ms, true);
                    dense &= !compacted;
                }
            }
            check(&t, dense)?;
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        at in 0..120usize,
        value in any::<u8>(),
        repair in any::<bool>(),
    ) {
        let mut t = Partition::new();
        t.send_bytes(Some(bytes.clone().into())).unwrap_err();
        let mut sent = Sent::records(3).codec(Codec::ALL[usize::from(value) % 5]).bytes().to_vec();
        if let Some(byte) = sent.get_mut(at) {
            *byte = value;
        }
        if repair {
            super::super::assemble::checksum_in_place(&mut sent);
        }
        let result = t.send_bytes(Some(sent.into()));
        prop_assert_eq!(result.is_ok(), t.log.end_offset() > 0);
        for offset in 0..=t.log.end_offset() {
            t.log.read(offset, ALL, true, Isolation::Committed).unwrap();
        }
        t.log.compact(&LogSettings { cleanup_compact: true, ..LogSettings::default() }, NOW_MS, true);
        t.log.offset_for_timestamp(0, Isolation::LogEnd).ok();
        t.log.max_timestamp(Isolation::Uncommitted).ok();
    }
}
