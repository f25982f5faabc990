//! Source topics that are not plain: compacted, stamped by the broker, transactional.

use scenarios::client::{Contents, Isolation, KafkaClient, TestRecord, numbered, unique};
use scenarios::{Kind, await_ok, on_every_kind};

use crate::flows::{
    Flow, PATIENCE, await_contents, await_copy, check_contents, read, stop, stored_positions,
};

/// Configs of a topic that is compacted within seconds.
pub(crate) const QUICK_COMPACTION: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.ms", "1000"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("max.compaction.lag.ms", "2000"),
];

on_every_kind! {
    compacted_source,
    log_append_time_source,
    transactional_source_read_uncommitted,
    transactional_source_read_committed,
    large_transactions_read_committed,
}

const PARTITIONS: i32 = 2;

/// Goal: the copy of a compacted topic (holes between and inside batches, tombstones, empty batches) equals it, and a
/// restart copies nothing twice. Method: a broker that cleans twice a second; the offsets show that there are holes.
fn compacted_source(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let source = kind
        .start("compacting", 1, &[("log.cleaner.backoff.ms", "500")])
        .unwrap();
    let (east, west) = (source.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("compacted");
    east.create_topic(&topic, PARTITIONS, 1, &QUICK_COMPACTION)
        .unwrap();
    let mut round = 0;
    await_ok("holes in both partitions", PATIENCE, || {
        east.produce(&topic, &keyed(round)).unwrap();
        round += 1;
        let holes = holes(&read(&east, &topic));
        if round > 5 && holes.len() == 2 && holes.iter().all(|(between, _)| *between > 300) {
            Ok(())
        } else {
            Err(format!(
                "(missing offsets, runs of them) per partition: {holes:?}"
            ))
        }
    })
    .unwrap();
    // From here on the source stays as it is, and so must the copy, whose configs would be the same.
    east.set_topic_config(&topic, &[("cleanup.policy", "delete")])
        .unwrap();
    let flow = Flow::new("cp", &*source, pair.west, &topic).with("config.properties.exclude = .*");
    let mut product = flow.run();
    await_copy(
        &east,
        &topic,
        &west,
        &flow.remote(&topic),
        Isolation::ReadCommitted,
    );
    let tombstones = read(&east, &topic)
        .values()
        .flatten()
        .filter(|read| read.record.value.is_none())
        .count();
    assert!(tombstones > 0, "the cleaner left no tombstone to copy");
    go_on_after_restart(
        &mut product,
        &flow,
        &east,
        &topic,
        &west,
        Isolation::ReadCommitted,
    );
}

/// Goal: the copy of a LogAppendTime topic has the timestamps that consumers of the source see.
fn log_append_time_source(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("appended");
    east.create_topic(
        &topic,
        PARTITIONS,
        1,
        &[("message.timestamp.type", "LogAppendTime")],
    )
    .unwrap();
    let written = numbered(0..2_000, PARTITIONS, 100);
    east.produce(&topic, &written).unwrap();
    let seen = read(&east, &topic);
    assert!(
        seen.values()
            .flatten()
            .all(|read| read.record.timestamp_ms > written[1_999].timestamp_ms)
    );
    let flow = Flow::new("la", pair.east, pair.west, &topic);
    let mut product = flow.run();
    await_contents(&seen, &west, &flow.remote(&topic));
    let config = west.topic_config(&flow.remote(&topic)).unwrap();
    assert!(
        !config.contains_key("message.timestamp.type"),
        "MM2 does not sync it: {config:?}"
    );
    go_on_after_restart(
        &mut product,
        &flow,
        &east,
        &topic,
        &west,
        Isolation::ReadCommitted,
    );
}

/// Goal: as MM2 does by default, aborted records are copied as plain ones, and none waits for the end of a transaction.
fn transactional_source_read_uncommitted(kind: Kind) {
    transactional(kind, Isolation::ReadUncommitted, "read_uncommitted");
}

/// Goal: with `consumer.isolation.level=read_committed` the copy holds what was committed, up to the last stable offset.
fn transactional_source_read_committed(kind: Kind) {
    transactional(kind, Isolation::ReadCommitted, "read_committed");
}

/// Goal: aborted transactions that are larger than a fetch and interleaved with committed and plain records, read by a
/// flow that is stopped and started in the middle of them.
fn large_transactions_read_committed(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("large-transactions");
    east.create_topic(&topic, 1, 1, &[]).unwrap();
    let (aborted, committed) = (
        east.transactional(&format!("{topic}-a")).unwrap(),
        east.transactional(&format!("{topic}-b")).unwrap(),
    );
    // Two megabytes of each kind in every round, in turns of 200 kB: ids modulo 3 tell the kind.
    for round in 0..3 {
        aborted.begin().unwrap();
        committed.begin().unwrap();
        for turn in 0..10 {
            let first = (round * 10 + turn) * 600;
            let ids = |kind: u64| numbered(first + kind * 200..first + kind * 200 + 200, 1, 1_000);
            aborted.produce(&topic, &ids(0)).unwrap();
            committed.produce(&topic, &ids(1)).unwrap();
            east.produce(&topic, &ids(2)).unwrap();
        }
        aborted.abort().unwrap();
        committed.commit().unwrap();
    }
    let expected = east
        .read_all(&topic, Isolation::ReadCommitted, PATIENCE)
        .unwrap();
    assert_eq!(expected[&0].len(), 12_000, "committed and plain records");
    let flow = Flow::new("large", pair.east, pair.west, &topic)
        .with("SOURCE.consumer.isolation.level = read_committed");
    let copy = flow.remote(&topic);
    let mut product = flow.run();
    for records in [1, 3_000, 7_000] {
        await_ok(
            &format!("{records} records in {copy}"),
            PATIENCE,
            || match west.end_offsets(&copy) {
                Ok(ends) if ends.iter().sum::<i64>() >= records => Ok(()),
                other => Err(format!("{other:?}")),
            },
        )
        .unwrap();
        stop(&mut product);
        product.restart().unwrap();
    }
    await_contents(&expected, &west, &copy);
    stop(&mut product);
    check_contents(&expected, &west, &copy);
}

fn transactional(kind: Kind, isolation: Isolation, level: &str) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique(level);
    east.create_topic(&topic, PARTITIONS, 1, &[]).unwrap();
    let writers = [
        east.transactional(&format!("{topic}-a")).unwrap(),
        east.transactional(&format!("{topic}-b")).unwrap(),
    ];
    let flow = Flow::new(&level.replace('_', "-"), pair.east, pair.west, &topic)
        .with(&format!("SOURCE.consumer.isolation.level = {level}"));
    let mut product = flow.run();
    // Two transactions and plain records at a time, interleaved, so that aborted, committed and plain lie side by side.
    for (round, commits) in [
        (0, [true, false]),
        (1, [false, false]),
        (2, [true, true]),
        (3, [false, true]),
    ] {
        let first = round * 600;
        for writer in &writers {
            writer.begin().unwrap();
        }
        for (part, ids) in (0..6).map(|part| (part, first + part * 100..first + part * 100 + 100)) {
            match part % 3 {
                2 => east
                    .produce(&topic, &numbered(ids, PARTITIONS, 50))
                    .unwrap(),
                which => writers[usize::try_from(which).unwrap()]
                    .produce(&topic, &numbered(ids, PARTITIONS, 50))
                    .unwrap(),
            }
        }
        for (writer, commit) in writers.iter().zip(commits) {
            if commit {
                writer.commit().unwrap()
            } else {
                writer.abort().unwrap()
            }
        }
    }
    let copy = flow.remote(&topic);
    await_copy(&east, &topic, &west, &copy, isolation);
    // An open transaction holds up readers of committed records, and nobody else.
    writers[0].begin().unwrap();
    writers[0]
        .produce(&topic, &numbered(2_400..2_500, PARTITIONS, 50))
        .unwrap();
    east.produce(&topic, &numbered(2_500..2_600, PARTITIONS, 50))
        .unwrap();
    await_copy(&east, &topic, &west, &copy, isolation);
    // Stopped inside it, too.
    go_on_after_restart(&mut product, &flow, &east, &topic, &west, isolation);
    product.restart().unwrap();
    writers[0].commit().unwrap();
    let all = east.read_all(&topic, isolation, PATIENCE).unwrap();
    let count: usize = all.values().map(Vec::len).sum();
    let aborted = if isolation == Isolation::ReadCommitted {
        4 * 200
    } else {
        0
    };
    assert_eq!(
        count,
        2_600 + 200 - aborted,
        "what consumers of the source read"
    );
    await_contents(&all, &west, &copy);
    stop(&mut product);
    check_contents(&all, &west, &copy);
}

/// Stops, writes 200 more records, starts again: the copy equals the source, so that nothing came twice and nothing is
/// missing; the stored positions are Connect's and reach the last record.
fn go_on_after_restart(
    product: &mut scenarios::Product,
    flow: &Flow,
    east: &KafkaClient,
    topic: &str,
    west: &KafkaClient,
    isolation: Isolation,
) {
    stop(product);
    east.produce(topic, &numbered(1_000_000..1_000_200, PARTITIONS, 50))
        .unwrap();
    product.restart().unwrap();
    let expected = east.read_all(topic, isolation, PATIENCE).unwrap();
    await_contents(&expected, west, &flow.remote(topic));
    stop(product);
    check_contents(&expected, west, &flow.remote(topic));
    let (stored, ends) = (
        stored_positions(west, flow, topic),
        east.end_offsets(topic).unwrap(),
    );
    for (partition, records) in &expected {
        let (last, end) = (
            records.last().unwrap().offset,
            ends[usize::try_from(*partition).unwrap()],
        );
        let position = stored.get(partition).copied();
        assert!(
            // The client tells the last stable offset, so the last record may lie beyond its end.
            position.is_some_and(|position| (last..end.max(last + 1)).contains(&position)),
            "{topic}-{partition}: stored {position:?}, last copied record {last}, log end {end}"
        );
    }
}

/// 400 records in two partitions: a quarter has keys of this round, which stay, the others keys of every round; every
/// fifth is a tombstone.
pub(crate) fn keyed(round: usize) -> Vec<TestRecord> {
    let mut records = numbered(0..400, PARTITIONS, 30);
    for (index, record) in records.iter_mut().enumerate() {
        let key = match index % 8 {
            0 | 1 => format!("round {round}, {index}"),
            _ => format!("key {}", index % 40),
        };
        record.key = Some(key.into_bytes());
        // Segments are rolled by the records' own time.
        record.timestamp_ms += 5_000 * i64::try_from(round).unwrap();
        if (index + round).is_multiple_of(5) {
            record.value = None;
        }
    }
    records
}

/// Per partition: how many offsets are missing between the first and the last record, and in how many places.
fn holes(contents: &Contents) -> Vec<(i64, usize)> {
    let count = |records: &Vec<scenarios::client::ReadRecord>| {
        let steps: Vec<i64> = records
            .windows(2)
            .map(|pair| pair[1].offset - pair[0].offset - 1)
            .collect();
        (
            steps.iter().sum(),
            steps.iter().filter(|step| **step > 0).count(),
        )
    };
    contents.values().map(count).collect()
}
