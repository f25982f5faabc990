//! The bad files of Apache Kafka 4.3.1's recordings, and what becomes of them here.
//!
//! `bad-config.jsonl` holds each file with what real MM2 did: end by itself with an exit code, or
//! run on (143: ended by SIGTERM). Whatever ends MM2 at start ends us at start; what MM2 only logs
//! for one connector ends us at start, too, where the value is wrong by itself.

use serde_json::Value;
use topology::{MirrorConfig, Properties};

/// Per case: the texts that our errors must contain; none means that the file is accepted, since
/// only a cluster can tell that it is bad.
const EXPECTED: &[(&str, &[&str])] = &[
    (
        "no-clusters-key",
        &["clusters is not set", "`clusters = A, B`"],
    ),
    ("empty-file", &["clusters is not set"]),
    (
        "missing-target-bootstrap",
        &["b.bootstrap.servers is not set", "flow a->b"],
    ),
    (
        "missing-source-bootstrap",
        &["a.bootstrap.servers is not set", "flow a->b"],
    ),
    (
        "clusters-option-unknown-alias",
        &["no cluster `nope`", "a, b"],
    ),
    (
        "no-enabled-flow",
        &[
            "No source->target replication flows.",
            "`a->b.enabled = true`",
        ],
    ),
    (
        "enabled-not-boolean",
        &["No source->target replication flows."],
    ),
    (
        "bootstrap-without-port",
        &["b.bootstrap.servers (line 13): `localhost`", "HOST:PORT"],
    ),
    ("bootstrap-unresolvable", &[]),
    (
        "security-protocol-unknown",
        &["security.protocol (line 14): `BOGUS`", "PLAINTEXT"],
    ),
    (
        "worker-replication-factor-not-a-number",
        &[
            "offset.storage.replication.factor (line 11): `abc`",
            "replication factor from 1",
        ],
    ),
    (
        "policy-class-unknown",
        &[
            "replication.policy.class (line 14): `com.example.Nope`",
            "DefaultReplicationPolicy",
        ],
    ),
    (
        "internal-rest-not-boolean",
        &["dedicated.mode.enable.internal.rest (line 14): `maybe`"],
    ),
    (
        "replication-factor-not-a-number",
        &["replication.factor (line 7): `two`"],
    ),
    ("tasks-max-zero", &["tasks.max (line 14): `0`", "from 1"]),
    (
        "topics-bad-regex",
        &["a->b.topics (line 14): `a[` is no regular expression"],
    ),
    (
        "refresh-interval-zero",
        &[
            "refresh.topics.interval.seconds (line 14): `0`",
            "at least 1",
        ],
    ),
    (
        "offset-syncs-location-unknown",
        &[
            "offset-syncs.topic.location (line 14): `elsewhere`",
            "source or target",
        ],
    ),
    ("emit-checkpoints-disabled", &[]),
    ("emit-offset-syncs-disabled", &[]),
    ("storage-replication-factor-too-large", &[]),
    ("remote-replication-factor-too-large", &[]),
    ("source-unreachable", &[]),
    ("target-unreachable", &[]),
];

#[test]
fn bad_files_are_refused_with_key_line_and_advice() {
    let mut cases = 0;
    for line in include_str!("bad-config.jsonl").lines() {
        let recorded: Value = serde_json::from_str(line).unwrap();
        let case = recorded["case"].as_str().unwrap();
        let (_, texts) = EXPECTED.iter().find(|(name, _)| *name == case).expect(case);
        let file = recorded["properties"].as_str().unwrap();
        let targets: Vec<String> = match recorded["arguments"].as_array().unwrap().as_slice() {
            [_file, option, targets @ ..] => {
                assert_eq!(option, "--clusters", "{case}");
                targets
                    .iter()
                    .map(|target| target.as_str().unwrap().to_owned())
                    .collect()
            }
            _ => Vec::new(),
        };
        let read = MirrorConfig::read(Properties::parse(file.as_bytes()).unwrap(), &targets);
        match read {
            Ok(_) => {
                assert!(texts.is_empty(), "{case} is accepted");
                let reaches_out = case.ends_with("unreachable") || case.ends_with("unresolvable");
                let mm2_ended = recorded["exited_by_itself"].as_bool().unwrap();
                assert!(!mm2_ended || reaches_out, "{case}: MM2 ended");
            }
            Err(errors) => {
                let shown = errors.to_string();
                assert!(!texts.is_empty(), "{case} is refused: {shown}");
                for text in *texts {
                    assert!(shown.contains(text), "{case}: no {text:?} in: {shown}");
                }
            }
        }
        cases += 1;
    }
    assert_eq!(cases, EXPECTED.len());
}
