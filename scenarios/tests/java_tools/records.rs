//! Producers and consumers, and the tools about offsets.

use scenarios::client::{Isolation, KafkaClient};

use crate::{PATIENCE, Tools, three_brokers};

/// Five records of two headers, key and value.
const LINES: &str =
    "h1:v1,h2:v2\tk1\tone\nh1:v3\tk2\ttwo\nh1:\tk3\tNULL\nh1:v1,h1:v2\tk1\tfour\nh1:v1\tk5\tfive\n";

const KEYED: &str = "--topic records --reader-property parse.key=true --reader-property parse.headers=true \
                     --reader-property null.marker=NULL";

const SHOWN: &str = "--topic records --from-beginning --formatter-property print.key=true --formatter-property print.headers=true \
                     --formatter-property null.literal=NULL --timeout-ms 20000";

#[test]
fn what_the_console_producer_writes_the_console_consumer_reads() {
    let cluster = three_brokers();
    let tools = Tools::of(&cluster);
    let client = KafkaClient::connect(&cluster.bootstrap()).unwrap();
    client.create_topic("records", 1, 3, &[]).unwrap();
    for (codec, idempotence) in [
        ("none", "true"),
        ("gzip", "false"),
        ("snappy", "true"),
        ("lz4", "false"),
        ("zstd", "true"),
    ] {
        let codec = format!(
            "--compression-codec {codec} --command-property enable.idempotence={idempotence}"
        );
        tools.produce(&format!("{KEYED} {codec}"), LINES);
    }
    // As librdkafka reads them.
    let contents = client
        .read_all("records", Isolation::ReadCommitted, PATIENCE)
        .unwrap();
    assert_eq!(contents[&0].len(), 25);
    let first = &contents[&0][0].record;
    assert_eq!(
        (first.key.as_deref(), first.value.as_deref()),
        (Some(&b"k1"[..]), Some(&b"one"[..]))
    );
    assert_eq!(
        first.headers,
        [
            ("h1".to_owned(), Some(b"v1".to_vec())),
            ("h2".to_owned(), Some(b"v2".to_vec()))
        ]
    );
    assert_eq!(contents[&0][2].record.value, None);

    let expected: Vec<&str> = [LINES; 5].iter().flat_map(|lines| lines.lines()).collect();
    for protocol in ["classic", "consumer"] {
        let group = format!("--group {protocol} --command-property group.protocol={protocol}");
        let output = tools.ok(
            "consumer.ConsoleConsumer",
            &format!("{SHOWN} --max-messages 25 {group}"),
        );
        let lines: Vec<&str> = output.lines().filter(|line| line.contains('\t')).collect();
        assert_eq!(lines, expected, "{protocol}");
        assert!(output.contains("Processed a total of 25 messages"));
        assert_eq!(client.committed(protocol, "records").unwrap()[&0], 25);
    }

    for (time, expected) in [
        ("latest", "records:0:25"),
        ("earliest", "records:0:0"),
        ("1", "records:0:0"),
        ("-4", "records:0:0"),
    ] {
        let output = tools.ok("GetOffsetShell", &format!("--topic records --time {time}"));
        assert_eq!(output.trim(), expected, "{time}");
    }
    let file = tools
        .java
        .file(
            "delete.json",
            r#"{"version":1,"partitions":[{"topic":"records","partition":0,"offset":7}]}"#,
        )
        .unwrap();
    let output = tools.ok(
        "DeleteRecordsCommand",
        &format!("--offset-json-file {file}"),
    );
    assert!(
        output.contains("partition: records-0\tlow_watermark: 7"),
        "{output}"
    );
    assert_eq!(client.watermarks("records").unwrap(), [(7, 25)]);
}

#[test]
fn verifiable_and_performance_tools_count_the_same() {
    let cluster = three_brokers();
    let tools = Tools::of(&cluster);
    let client = KafkaClient::connect(&cluster.bootstrap()).unwrap();
    client.create_topic("counted", 3, 3, &[]).unwrap();
    let output = tools.ok("VerifiableProducer", "--topic counted --max-messages 1000");
    assert!(
        output.contains(r#""name":"tool_data","sent":1000,"acked":1000"#),
        "{output}"
    );
    for protocol in ["classic", "consumer"] {
        let arguments = format!(
            "--topic counted --max-messages 1000 --reset-policy earliest --group-id {protocol} --group-protocol {protocol}"
        );
        let output = tools.ok("VerifiableConsumer", &arguments);
        let consumed = output
            .lines()
            .filter(|line| line.contains(r#""name":"records_consumed""#));
        let count = |line: &str| -> u64 {
            let (_, rest) = line.split_once(r#""count":"#).unwrap();
            rest.split(',').next().unwrap().parse().unwrap()
        };
        assert_eq!(
            consumed.map(count).sum::<u64>(),
            1000,
            "{protocol}: {output}"
        );
        let committed = client.committed(protocol, "counted").unwrap();
        assert_eq!(committed.values().sum::<i64>(), 1000);
    }
    for extra in [
        "",
        "--transactional-id performance --transaction-duration-ms 50",
    ] {
        let arguments = format!(
            "--topic counted --num-records 20000 --record-size 100 --throughput -1 {extra}"
        );
        let output = tools.ok("ProducerPerformance", &arguments);
        assert!(output.contains("20000 records sent"), "{output}");
    }
    let output = tools.ok(
        "ConsumerPerformance",
        "--topic counted --num-records 41000 --timeout 30000",
    );
    let row = output.lines().last().unwrap();
    assert_eq!(row.split(", ").nth(4), Some("41000"), "{output}");
}
