//! What a stranger may send, tried at random: the two fuzz targets, the seeds they start from and how frames are mutated.
//!
//! Only there in tests and when built with `--cfg fuzzing`. `make fuzz` runs the targets under libFuzzer, which is led by coverage
//! (`scenarios/embedded/fuzz`); the tests below run a few thousand inputs from a printed seed.
//!
//! A failure is a panic, an input of more than five seconds, or memory out of proportion; the last two are judged by the runner.

mod batches;
mod inventor;
mod mutate;
mod random;
mod requests;

use std::io;
use std::path::Path;

pub use batches::batches;
pub(crate) use inventor::Inventor;
pub use mutate::mutate_frames;
pub use random::Random;
pub use requests::requests;

/// Writes the seeds of both targets, one file each, into `requests` and `batches` below `folder`.
///
/// # Errors
/// Those of the file system.
pub fn write_seeds(folder: &Path) -> io::Result<()> {
    let mut random = Random::new(1);
    let groups = [
        ("requests", inventor::seeds(&mut random)),
        ("batches", batches::seeds()),
    ];
    for (name, seeds) in groups {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::api::OFFERED;

    /// Inputs of each smoke run.
    const INPUTS: usize = 3_000;

    /// Longest that one input may take, in a build without optimisation and on a busy machine.
    const INPUT_MAX: Duration = Duration::from_secs(5);

    /// A seed that is printed, or that of `FUZZ_SEED`.
    fn random() -> Random {
        let seed = match std::env::var("FUZZ_SEED") {
            Ok(seed) => seed.parse().unwrap(),
            Err(_) => uuid::Uuid::new_v4().as_u64_pair().0,
        };
        println!("run again with FUZZ_SEED={seed}");
        Random::new(seed)
    }

    /// Runs one input and prints it if it fails.
    fn run(input: &[u8], target: fn(&[u8])) {
        struct Told<'a>(&'a [u8]);
        impl Drop for Told<'_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    println!("failed: {:02x?}", self.0);
                }
            }
        }
        let told = Told(input);
        let started = Instant::now();
        target(input);
        assert!(started.elapsed() < INPUT_MAX, "{:?}", started.elapsed());
        drop(told);
    }

    #[test]
    fn every_offered_api_and_version_has_a_seed() {
        let seeds = inventor::seeds(&mut random());
        let found: BTreeSet<(i16, i16)> = seeds
            .iter()
            .flat_map(|seed| mutate::frames(seed))
            .filter_map(|frame| {
                let (key, version) = frame.get(4..8)?.split_at(2);
                Some((
                    i16::from_be_bytes([key[0], key[1]]),
                    i16::from_be_bytes([version[0], version[1]]),
                ))
            })
            .collect();
        for (api, min, max) in OFFERED {
            for version in *min..=*max {
                if crate::api::offers(*api, version) {
                    assert!(found.contains(&(*api as i16, version)), "{api:?} {version}");
                }
            }
        }
    }

    #[test]
    fn mutated_requests_do_no_harm() {
        let mut random = random();
        let seeds = inventor::seeds(&mut random);
        let mut input = Vec::new();
        for number in 0..INPUTS {
            // Each seed as it is, first; then mutations, a few on top of each other.
            input = match seeds.get(number) {
                Some(seed) => seed.clone(),
                None if random.one_in(3) => random.of(&seeds).clone(),
                None => input,
            };
            if number >= seeds.len() {
                mutate_frames(&mut input, 4_096, &mut random, mutate::bytes);
            }
            run(&input, requests);
        }
    }

    #[test]
    fn mutated_batches_do_no_harm() {
        let mut random = random();
        let seeds = batches::seeds();
        let mut input = Vec::new();
        for number in 0..INPUTS {
            input = match seeds.get(number) {
                Some(seed) => seed.clone(),
                None if random.one_in(3) => random.of(&seeds).clone(),
                None => input,
            };
            if number >= seeds.len() {
                mutate::bytes(&mut input, 4_096, &mut random);
            }
            run(&input, batches);
        }
    }
}
