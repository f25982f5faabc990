//! `kafka-transactions`.

use embedded::{EmbeddedCluster, Settings};
use scenarios::client::{KafkaClient, numbered};
use scenarios::server_properties;

use crate::{Tools, rows};

const TOOL: &str = "TransactionsCommand";

#[test]
fn transactions_are_listed_described_and_found_hanging() {
    let cluster = EmbeddedCluster::start_with(Settings {
        brokers: 3,
        properties: server_properties(3, &[("transaction.max.timeout.ms", "3600000")]),
        ..Settings::default()
    })
    .unwrap();
    let tools = Tools::of(&cluster);
    let client = KafkaClient::connect(&cluster.bootstrap()).unwrap();
    client.create_topic("paid", 1, 3, &[]).unwrap();
    let done = client.transactional("done").unwrap();
    done.begin().unwrap();
    done.produce("paid", &numbered(0..10, 1, 10)).unwrap();
    done.commit().unwrap();
    let open = client.transactional("open").unwrap();
    open.begin().unwrap();
    open.produce("paid", &numbered(10..20, 1, 10)).unwrap();

    let listed = tools.ok(TOOL, "list");
    assert_eq!(rows(&listed, &["done"])[0][3], "CompleteCommit", "{listed}");
    let row = &rows(&listed, &["open"])[0];
    assert_eq!(row[3], "Ongoing", "{listed}");
    let producer = row[2].clone();
    let listed = tools.ok(TOOL, "list --transactional-id-pattern d.*");
    assert_eq!(
        (
            rows(&listed, &["done"]).len(),
            rows(&listed, &["open"]).len()
        ),
        (1, 0)
    );

    let described = tools.ok(TOOL, "describe --transactional-id open");
    let row = described
        .lines()
        .find(|line| line.contains("Ongoing"))
        .unwrap();
    assert!(
        row.contains("paid-0") && row.contains(&producer),
        "{described}"
    );
    let producers = tools.ok(TOOL, "describe-producers --topic paid --partition 0");
    // Producer, epoch, coordinator epoch, last sequence, last timestamp, start of its transaction.
    assert_eq!(
        rows(&producers, &[&producer])[0].last().unwrap(),
        "11",
        "{producers}"
    );
    let hanging = tools.ok(TOOL, "find-hanging --topic paid");
    assert!(
        rows(&hanging, &["paid"]).is_empty(),
        "its coordinator knows it: {hanging}"
    );
    let hanging = tools.ok(TOOL, "find-hanging --broker-id 1");
    assert!(
        !hanging.contains("ERROR"),
        "followers answer too: {hanging}"
    );
    open.abort().unwrap();
    let listed = tools.ok(TOOL, "list");
    assert_eq!(rows(&listed, &["open"])[0][3], "CompleteAbort", "{listed}");
}
