//! The `crosscurrent` binary.
fn main() {}
