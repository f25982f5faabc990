//! Requests, from the socket's bytes to the answer's: `embedded::fuzz::requests`.
#![no_main]

mod memory;
mod seeds;

use embedded::fuzz::{Random, mutate_frames, requests};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(
    init: seeds::write(),
    |stream: &[u8]| requests(stream)
);

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut stream = data[..size].to_vec();
    mutate_frames(
        &mut stream,
        max_size,
        &mut Random::new(seed.into()),
        |bytes, bytes_max, _| {
            // libFuzzer wants room for one byte, also in a stream that is full.
            let (length, bytes_max) = (bytes.len(), bytes_max.max(1));
            bytes.resize(bytes_max.max(length), 0);
            let changed = fuzzer_mutate(bytes, length, bytes_max);
            bytes.truncate(changed);
        },
    );
    data[..stream.len()].copy_from_slice(&stream);
    stream.len()
});
