//! Clusters of every kind and the client: what other tests rely on.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

use std::time::{Duration, Instant};

use scenarios::client::{
    Codec, Isolation, OddRecords, WriteOptions, compare, numbered, tally, unique,
};
use scenarios::kafka::JavaTools;
use scenarios::{Error, Kind, Secured, Way, on_every_kind};

on_every_kind! {
    odd_records_come_back_as_written_in_every_codec,
    what_librdkafka_cannot_write_is_refused,
    aborted_records_are_in_the_log_and_not_in_the_topic,
    topics_and_groups_are_managed,
    brokers_are_killed_restarted_and_frozen_one_by_one,
    a_single_broker_keeps_its_data_over_a_kill,
    a_refused_property_shows_in_the_error,
    a_topic_created_anew_is_written_to_at_once,
    a_secured_cluster_lets_in_who_shows_who_it_is,
}

const PATIENCE: Duration = Duration::from_secs(60);

fn odd_records_come_back_as_written_in_every_codec(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let client = pair.east.client().unwrap();
    for codec in Codec::ALL {
        let topic = unique(codec.name());
        client.create_topic(&topic, 3, 1, &[]).unwrap();
        let written: Vec<_> = OddRecords::new(3).take(300).collect();
        let options = WriteOptions {
            codec,
            batch_records_max: 20,
            ..Default::default()
        };
        client.produce_with(&topic, &written, options).unwrap();
        let contents = client
            .read_all(&topic, Isolation::ReadUncommitted, PATIENCE)
            .unwrap();
        for (partition, records) in &contents {
            let expected: Vec<_> = written
                .iter()
                .filter(|r| r.partition == *partition)
                .collect();
            let found: Vec<_> = records.iter().map(|read| &read.record).collect();
            assert_eq!(expected, found, "{codec:?}");
        }
        assert_eq!(
            contents.values().map(Vec::len).sum::<usize>(),
            written.len()
        );
    }
}

fn what_librdkafka_cannot_write_is_refused(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let client = pair.east.client().unwrap();
    let mut records = numbered(0..1, 1, 5);
    records[0].timestamp_ms = 0;
    assert!(client.produce("never-created", &records).is_err());
    records[0].timestamp_ms = 1;
    assert!(
        client.produce("never-created", &records).is_err(),
        "wrote to a missing topic"
    );
}

fn aborted_records_are_in_the_log_and_not_in_the_topic(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let client = pair.west.client().unwrap();
    let topic = unique("txn");
    client.create_topic(&topic, 2, 1, &[]).unwrap();
    let writer = client.transactional(&topic).unwrap();
    for (ids, commit) in [
        (0..10, true),
        (10..20, false),
        (20..30, true),
        (30..40, false),
    ] {
        writer.begin().unwrap();
        writer.produce(&topic, &numbered(ids, 2, 20)).unwrap();
        if commit {
            writer.commit().unwrap()
        } else {
            writer.abort().unwrap()
        }
    }
    let all = client
        .read_all(&topic, Isolation::ReadUncommitted, PATIENCE)
        .unwrap();
    assert!(tally(&all, 0..40).is_exact());
    let committed = client
        .read_all(&topic, Isolation::ReadCommitted, PATIENCE)
        .unwrap();
    let found = tally(&committed, 0..40);
    assert_eq!(
        (found.found, found.lost, found.first_lost),
        (20, 20, Some(10)),
        "{found}"
    );
    assert!(compare(&all, &committed).is_err());
    // Four markers in each partition.
    assert_eq!(client.end_offsets(&topic).unwrap(), [24, 24]);
}

fn topics_and_groups_are_managed(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let client = pair.east.client().unwrap();
    let topic = unique("managed");
    client
        .create_topic(&topic, 1, 1, &[("retention.ms", "12345")])
        .unwrap();
    assert_eq!(
        client.topic_config(&topic).unwrap()["retention.ms"],
        "12345"
    );
    client
        .set_topic_config(&topic, &[("cleanup.policy", "compact")])
        .unwrap();
    let config = client.topic_config(&topic).unwrap();
    assert_eq!(
        config.into_iter().collect::<Vec<_>>(),
        [("cleanup.policy".into(), "compact".into())]
    );
    client.create_partitions(&topic, 3).unwrap();
    client.set_topic_config(&topic, &[]).unwrap();
    client.produce(&topic, &numbered(0..9, 3, 10)).unwrap();
    client.delete_records(&topic, &[(1, 2)]).unwrap();
    assert_eq!(client.watermarks(&topic).unwrap(), [(0, 3), (2, 3), (0, 3)]);
    let group = unique("group");
    client
        .commit_offsets(&group, &topic, &[(0, 2), (2, 1)])
        .unwrap();
    let committed = client.committed(&group, &topic).unwrap();
    assert_eq!(committed.into_iter().collect::<Vec<_>>(), [(0, 2), (2, 1)]);
    client.delete_topic(&topic).unwrap();
    assert!(
        client
            .read_all(&topic, Isolation::ReadUncommitted, PATIENCE)
            .is_err()
    );
}

fn brokers_are_killed_restarted_and_frozen_one_by_one(kind: Kind) {
    let cluster = kind.start("trio", 3, &[]).unwrap();
    let client = cluster.client().unwrap();
    let topic = unique("replicated");
    client
        .create_topic(&topic, 3, 3, &[("min.insync.replicas", "2")])
        .unwrap();
    let mut next = 0;
    let mut write = |what: &str| {
        let start = Instant::now();
        client
            .produce(&topic, &numbered(next..next + 300, 3, 50))
            .unwrap();
        eprintln!("{what}: written after {:?}", start.elapsed());
        next += 300;
    };
    let timed = |what: &str, act: &dyn Fn() -> Result<(), Error>| {
        let start = Instant::now();
        act().unwrap();
        eprintln!("{what}: {:?}", start.elapsed());
    };
    write("all up");
    timed("kill 1", &|| cluster.broker(1).kill());
    assert!(!cluster.broker(1).is_running());
    write("1 dead");
    timed("start 1", &|| cluster.broker(1).start());
    timed("restart 2", &|| cluster.broker(2).restart());
    write("2 restarted");
    timed("freeze 3", &|| cluster.broker(3).freeze());
    write("3 frozen");
    timed("thaw 3", &|| cluster.broker(3).thaw());
    // All brokers at once: the controller is a node of its own.
    for broker in cluster.brokers() {
        timed("kill", &|| broker.kill());
    }
    for broker in cluster.brokers() {
        timed("start", &|| broker.start());
    }
    write("all restarted");
    let contents = client
        .read_all(&topic, Isolation::ReadUncommitted, PATIENCE)
        .unwrap();
    let found = tally(&contents, 0..next);
    assert!(found.is_exact(), "{found}");
}

fn a_single_broker_keeps_its_data_over_a_kill(kind: Kind) {
    let start = Instant::now();
    let cluster = kind.start("alone", 1, &[]).unwrap();
    eprintln!("one broker: {:?}", start.elapsed());
    let client = cluster.client().unwrap();
    client.create_topic("kept", 1, 1, &[]).unwrap();
    client.produce("kept", &numbered(0..100, 1, 50)).unwrap();
    for act in ["kill", "stop"] {
        let start = Instant::now();
        if act == "kill" {
            cluster.broker(1).kill()
        } else {
            cluster.broker(1).stop()
        }
        .unwrap();
        cluster.broker(1).start().unwrap();
        eprintln!("{act} and start: {:?}", start.elapsed());
    }
    let contents = client
        .read_all("kept", Isolation::ReadUncommitted, PATIENCE)
        .unwrap();
    assert!(tally(&contents, 0..100).is_exact());
}

fn a_refused_property_shows_in_the_error(kind: Kind) {
    let extra = [("log.retention.ms", "soon")];
    let error = kind.start("refused", 1, &extra).unwrap_err();
    assert!(error.to_string().contains("log.retention.ms"), "{error}");
}

fn a_topic_created_anew_is_written_to_at_once(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let client = pair.west.client().unwrap();
    let topic = unique("anew");
    for round in 0..3 {
        client.create_topic(&topic, 1, 1, &[]).unwrap();
        for ids in [0..50, 50..100] {
            let start = Instant::now();
            client.produce(&topic, &numbered(ids, 1, 50)).unwrap();
            eprintln!("round {round}: written after {:?}", start.elapsed());
        }
        let contents = client
            .read_all(&topic, Isolation::ReadUncommitted, PATIENCE)
            .unwrap();
        assert!(tally(&contents, 0..100).is_exact());
        client.delete_topic(&topic).unwrap();
    }
}

/// Kafka's own tools say who is let in: tests of ours rely on it.
fn a_secured_cluster_lets_in_who_shows_who_it_is(kind: Kind) {
    let cluster = Secured::start(kind, "secured", &[], &["127.0.0.1"]).unwrap();
    cluster
        .set_password("SCRAM-SHA-512", "bob", "canary-builder")
        .unwrap();
    let trust = format!(
        "ssl.truststore.type=PEM\nssl.truststore.location={}\n",
        cluster.truststore().unwrap()
    );
    let login = |mechanism: &str, module: &str, options: &str| {
        format!(
            "sasl.mechanism={mechanism}\nsasl.jaas.config=org.apache.kafka.common.security.{module} required {options};\n"
        )
    };
    let (user, password) = cluster.plain_user();
    let plain = |password: &str| {
        let options = format!("username=\"{user}\" password=\"{password}\"");
        login("PLAIN", "plain.PlainLoginModule", &options)
    };
    let scram = login(
        "SCRAM-SHA-512",
        "scram.ScramLoginModule",
        "username=\"bob\" password=\"canary-builder\"",
    );
    let bearer = login(
        "OAUTHBEARER",
        "oauthbearer.OAuthBearerLoginModule",
        "unsecuredLoginStringClaim_sub=\"carol\"",
    );
    let own = format!(
        "{trust}ssl.keystore.type=PEM\nssl.keystore.location={}\n",
        cluster.keystore("dave").unwrap()
    );
    for (way, protocol, keys, let_in) in [
        (Way::Sasl, "SASL_PLAINTEXT", plain(password), true),
        (Way::Sasl, "SASL_PLAINTEXT", plain("rabbit"), false),
        (Way::Sasl, "SASL_PLAINTEXT", bearer, true),
        (Way::SaslSsl, "SASL_SSL", format!("{scram}{trust}"), true),
        (Way::MutualSsl, "SSL", own, true),
        (Way::MutualSsl, "SSL", trust, false),
    ] {
        let config = format!("security.protocol={protocol}\n{keys}");
        let java = JavaTools::open().unwrap();
        let file = java.file("client.properties", &config).unwrap();
        let bootstrap = cluster.bootstrap(way);
        let arguments = [
            "--bootstrap-server",
            &bootstrap,
            "--command-config",
            &file,
            "--list",
        ];
        let ended = java
            .run("org.apache.kafka.tools.TopicCommand", &arguments)
            .unwrap();
        assert_eq!(ended.code == 0, let_in, "{config}: {}", ended.output);
    }
}
