use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn config(body: &Value) -> BTreeMap<String, String> {
    let members = body.as_object().unwrap();
    (members.iter())
        .map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()))
        .collect()
}

/// Recorded without documentation.
fn without_texts(report: &Report) -> Value {
    let mut json = serde_json::to_value(report).unwrap();
    for info in json["configs"].as_array_mut().unwrap() {
        if let Some(definition) = info["definition"].as_object_mut() {
            definition.remove("documentation").unwrap();
        }
    }
    json
}

fn assert_is_recorded(golden: &str) {
    let golden: Value = serde_json::from_str(golden).unwrap();
    let report = validate(&config(&golden["request"])).unwrap();
    let (ours, recorded) = (without_texts(&report), &golden["body"]);
    for (at, recorded) in recorded["configs"].as_array().unwrap().iter().enumerate() {
        assert_eq!(&ours["configs"][at], recorded);
    }
    assert_eq!(&ours, recorded);
}

#[test]
fn reports_are_those_of_kafka() {
    assert_is_recorded(include_str!("golden/012-validate-source-good.json"));
    assert_is_recorded(include_str!("golden/013-validate-source-bad.json"));
    assert_is_recorded(include_str!("golden/014-validate-checkpoint-bad.json"));
    assert_is_recorded(include_str!("golden/015-validate-heartbeat-good.json"));
}

/// 703 values that Kafka 4.3.1 was asked about, each for one key: what it reads, and its errors.
#[test]
fn values_are_read_as_by_kafka() {
    type Asked = (String, String, String, Option<String>, Vec<String>, usize);
    let recorded: Vec<Asked> = serde_json::from_str(include_str!("golden/values.json")).unwrap();
    assert_eq!(recorded.len(), 703);
    let mut differences = Vec::new();
    for (class, key, text, value, errors, count) in recorded {
        let config = BTreeMap::from([
            ("name".to_owned(), "s".to_owned()),
            (
                "connector.class".to_owned(),
                format!("Mirror{class}Connector"),
            ),
            ("source.cluster.alias".to_owned(), "a".to_owned()),
            ("target.cluster.alias".to_owned(), "b".to_owned()),
            (key.clone(), text.clone()),
        ]);
        let report = validate(&config).unwrap();
        let info = report.configs.iter().find(|info| info.value.name == key);
        let ours = &info.unwrap().value;
        if (&ours.value, &ours.errors, report.error_count) != (&value, &errors, count) {
            differences.push(format!(
                "{key}={text:?}: {ours:?}, Kafka: {value:?} {errors:?}"
            ));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// 98 random configurations of many keys that Kafka 4.3.1 was asked about: what is not a default or has errors, and where it
/// stands. What only we refuse, and what Connect knows of clients and plugins that are not here, was left out.
#[test]
fn configurations_are_judged_as_by_kafka() {
    type Row = (usize, String, Option<String>, Vec<String>);
    type Asked = (
        BTreeMap<String, String>,
        String,
        usize,
        Vec<String>,
        usize,
        usize,
        Vec<Row>,
    );
    let recorded: Vec<Asked> = serde_json::from_str(include_str!("golden/configs.json")).unwrap();
    assert_eq!(recorded.len(), 98);
    for (config, name, errors, groups, keys, hidden, rows) in recorded {
        let mut report = validate(&config).unwrap();
        for info in &mut report.configs {
            if ["transforms", "predicates"].contains(&info.value.name.as_str()) {
                let before = info.value.errors.len();
                info.value
                    .errors
                    .retain(|error| !error.contains("crosscurrent"));
                report.error_count -= before - info.value.errors.len();
            }
        }
        let ours: Vec<Row> = (report.configs.iter().enumerate())
            .filter(|(_, info)| {
                let default = info.definition.as_ref().map(|key| &key.default_value);
                default != Some(&info.value.value) || !info.value.errors.is_empty()
            })
            .map(|(at, info)| {
                let ConfigValue {
                    name,
                    value,
                    errors,
                    ..
                } = info.value.clone();
                (at, name, value, errors)
            })
            .collect();
        let unseen = report.configs.iter().filter(|info| !info.value.visible);
        assert_eq!(ours, rows, "{config:?}");
        assert_eq!(
            (
                report.name,
                report.error_count,
                &report.groups[7..],
                report.configs.len()
            ),
            (name, errors, &groups[..], keys),
            "{config:?}"
        );
        assert_eq!(unseen.count(), hidden, "{config:?}");
    }
}

#[test]
fn every_class_has_its_keys() {
    let names = |connector| {
        definitions(connector)
            .map(|key| key.name.as_str())
            .collect::<Vec<_>>()
    };
    for (connector, count, last) in [
        (Connector::Source, 118, "metric.names.formats"),
        (Connector::Checkpoint, 113, "metric.names.formats"),
        (
            Connector::Heartbeat,
            102,
            "heartbeats.topic.replication.factor",
        ),
    ] {
        let names = names(connector);
        assert_eq!(names.len(), count);
        assert_eq!((names[0], names[count - 6]), ("name", last));
        assert!(
            definitions(connector)
                .all(|key| !key.documentation.is_empty() || key.name.contains("enforce"))
        );
        assert_eq!(find_plugin(&connector.class()), Some(connector));
    }
    assert_eq!(find_plugin("MirrorSource"), Some(Connector::Source));
    assert_eq!(
        find_plugin("org.apache.kafka.connect.mirror.MirrorSource"),
        None
    );
}

#[test]
fn the_refusal_of_a_create() {
    let config = BTreeMap::from(
        [
            ("name", "bad"),
            (
                "connector.class",
                "org.apache.kafka.connect.mirror.MirrorSourceConnector",
            ),
            ("tasks.max", "0"),
            ("replication.factor", "two"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    assert_eq!(
        validate(&config).unwrap().refusal().unwrap(),
        "Connector configuration is invalid and contains the following 3 error(s):\nInvalid value 0 for configuration tasks.max: Value must be at \
         least 1\nMissing required configuration \"source.cluster.alias\" which has no default value.\nInvalid value two for configuration \
         replication.factor: Not a number of type INT\nYou can also find the above list of errors at the endpoint \
         `/connector-plugins/{connectorType}/config/validate`"
    );
}

#[test]
fn transforms_are_refused_by_name() {
    let config = BTreeMap::from(
        [
            ("name", "s"),
            ("connector.class", "MirrorSource"),
            ("source.cluster.alias", "a"),
            ("target.cluster.alias", "b"),
            ("transforms", "mask"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    let report = validate(&config).unwrap();
    // As in Connect, its type is missing, too.
    assert_eq!(report.error_count, 2);
    let refusal = report.refusal().unwrap();
    assert!(refusal.contains("\ntransforms: ") && refusal.contains("\"transforms.mask.type\""));
    assert_eq!(report.groups[7..], ["Transforms: mask"]);
}

#[test]
fn settings_of_clients_are_shown_without_secrets() {
    let config = BTreeMap::from(
        [
            ("connector.class", "MirrorSource"),
            ("producer.override.sasl.jaas.config", "canary"),
            ("producer.override.linger.ms", "5"),
            ("admin.override.retries", "1"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    let report = validate(&config).unwrap();
    let shown: Vec<_> = (report.configs[118..].iter())
        .map(|info| {
            (
                info.value.name.as_str(),
                info.value.value.as_deref().unwrap(),
            )
        })
        .collect();
    // Without `topic.creation.*` there is no admin client.
    assert_eq!(
        shown,
        [
            ("producer.override.linger.ms", "5"),
            ("producer.override.sasl.jaas.config", "[hidden]"),
        ]
    );
}

#[test]
fn secrets_are_hidden() {
    let mut config = BTreeMap::from([("connector.class".to_owned(), "MirrorSource".to_owned())]);
    for key in definitions(Connector::Source).filter(|key| key.key_type == KeyType::Password) {
        config.insert(key.name.clone(), "canary".to_owned());
    }
    let report = serde_json::to_string(&validate(&config).unwrap()).unwrap();
    assert!(report.contains("[hidden]") && !report.contains("canary"));
    config.remove("connector.class");
    let fault = validate(&config).unwrap_err().to_string();
    assert!(fault.contains("ssl.key.password=[hidden]") && !fault.contains("canary"));
}

proptest! {
    #[test]
    fn any_configuration_gets_a_report(
        values in proptest::collection::btree_map(0usize..118, ".{0,12}", 0..8),
        odd in proptest::collection::btree_map(".{0,12}", ".{0,12}", 0..4),
    ) {
        let keys: Vec<_> = definitions(Connector::Source).collect();
        let mut config: BTreeMap<_, _> = odd;
        config.extend(values.into_iter().map(|(at, value)| (keys[at].name.clone(), value)));
        config.insert("connector.class".to_owned(), "MirrorSource".to_owned());
        let report = validate(&config).unwrap();
        let errors: usize = report.configs.iter().map(|info| info.value.errors.len()).sum();
        prop_assert_eq!(report.error_count, errors);
        prop_assert_eq!(report.refusal().is_some(), errors > 0);
    }
}
