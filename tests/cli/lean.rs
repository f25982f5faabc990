//! The product without the feature `demo`.

use crate::program::{Folder, command};

#[test]
fn commands_that_were_left_out_say_how_to_get_them() {
    for arguments in [
        &["demo"][..],
        &["demo", "--seconds", "2"],
        &["embedded", "--cluster", "east:1"],
    ] {
        let (code, output) = Folder::with("").run(command(arguments));
        assert_eq!(code, 2, "{output}");
        assert!(output.contains("--features demo"), "{output}");
    }
    let (_, help) = Folder::with("").run(command(&["--help"]));
    assert!(!help.contains("embedded"), "{help}");
}
