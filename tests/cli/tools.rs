//! `dump`, `verify`, `translate` and `groups`, without a cluster.

use crate::program::{Folder, closed_port, command, one_flow};

const COMMANDS: [&str; 4] = ["dump", "verify", "translate", "groups"];

#[test]
fn help_has_examples_and_exit_codes() {
    for name in COMMANDS {
        let (code, output) = Folder::with("").run(command(&[name, "--help"]));
        assert_eq!(code, 0, "{output}");
        for needed in ["Examples:", "Exit codes:", "--json"] {
            assert!(output.contains(needed), "{name}: no {needed} in {output}");
        }
    }
    let (_, help) = Folder::with("").run(command(&["--help"]));
    assert!(COMMANDS.iter().all(|name| help.contains(name)), "{help}");
}

#[test]
fn a_bad_command_line_ends_with_2() {
    let file = one_flow("h:1", "h:2", "");
    for (arguments, what) in [
        (&["dump"][..], "<TOPIC>"),
        (&["dump", "heartbeats"], "--bootstrap-server"),
        (
            &["dump", "heartbeats", "--bootstrap-server", "h"],
            "write HOST:PORT",
        ),
        (&["dump", "heartbeats", "--file", "FILE"], "--cluster"),
        (
            &["dump", "heartbeats", "--file", "FILE", "--cluster", "c"],
            "has a cluster `c`",
        ),
        (
            &["dump", "orders", "--bootstrap-server", "h:1"],
            "give --formatter",
        ),
        (&["verify"], "<FILE>"),
        (
            &["verify", "FILE", "--flow", "b->a"],
            "no flow `b->a`; the file enables a->b",
        ),
        (&["verify", "FILE", "--parallel", "0"], "--parallel"),
        (&["verify", "FILE", "--seed", "1"], "--sample"),
        (
            &["verify", "FILE", "--sample", "1", "--resume", "x"],
            "--resume",
        ),
        (
            &["verify", "FILE", "--resume", "FILE"],
            "is no file of verify's",
        ),
        (&["translate", "FILE"], "--group"),
        (
            &["translate", "nowhere", "--group", "g"],
            "there is no such file",
        ),
        (&["groups", "FILE", "--flow", "x"], "no flow `x`"),
    ] {
        let folder = Folder::with(&file);
        let path = folder.file();
        let with_path = |argument: &&'static str| match *argument {
            "FILE" => path.clone(),
            argument => argument.to_owned(),
        };
        let arguments: Vec<String> = arguments.iter().map(with_path).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (code, output) = folder.run(command(&arguments));
        assert_eq!(code, 2, "{arguments:?}: {output}");
        assert!(output.contains(what), "{arguments:?}: {output}");
    }
}

/// Goal: what could not be looked at is never "equal", and a cluster that is not there is named.
#[test]
fn an_unreachable_cluster_is_said() {
    let (nobody, nobody_either) = (closed_port(), closed_port());
    let file = one_flow(&nobody, &nobody_either, "");
    for (arguments, expected) in [
        (&["verify"][..], 3),
        (&["translate", "--group", "g"], 3),
        (&["groups"], 3),
    ] {
        let folder = Folder::with(&file);
        let path = folder.file();
        let (name, more) = arguments.split_first().unwrap_or((&"", &[]));
        let arguments: Vec<&str> = [name, path.as_str()]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        let (code, output) = folder.run(command(&arguments));
        assert_eq!(code, expected, "{output}");
        assert!(output.contains("cluster a is unreachable"), "{output}");
    }
    let arguments = ["dump", "heartbeats", "--bootstrap-server", &nobody];
    let (code, output) = Folder::with("").run(command(&arguments));
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("is unreachable"), "{output}");
}
