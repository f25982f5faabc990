//! `kafka-consumer-groups` and `kafka-groups`.

use std::collections::BTreeMap;

use scenarios::await_that;
use scenarios::client::{KafkaClient, numbered};

use crate::{PATIENCE, Tools, rows, three_brokers};

const TOOL: &str = "consumer.group.ConsumerGroupCommand";

#[test]
fn members_of_both_protocols_are_described() {
    let cluster = three_brokers();
    let tools = Tools::of(&cluster);
    let client = KafkaClient::connect(&cluster.bootstrap()).unwrap();
    client.create_topic("read", 2, 3, &[]).unwrap();
    client.produce("read", &numbered(0..100, 2, 10)).unwrap();
    let consumers = ["classic", "consumer"].map(|protocol| {
        let arguments = [
            "--bootstrap-server",
            &cluster.bootstrap(),
            "--topic",
            "read",
            "--group-id",
            protocol,
            "--group-protocol",
            protocol,
            "--reset-policy",
            "earliest",
        ];
        let class = "org.apache.kafka.tools.VerifiableConsumer";
        (protocol, tools.java.start(class, &arguments).unwrap())
    });
    for (protocol, _) in &consumers {
        await_that(&format!("commits of {protocol}"), PATIENCE, || {
            let committed = client.committed(protocol, "read").unwrap_or_default();
            committed.values().sum::<i64>() == 100
        })
        .unwrap();
    }
    let listed = tools.ok(TOOL, "--list --state");
    for (protocol, _) in &consumers {
        assert_eq!(rows(&listed, &[protocol])[0][1], "Stable", "{listed}");
        let members = tools.ok(
            TOOL,
            &format!("--describe --group {protocol} --members --verbose"),
        );
        let rows_found = rows(&members, &[protocol]);
        let row = &rows_found[0];
        assert_eq!(
            (row[2].as_str(), row[3].as_str(), row[4].as_str()),
            ("/127.0.0.1", format!("consumer-{protocol}-1").as_str(), "2")
        );
        assert!(row.contains(&"read:0,1".to_owned()), "{members}");
        let offsets = tools.ok(TOOL, &format!("--describe --group {protocol}"));
        for partition in ["0", "1"] {
            let row = &rows(&offsets, &[protocol, "read", partition])[0];
            assert_eq!(row[3..6], ["50", "50", "0"], "{offsets}");
        }
        let refused = tools
            .run(
                TOOL,
                &format!("--reset-offsets --group {protocol} --topic read --to-earliest --execute"),
            )
            .output;
        assert!(
            refused.contains("Assignments can only be reset if the group")
                && refused.contains("is inactive"),
            "{refused}"
        );
        let refused = tools
            .run(TOOL, &format!("--delete --group {protocol}"))
            .output;
        assert!(refused.contains("GroupNotEmptyException"), "{refused}");
    }
    let groups = tools.ok("GroupsCommand", "--list");
    assert_eq!(
        rows(&groups, &["classic"])[0][1..],
        ["Classic", "consumer"],
        "{groups}"
    );
    assert_eq!(
        rows(&groups, &["consumer"])[0][1..],
        ["Consumer", "consumer"],
        "{groups}"
    );
    for (_, mut consumer) in consumers {
        consumer.terminate(PATIENCE).unwrap();
    }
    let states = tools.ok(TOOL, "--describe --all-groups --state");
    for protocol in ["classic", "consumer"] {
        let found = rows(&states, &[protocol]);
        assert!(found[0].contains(&"Empty".to_owned()), "{states}");
    }
}

#[test]
fn offsets_are_reset_and_deleted() {
    let cluster = three_brokers();
    let tools = Tools::of(&cluster);
    let client = KafkaClient::connect(&cluster.bootstrap()).unwrap();
    client.create_topic("reset", 2, 3, &[]).unwrap();
    client.produce("reset", &numbered(0..100, 2, 10)).unwrap();
    client
        .commit_offsets("readers", "reset", &[(0, 30), (1, 40)])
        .unwrap();
    let committed = || -> Vec<i64> {
        let offsets: BTreeMap<i32, i64> = client.committed("readers", "reset").unwrap();
        offsets.into_values().collect()
    };
    let reset = |how: &str| {
        tools.ok(
            TOOL,
            &format!("--reset-offsets --group readers --topic reset {how}"),
        )
    };
    let planned = reset("--to-earliest --dry-run");
    assert_eq!(
        rows(&planned, &["readers", "reset", "0"])[0][3],
        "0",
        "{planned}"
    );
    assert_eq!(committed(), [30, 40], "only planned");
    // Records 0, 2, 4... lie in partition 0, one millisecond apart from the next partition's.
    for (how, expected) in [
        ("--to-earliest", [0, 0]),
        ("--to-offset 7", [7, 7]),
        ("--shift-by 5", [12, 12]),
        ("--shift-by -20", [0, 0]),
        ("--to-latest", [50, 50]),
        ("--to-datetime 2023-11-14T22:13:20.050Z", [25, 25]),
        ("--to-datetime 2030-01-01T00:00:00.000", [50, 50]),
        ("--by-duration P7300D", [0, 0]),
        ("--to-current", [0, 0]),
    ] {
        let output = reset(&format!("{how} --execute"));
        for (partition, offset) in ["0", "1"].into_iter().zip(expected) {
            assert_eq!(
                rows(&output, &["readers", "reset", partition])[0][3],
                offset.to_string(),
                "{how}: {output}"
            );
        }
        assert_eq!(committed(), expected, "{how}");
    }
    let plan = tools.ok(
        TOOL,
        "--reset-offsets --group readers --topic reset:1 --to-offset 9 --export",
    );
    assert!(plan.contains("reset,1,9"), "{plan}");
    let file = tools
        .java
        .file("plan.csv", "reset,0,3\nreset,1,4\n")
        .unwrap();
    tools.ok(
        TOOL,
        &format!("--reset-offsets --group readers --from-file {file} --execute"),
    );
    assert_eq!(committed(), [3, 4]);
    tools.ok(
        TOOL,
        "--reset-offsets --group fresh --topic reset --to-offset 2 --execute",
    );
    assert_eq!(
        client.committed("fresh", "reset").unwrap(),
        BTreeMap::from([(0, 2), (1, 2)])
    );

    let output = tools.ok(TOOL, "--delete-offsets --group readers --topic reset:0");
    assert!(
        output.contains("Request succeeded for deleting offsets from group readers."),
        "{output}"
    );
    let described = tools.ok(TOOL, "--describe --group readers");
    assert!(
        rows(&described, &["readers", "reset", "0"]).is_empty(),
        "{described}"
    );
    let output = tools.ok(TOOL, "--delete --group readers --group fresh");
    assert!(
        output.contains("Deletion of requested consumer groups"),
        "{output}"
    );
    let gone = tools.run(TOOL, "--describe --group readers");
    assert!(
        gone.output
            .contains("GroupIdNotFoundException: Group readers not found."),
        "{}",
        gone.output
    );
}
