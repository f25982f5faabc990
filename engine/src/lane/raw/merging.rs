//! When joining small batches is cheaper than waiting (`docs/spec/batches.md` 5, merge rule). No knob.
//!
//! A partition has five batches in flight, so far from the target a producer of small batches outruns it: at 40 ms of
//! round trip, five batches of one record are 125 records a second. What waits is then joined, but only while that costs
//! less than a fifth of the wait, for all partitions that wait on this thread's turn. Near brokers get pass-through, far
//! ones just enough joining.

use std::time::{Duration, Instant};

use batch::{BatchHeader, Codec};

/// Batches as large as this gain nothing by being joined.
pub const PART_BYTES_MAX: usize = 64 << 10;
/// The same for compressed ones. Joining them costs ten times as much, and a broker next door that is busy looks like
/// a far one: at 64 KiB a drain of 39 KiB lz4 batches cost 1.8 to 2.8 instead of 0.24 CPU-s/GB (measured).
pub const COMPRESSED_PART_BYTES_MAX: usize = 16 << 10;
/// Largest joined batch: Kafka's default `max.message.bytes` less some room for deltas that grow.
pub const MERGED_BYTES_MAX: usize = 900 << 10;
/// How long a low round trip counts. The lowest, because a mean includes the stall that joining itself makes and
/// locks itself in (measured, `docs/spec/batches.md` 5).
const WINDOW: Duration = Duration::from_secs(5);
/// Joining may cost this part of a round trip.
const SHARE: u32 = 5;
/// What a batch costs beside its bytes.
const BATCH_NANOS: u64 = 500;

/// The lowest round trip of the last five to ten seconds.
#[derive(Clone, Copy, Debug)]
pub struct LowestRoundTrip {
    current: Duration,
    previous: Duration,
    since: Instant,
}

impl LowestRoundTrip {
    /// Nothing is known: every round trip is taken for too short to join anything.
    pub fn new(now: Instant) -> Self {
        Self {
            current: Duration::MAX,
            previous: Duration::ZERO,
            since: now,
        }
    }

    /// Takes a measured round trip.
    pub fn record(&mut self, round_trip: Duration, now: Instant) {
        if now.duration_since(self.since) >= WINDOW {
            self.previous = self.current;
            self.current = Duration::MAX;
            self.since = now;
        }
        self.current = self.current.min(round_trip);
        if self.previous == Duration::ZERO {
            // The first window: what is known so far counts at once.
            self.previous = self.current;
        }
    }

    /// The lowest; zero while nothing is known.
    pub fn lowest(&self) -> Duration {
        self.current.min(self.previous)
    }
}

/// Whether a batch is small enough to be joined with others.
pub fn is_part(batch: &BatchHeader) -> bool {
    let bytes_max = match batch.codec() {
        Ok(Codec::None) => PART_BYTES_MAX,
        _ => COMPRESSED_PART_BYTES_MAX,
    };
    batch.total_bytes() < bytes_max
}

/// Whether joining a batch like `head` is cheaper than waiting, when `waiting` partitions do.
pub fn is_worthwhile(head: &BatchHeader, waiting: usize, lowest: Duration) -> bool {
    let waiting = u64::try_from(waiting.max(1)).unwrap_or(u64::MAX);
    let budget = u64::try_from((lowest / SHARE).as_nanos()).unwrap_or(u64::MAX);
    is_part(head) && rewrite_nanos(head).saturating_mul(waiting) < budget
}

/// About what decompressing and compressing a batch takes, by its bytes on the wire. Estimates from the measured speeds of
/// `docs/spec/batches.md` 2 at usual ratios; the rule needs their order only.
fn rewrite_nanos(head: &BatchHeader) -> u64 {
    let tenths_per_byte = match head.codec() {
        Ok(Codec::None) => 3,
        Ok(Codec::Lz4 | Codec::Snappy) => 70,
        Ok(Codec::Zstd) => 200,
        Ok(Codec::Gzip) => 500,
        Err(_) => return u64::MAX,
    };
    let bytes = u64::try_from(head.total_bytes()).unwrap_or(u64::MAX);
    BATCH_NANOS.saturating_add(bytes.saturating_mul(tenths_per_byte) / 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use batch::BatchBuilder;

    fn head(codec: Codec, bytes: usize) -> BatchHeader {
        // Noise, so that the size stays.
        let noise: Vec<u8> = (0..bytes)
            .scan(1_u64, |state, _| {
                *state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                Some(state.to_be_bytes()[0])
            })
            .collect();
        let mut builder = BatchBuilder::new(codec);
        builder.push(0, None, Some(&noise), &[]).unwrap();
        builder.build().unwrap().header
    }

    /// The table of docs/spec/batches.md 3: what the rule did at each distance.
    #[test]
    fn far_batches_are_joined_and_near_ones_pass() {
        let near = Duration::from_micros(800);
        let (far, very_far) = (Duration::from_millis(5), Duration::from_millis(40));
        let one_record = head(Codec::None, 1_000);
        assert!(
            is_worthwhile(&one_record, 8, near),
            "one record a batch: joined even next door"
        );
        let lz4 = head(Codec::Lz4, 8_000);
        assert!(!is_worthwhile(&lz4, 8, near), "16 KB lz4 next door passes");
        assert!(is_worthwhile(&lz4, 8, far));
        let large_lz4 = head(Codec::Lz4, 45_000);
        assert!(!is_worthwhile(&large_lz4, 8, far));
        assert!(
            !is_worthwhile(&large_lz4, 8, very_far),
            "100 KB lz4 passes at any distance"
        );
        assert!(
            !is_worthwhile(&head(Codec::None, PART_BYTES_MAX), 1, very_far),
            "large enough"
        );
    }

    #[test]
    fn the_lowest_round_trip_is_forgotten_after_a_while() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut trips = LowestRoundTrip::new(start);
        assert_eq!(trips.lowest(), Duration::ZERO);
        trips.record(Duration::from_millis(3), at(1));
        trips.record(Duration::from_millis(9), at(2));
        assert_eq!(trips.lowest(), Duration::from_millis(3));
        trips.record(Duration::from_millis(40), at(6));
        assert_eq!(
            trips.lowest(),
            Duration::from_millis(3),
            "still in the previous window"
        );
        trips.record(Duration::from_millis(41), at(12));
        assert_eq!(
            trips.lowest(),
            Duration::from_millis(40),
            "the target has moved away"
        );
    }
}
