//! Capped exponential backoff with equal jitter.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Doublings after which only the cap counts; keeps the shift below the width of `u32`.
const DOUBLINGS_MAX: u32 = 31;

/// How long to wait before the next attempt.
///
/// Attempt n has the ceiling `min(max, base * 2^n)` and waits between half of it and all of it
/// ("equal jitter"): the wait always grows, yet thousands of partitions that lost one broker do not
/// come back in the same instant.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    attempts: u32,
    random: SmallRng,
}

impl Backoff {
    /// A backoff with a seed of its own. `base` is the first ceiling, `max` the last; a `base` above
    /// `max` counts as `max`.
    pub fn new(base: Duration, max: Duration) -> Self {
        Self::seeded(base, max, rand::random())
    }

    /// Like [`Backoff::new`], with the same waits for the same `seed`.
    pub fn seeded(base: Duration, max: Duration, seed: u64) -> Self {
        Self {
            base,
            max,
            attempts: 0,
            random: SmallRng::seed_from_u64(seed),
        }
    }

    /// The wait before the next attempt; each call counts as one failed attempt.
    pub fn next_delay(&mut self) -> Duration {
        let factor = 1u32 << self.attempts.min(DOUBLINGS_MAX);
        let ceiling = self.base.saturating_mul(factor).min(self.max);
        self.attempts = self.attempts.saturating_add(1);
        let half = ceiling / 2;
        let jitter_nanos = u64::try_from((ceiling - half).as_nanos()).unwrap_or(u64::MAX);
        half.saturating_add(Duration::from_nanos(
            self.random.random_range(0..=jitter_nanos),
        ))
    }

    /// Forgets past failures: the next wait starts from the base again.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// Failed attempts since the start or the last [`Backoff::reset`].
    pub fn attempts(&self) -> u32 {
        self.attempts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BASE: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(3);

    #[test]
    fn grows_to_the_cap_and_starts_over_after_a_reset() {
        let mut backoff = Backoff::seeded(BASE, MAX, 7);
        for ceiling_ms in [100, 200, 400, 800, 1600, 3000, 3000] {
            let (delay, ceiling) = (backoff.next_delay(), Duration::from_millis(ceiling_ms));
            assert!(
                delay >= ceiling / 2 && delay <= ceiling,
                "{delay:?} for {ceiling:?}"
            );
        }
        assert_eq!(backoff.attempts(), 7);
        backoff.reset();
        assert!(backoff.next_delay() <= BASE);
    }

    #[test]
    fn equal_seeds_wait_equally_and_others_do_not() {
        let waits = |seed| {
            let mut backoff = Backoff::seeded(BASE, MAX, seed);
            [(); 8].map(|()| backoff.next_delay())
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }

    proptest! {
        #[test]
        fn never_leaves_its_bounds(
            base_ns in any::<u64>(), max_ns in any::<u64>(), seed in any::<u64>(), calls in 1..100u32,
        ) {
            let max = Duration::from_nanos(max_ns);
            let mut backoff = Backoff::seeded(Duration::from_nanos(base_ns), max, seed);
            for _ in 0..calls {
                prop_assert!(backoff.next_delay() <= max);
            }
            let extreme = Backoff::seeded(Duration::MAX, Duration::MAX, seed).next_delay();
            prop_assert!(extreme >= Duration::MAX / 2);
        }
    }
}
