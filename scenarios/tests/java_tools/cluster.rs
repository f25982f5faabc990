//! Tools about brokers: versions, features, quorum, directories, elections, reassignments.

use scenarios::await_that;
use scenarios::client::{KafkaClient, numbered};

use crate::{PATIENCE, Tools, rows, three_brokers};

#[test]
fn a_cluster_describes_itself() {
    let cluster = three_brokers();
    let tools = Tools::of(&cluster);
    let client = KafkaClient::connect(&cluster.bootstrap()).unwrap();
    client.create_topic("orders", 1, 3, &[]).unwrap();
    client.produce("orders", &numbered(0..10, 1, 100)).unwrap();

    let output = tools.ok("ClusterTool", "cluster-id");
    assert_eq!(
        output.trim(),
        format!("Cluster ID: {}", cluster.cluster_id())
    );
    let output = tools.ok("ClusterTool", "list-endpoints");
    for id in ["1", "2", "3"] {
        assert_eq!(rows(&output, &[id])[0][4], "unfenced", "{output}");
    }
    let output = tools.ok("BrokerApiVersionsCommand", "");
    assert_eq!(
        output
            .matches("ListOffsets(2): 1 to 11 [usable: 11]")
            .count(),
        3,
        "{output}"
    );
    let output = tools.ok("FeatureCommand", "describe");
    let row = &rows(&output, &["Feature:", "transaction.version"])[0];
    assert_eq!(row[7], "2", "{output}");
    let output = tools.ok("MetadataQuorumCommand", "describe --status");
    assert!(
        output.contains(&format!("ClusterId:              {}", cluster.cluster_id())),
        "{output}"
    );
    let output = tools.ok("LogDirsCommand", "--describe --topic-list orders");
    assert_eq!(
        output.matches(r#""partition":"orders-0""#).count(),
        3,
        "{output}"
    );
}

#[test]
fn leaders_are_elected_and_replicas_moved() {
    let cluster = three_brokers();
    let tools = Tools::of(&cluster);
    let client = KafkaClient::connect(&cluster.bootstrap()).unwrap();
    client.create_topic("moved", 1, 3, &[]).unwrap();
    client.produce("moved", &numbered(0..10, 1, 100)).unwrap();
    let (preferred, _) = cluster.leader("moved", 0).unwrap();
    let other = preferred % 3 + 1;
    cluster.move_leader("moved", 0, other).unwrap();
    let elect = "--election-type preferred --topic moved --partition 0";
    let output = tools.ok("LeaderElectionCommand", elect);
    assert!(
        output
            .contains("Successfully completed leader election (PREFERRED) for partitions moved-0"),
        "{output}"
    );
    assert_eq!(cluster.leader("moved", 0).unwrap().0, preferred);
    let output = tools.ok("LeaderElectionCommand", elect);
    assert!(
        output.contains("Valid replica already elected for partitions moved-0"),
        "{output}"
    );

    let plan = format!(
        r#"{{"version":1,"partitions":[{{"topic":"moved","partition":0,"replicas":[{other}]}}]}}"#
    );
    let file = format!(
        "--reassignment-json-file {}",
        tools.java.file("plan.json", &plan).unwrap()
    );
    let output = tools.ok(
        "reassign.ReassignPartitionsCommand",
        &format!("--execute --throttle 1000000 {file}"),
    );
    assert!(
        output.contains("Successfully started partition reassignment for moved-0"),
        "{output}"
    );
    await_that("the new leader", PATIENCE, || {
        cluster
            .leader("moved", 0)
            .is_ok_and(|(leader, _)| leader == other)
    })
    .unwrap();
    let output = tools.ok(
        "reassign.ReassignPartitionsCommand",
        &format!("--verify {file}"),
    );
    assert!(
        output.contains("Reassignment of partition moved-0 is completed."),
        "{output}"
    );
    assert!(
        output.contains("Clearing topic-level throttles on topic moved"),
        "{output}"
    );
    let output = tools.ok("reassign.ReassignPartitionsCommand", "--list");
    assert!(
        output.contains("No partition reassignments found."),
        "{output}"
    );
    assert_eq!(cluster.in_sync("moved", 0).unwrap(), [other]);
    assert_eq!(client.end_offsets("moved").unwrap(), [10]);
}
