//! Files that are refused: exit code 2, every fault with its line or key, no broker contacted.

use crate::program::{Folder, NoBroker, command, one_flow, refused};

/// Goal: every file that Apache Kafka 4.3.1 was seen to reject, in whole or in part, is refused here as a whole.
/// What each must say is tested where it is read (`topology/tests/bad_config.rs`); this is about the process.
#[test]
fn recorded_bad_files_end_the_start_and_no_broker_is_contacted() {
    let broker = NoBroker::slamming();
    let (mut refused_files, mut only_a_cluster_can_tell) = (0, Vec::new());
    for line in include_str!("../../topology/tests/bad-config.jsonl").lines() {
        let recorded: serde_json::Value = serde_json::from_str(line).unwrap();
        let case = recorded["case"].as_str().unwrap();
        let here = ["127.0.0.1:50000", "127.0.0.1:50100"];
        let file = recorded["properties"].as_str().unwrap();
        let file = here.iter().fold(file.to_owned(), |file, at| {
            file.replace(at, &broker.address)
        });
        let more: Vec<&str> = recorded["arguments"]
            .as_array()
            .unwrap()
            .iter()
            .skip(1)
            .map(|one| one.as_str().unwrap())
            .collect();
        let accepted = case.ends_with("unreachable")
            || case.ends_with("unresolvable")
            || case.ends_with("too-large")
            || case.starts_with("emit-");
        if accepted {
            only_a_cluster_can_tell.push(case.to_owned());
            continue;
        }
        let said = refused(&file, &more);
        assert!(
            !said.is_empty() && said.lines().all(|line| line.starts_with("mm2.properties:")),
            "{case}: {said}"
        );
        refused_files += 1;
    }
    assert_eq!(
        (refused_files, only_a_cluster_can_tell.len()),
        (17, 7),
        "{only_a_cluster_can_tell:?}"
    );
    assert_eq!(broker.accepted(), 0);
}

#[test]
fn all_faults_are_reported_at_once_in_the_order_of_lines() {
    let said = refused(
        "clusters = a, b\na->b.enabled = true\ntasks.max = 0\na.bootstrap.servers = here\nreplication.factor = two\n",
        &[],
    );
    let lines: Vec<&str> = said.lines().collect();
    let [tasks, address, factor, missing] = lines.as_slice() else {
        panic!("{said}")
    };
    assert!(
        tasks.starts_with("mm2.properties:3: tasks.max: `0` is not valid; "),
        "{tasks}"
    );
    assert!(
        address.starts_with("mm2.properties:4: a.bootstrap.servers: `here` is not valid; "),
        "{address}"
    );
    assert!(
        factor.starts_with("mm2.properties:5: replication.factor: `two` is not valid; "),
        "{factor}"
    );
    assert!(
        missing.starts_with("mm2.properties: b.bootstrap.servers is not set"),
        "{missing}"
    );
}

#[test]
fn with_json_each_fault_is_one_object_even_if_logs_are_off() {
    let folder = Folder::with(
        "clusters = a, b\na->b.enabled = true\ntasks.max = 0\nemit.heartbeats.enabled = false\n",
    );
    let mut json = command(&["--log-format", "json", "run", &folder.file()]);
    json.env("RUST_LOG", "off");
    let (code, output) = folder.run(json);
    assert_eq!(code, 2);
    let faults: Vec<serde_json::Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(faults.len(), 3, "{output}");
    assert_eq!(
        (&faults[0]["line"], &faults[0]["level"]),
        (&3.into(), &"ERROR".into())
    );
    assert_eq!(faults[0]["file"], folder.file());
    assert!(
        faults[0]["message"]
            .as_str()
            .unwrap()
            .starts_with("tasks.max: `0`"),
        "{output}"
    );
    assert!(faults[1]["line"].is_null(), "{output}");
}

#[test]
fn faults_go_to_standard_error_and_nothing_to_standard_output() {
    let folder = Folder::with("");
    let ended = command(&["run", &folder.file()]).output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.stdout.is_empty());
    assert!(
        String::from_utf8(ended.stderr)
            .unwrap()
            .contains("clusters is not set")
    );
}

#[test]
fn files_that_are_none() {
    let missing = Folder::with("");
    let path = missing.path().join("no-such-file").display().to_string();
    for (path, what) in [
        (path.as_str(), "there is no such file"),
        (missing.path().to_str().unwrap(), "is a directory"),
        ("/dev/zero", "is larger than 16 MiB"),
    ] {
        let folder = Folder::with("");
        let (code, output) = folder.run(command(&["run", path]));
        assert_eq!(code, 2, "{output}");
        assert!(
            output.starts_with(&format!("{path}: {what}")),
            "{path}: {output}"
        );
        assert!(
            output.contains("a properties file") && output.lines().count() == 1,
            "{output}"
        );
    }
}

/// A file with a mode of 0: root may read it, and then it is refused for being empty.
#[test]
fn unreadable_files_are_said_to_be() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::with("");
    std::fs::set_permissions(folder.file(), std::fs::Permissions::from_mode(0o000)).unwrap();
    let may_read = std::fs::File::open(folder.file()).is_ok();
    let (code, output) = folder.run(command(&["run", &folder.file()]));
    assert_eq!(code, 2);
    let what = if may_read {
        "clusters is not set"
    } else {
        "permission denied"
    };
    assert!(output.contains(what), "{output}");
}

#[test]
fn odd_bytes_are_refused_with_the_reason() {
    for empty in ["", "\n\n", "# only a comment\n", "\u{feff}", "\r\n \r\n"] {
        assert!(
            refused(empty, &[]).contains("clusters is not set"),
            "{empty:?}"
        );
    }
    let garbage: Vec<u8> = (0..100_000_u32)
        .map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    assert!(refused(&garbage, &[]).starts_with("mm2.properties:"));
    assert!(refused([0; 4096], &[]).contains("clusters is not set"));
    let said = refused("clusters = a, b\n\na.x = \\u12\n", &[]);
    assert!(
        said.starts_with("mm2.properties:3: malformed \\u escape; "),
        "{said}"
    );
}

/// Goal: a byte order mark, CRLF, Latin-1 and duplicate keys are read as they are meant, with the right line numbers.
#[test]
fn odd_but_legal_files_keep_their_line_numbers() {
    let windows = "\u{feff}clusters = a, b\r\na.bootstrap.servers = h:1\r\nb.bootstrap.servers = h:2\r\n\
                   a->b.enabled = true\r\ntasks.max = 0\r\n";
    let said = refused(windows, &[]);
    assert!(
        said.starts_with("mm2.properties:5: tasks.max: `0`") && said.lines().count() == 1,
        "{said}"
    );
    let latin = b"# Gr\xfc\xdfe\nclusters = a, b\na.bootstrap.servers = h:1\nb.bootstrap.servers = b\xfccher:2\n\
                  a->b.enabled = true\n";
    let said = refused(latin, &[]);
    assert!(
        said.starts_with("mm2.properties:4: b.bootstrap.servers: `bücher:2`"),
        "{said}"
    );
    // The last one counts, as in Java.
    let said = refused(
        one_flow(
            "h:1",
            "h:2",
            "tasks.max = 0\ntasks.max = 1\ntasks.max = -1\n",
        ),
        &[],
    );
    assert!(
        said.starts_with("mm2.properties:7: tasks.max: `-1`") && said.lines().count() == 1,
        "{said}"
    );
}

#[test]
fn a_file_of_five_megabytes_is_read() {
    let mut file = one_flow("h:1", "h:2", "tasks.max = 0\n");
    let before = file.lines().count();
    while file.len() < 5 << 20 {
        file.push_str("some.unknown.key.that.nobody.has.ever.heard.of.");
        file.push_str(&file.len().to_string());
        file.push_str(" = x\n");
    }
    file.push_str("replication.factor = two\n");
    let last = file.lines().count();
    let said = refused(&file, &[]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(
        lines[0].starts_with(&format!("mm2.properties:{before}: tasks.max")),
        "{said}"
    );
    assert!(
        lines[1].starts_with(&format!("mm2.properties:{last}: replication.factor")),
        "{said}"
    );
}

#[test]
fn secrets_are_in_no_error() {
    let said = refused(
        one_flow(
            "h:1",
            "h:2",
            "security.protocol = SASL_SSL\nsasl.mechanism = PLAIN\n\
             sasl.jaas.config = org.apache.kafka.Plain required username=\"u\" password=\"hunter2\";\n\
             ssl.truststore.password = hunter2\n\
             b.ssl.key.password = ${file:hunter2\n\
             b.producer.sasl.login.password = hunter2\n\
             tasks.max = 0\n",
        ),
        &[],
    );
    assert!(
        said.contains("sasl.jaas.config: PLAIN needs the PlainLoginModule")
            && said.contains("tasks.max"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
}
