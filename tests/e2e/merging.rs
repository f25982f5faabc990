//! A producer that does not batch, and a window that is the limit.

use scenarios::client::{Codec, Isolation, WriteOptions, numbered, unique};
use scenarios::{Kind, on_every_kind};

use crate::flows::{Flow, await_copy, stop};

on_every_kind! {
    small_batches_that_wait_are_joined,
}

/// Enough batches of one record to keep a window full for a while.
const RECORDS: u64 = 5_000;

/// Goal: what waits for a slot of the window is joined, and no record changes by it.
/// Method: a backlog of batches of one record, of which five at a time can be on their way; afterwards count
/// the batches in the logs.
fn small_batches_that_wait_are_joined(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let prefix = unique("joined");
    let topics =
        [Codec::None, Codec::Lz4].map(|codec| (format!("{prefix}-{}", codec.name()), codec));
    for (topic, codec) in &topics {
        east.create_topic(topic, 1, 1, &[]).unwrap();
        let options = WriteOptions {
            codec: *codec,
            batch_records_max: 1,
            ..WriteOptions::default()
        };
        east.produce_with(topic, &numbered(0..RECORDS, 1, 200), options)
            .unwrap();
    }
    let flow = Flow::new("joined", pair.east, pair.west, &format!("{prefix}.*"));
    let mut product = flow.run();
    for (topic, _) in &topics {
        let copy = flow.remote(topic);
        await_copy(&east, topic, &west, &copy, Isolation::ReadCommitted);
        let source = pair.east.broker(1).batches(topic, 0).unwrap();
        let target = pair.west.broker(1).batches(&copy, 0).unwrap();
        assert!(
            source >= RECORDS,
            "{topic}: the source has {source} batches for {RECORDS} records"
        );
        assert!(
            target * 2 < source,
            "{copy}: {target} batches for {source} of the source"
        );
    }
    stop(&mut product);
}
