//! The command line itself.

use crate::program::{Folder, command, one_flow, refused};

/// Runs the binary to its end: exit code and output.
fn run(arguments: &[&str]) -> (i32, String) {
    Folder::with("").run(command(arguments))
}

#[test]
fn help_and_version_are_no_faults() {
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["help", "run"],
        &["-h"],
    ] {
        let (code, output) = run(arguments);
        assert_eq!(code, 0, "{output}");
        assert!(
            output.contains("Examples:") && output.contains("mm2.properties"),
            "{output}"
        );
    }
    let (_, output) = run(&["run", "--help"]);
    for needed in [
        "east->west.enabled = true",
        "Exit codes:",
        "RUST_LOG",
        "--clusters",
        "SIGTERM",
        "FILE:LINE",
    ] {
        assert!(output.contains(needed), "no {needed} in {output}");
    }
    let (code, output) = run(&["--version"]);
    assert_eq!(
        (code, output.trim()),
        (0, concat!("crosscurrent ", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn a_bad_command_line_ends_with_2_and_names_the_argument() {
    for (arguments, what) in [
        (&[][..], "Usage: crosscurrent"),
        (&["walk"], "walk"),
        (&["run"], "<FILE>"),
        (&["run", "x", "--nope"], "--nope"),
        (&["run", "x", "y"], "'y'"),
        (&["run", "x", "--clusters"], "--clusters"),
        (&["run", "--clusters", "west"], "<FILE>"),
        (&["run", "x", "--log-format", "xml"], "xml"),
    ] {
        let (code, output) = run(arguments);
        assert_eq!(code, 2, "{arguments:?}: {output}");
        assert!(output.contains(what), "{arguments:?}: {output}");
    }
}

/// As in MM2, `--clusters` names targets (docs/spec/mm2.md 1.2).
#[test]
fn clusters_must_be_targets_of_a_flow() {
    let file = one_flow("h:1", "h:2", "emit.heartbeats.enabled = false\n");
    let said = refused(&file, &["--clusters", "a", "nope"]);
    assert!(
        said.contains("--clusters: no cluster `nope`; clusters has a, b"),
        "{said}"
    );
    assert!(
        said.contains("No source->target replication flows."),
        "{said}"
    );
    let said = refused(&file, &["--clusters", "a,b"]);
    assert!(said.contains("no cluster `a,b`"), "{said}");
    let said = refused(&file, &["--clusters", ""]);
    assert!(said.contains("no cluster ``"), "{said}");
}

#[test]
fn arguments_that_are_no_text_do_not_panic() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let odd = OsStr::from_bytes(b"\xff\xfe");
    let folder = Folder::with("");
    let mut file = command(&["run"]);
    file.arg(odd);
    assert_eq!(folder.run(file).0, 2);
    let mut alias = command(&["run", "x", "--clusters"]);
    alias.arg(odd);
    assert_eq!(folder.run(alias).0, 2);
}
