//! `kafka-topics`.

use crate::{Tools, rows, three_brokers};

#[test]
fn topics_are_created_described_altered_and_deleted() {
    let cluster = three_brokers();
    let tools = Tools::of(&cluster);
    let created = tools.ok(
        "TopicCommand",
        "--create --topic orders --partitions 3 --replication-factor 3 --config retention.ms=60000 --config min.insync.replicas=2",
    );
    assert!(created.contains("Created topic orders."));
    let again = tools.fails("TopicCommand", "--create --topic orders");
    assert!(again.contains("Topic 'orders' already exists."));

    let described = tools.ok("TopicCommand", "--describe --topic orders");
    let head = described.lines().next().unwrap();
    assert!(head.contains("PartitionCount: 3\tReplicationFactor: 3"));
    assert!(head.contains("Configs: min.insync.replicas=2,retention.ms=60000"));
    for partition in 0..3 {
        let (leader, epoch) = cluster.leader("orders", partition).unwrap();
        assert_eq!(epoch, 0);
        let mut in_sync = cluster.in_sync("orders", partition).unwrap();
        let row = format!("Partition: {partition}\tLeader: {leader}\tReplicas: ");
        let line = described.lines().find(|line| line.contains(&row)).unwrap();
        let (_, shown) = line.split_once("Isr: ").unwrap();
        let (shown, _) = shown.split_once('\t').unwrap();
        let mut shown: Vec<i32> = shown.split(',').map(|id| id.parse().unwrap()).collect();
        shown.sort_unstable();
        in_sync.sort_unstable();
        assert_eq!(shown, in_sync);
    }

    cluster.broker(2).unwrap().stop().unwrap();
    let under = tools.ok(
        "TopicCommand",
        "--describe --under-replicated-partitions --topic orders",
    );
    assert_eq!(rows(&under, &["Topic:", "orders"]).len(), 3);
    assert!(!under.contains("Leader: 2"), "{under}");
    cluster.broker(2).unwrap().start().unwrap();

    tools.ok("TopicCommand", "--alter --topic orders --partitions 5");
    let fewer = tools.fails("TopicCommand", "--alter --topic orders --partitions 4");
    assert!(fewer.contains("would not be an increase"), "{fewer}");
    let listed = tools.ok("TopicCommand", "--list");
    assert_eq!(listed.lines().collect::<Vec<_>>(), ["orders"]);
    tools.ok("TopicCommand", "--delete --topic orders");
    let gone = tools.fails("TopicCommand", "--describe --topic orders");
    assert!(gone.contains("Topic 'orders' does not exist as expected"));
}
