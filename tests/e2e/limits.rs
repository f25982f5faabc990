//! What does not fit, and what is there no more.

use scenarios::client::{numbered, unique};
use scenarios::{Kind, on_every_kind};

use crate::flows::{Flow, PATIENCE, await_exact, await_ids, read, stop};

on_every_kind! {
    remote_topic_with_a_smaller_limit,
    source_deleted_records_while_stopped,
}

/// Goal: batches that are larger than the remote topic's limit are split; a single record that is larger stops its
/// partition, which says so, and no other.
fn remote_topic_with_a_smaller_limit(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("small");
    east.create_topic(&topic, 2, 1, &[]).unwrap();
    let flow =
        Flow::new("small", pair.east, pair.west, &topic).with("sync.topic.configs.enabled = false");
    let copy = flow.remote(&topic);
    west.create_topic(&copy, 2, 1, &[("max.message.bytes", "20000")])
        .unwrap();
    // One write is one batch of 100 kB in each partition.
    east.produce(&topic, &numbered(0..2_000, 2, 100)).unwrap();
    let mut product = flow.run();
    await_exact(&west, &copy, 0..2_000);
    let mut large = numbered(2_001..2_002, 2, 50_000);
    assert_eq!(large[0].partition, 1);
    large.extend(numbered(2_003..2_004, 2, 100));
    east.produce(&topic, &large).unwrap();
    product
        .await_output("halted: an operator has to decide", PATIENCE)
        .unwrap();
    let line = product
        .output()
        .lines()
        .find(|line| line.contains("halted: an operator"))
        .unwrap()
        .to_owned();
    assert!(
        line.contains(&format!("{topic}-1")) && line.contains("max.message.bytes"),
        "{line}"
    );
    // Even ids are partition 0.
    let more: Vec<_> = numbered(2_004..4_000, 2, 100)
        .into_iter()
        .filter(|record| record.partition == 0)
        .collect();
    east.produce(&topic, &more).unwrap();
    scenarios::await_ok("partition 0 goes on", PATIENCE, || {
        let found = read(&west, &copy)[&0].len();
        if found == 1_000 + more.len() {
            Ok(())
        } else {
            Err(found)
        }
    })
    .unwrap();
    assert_eq!(
        read(&west, &copy)[&1].len(),
        1_000,
        "nothing behind the record that does not fit"
    );
    stop(&mut product);
}

/// Goal: records that the source deleted while the flow was stopped: it goes on at the log start and tells how many.
fn source_deleted_records_while_stopped(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("deleted");
    east.create_topic(&topic, 1, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..1_000, 1, 50)).unwrap();
    let flow = Flow::new("deleted", pair.east, pair.west, &topic);
    let mut product = flow.run();
    await_exact(&west, &flow.remote(&topic), 0..1_000);
    stop(&mut product);
    east.produce(&topic, &numbered(1_000..2_000, 1, 50))
        .unwrap();
    east.delete_records(&topic, &[(0, 1_500)]).unwrap();
    product.restart().unwrap();
    await_ids(&west, &flow.remote(&topic), 1_500..2_000);
    stop(&mut product);
    let found = scenarios::client::tally(&read(&west, &flow.remote(&topic)), 0..2_000);
    assert_eq!(
        (
            found.lost,
            found.first_lost,
            found.doubled,
            found.disordered
        ),
        (500, Some(1_000), 0, 0),
        "{found}"
    );
    let output = product.output();
    let line = output
        .lines()
        .find(|line| line.contains("records were deleted on the source before they were copied"));
    assert!(
        line.is_some_and(|line| line.contains("records=500") && line.contains(&topic)),
        "{line:?}"
    );
}
