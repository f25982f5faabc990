//! Batches, in a log and in the engine: `embedded::fuzz::batches`.
#![no_main]

mod memory;
mod seeds;

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: seeds::write(),
    |input: &[u8]| embedded::fuzz::batches(input)
);
