//! What stands in a record of the demo: text, so that any Kafka tool shows it.

use std::time::Instant;

/// Smallest record: the fields at their longest.
pub(crate) const RECORD_BYTES_MIN: usize = 64;
/// Filler is cut from a text of this size, so that records compress like real ones and not to nothing.
const FILLER_BYTES: usize = 1 << 16;

/// The fields that a reader needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Which run of the demo wrote it.
    pub(crate) run: u32,
    /// Place among the records of its partition, from 0.
    pub(crate) sequence: u64,
    /// When it was handed to the producer. Unit: nanoseconds since the run's [`Stamper`] was made.
    pub(crate) sent_ns: u64,
}

/// Writes and reads record values: `run=9f3a61c0 from=east seq=12 sent_ns=3456789 ...`.
#[derive(Debug)]
pub(crate) struct Stamper {
    run: u32,
    epoch: Instant,
    filler: Box<[u8]>,
}

impl Stamper {
    /// For a run; its times count from `epoch`.
    pub(crate) fn new(run: u32, epoch: Instant) -> Self {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";
        // Xorshift: any sequence that does not repeat soon will do.
        let mut state = u64::from(run) | 1 << 32;
        let mut letter = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            LETTERS[(state & 31) as usize]
        };
        Self {
            run,
            epoch,
            filler: (0..FILLER_BYTES).map(|_| letter()).collect(),
        }
    }

    /// The run's number, as records show it.
    pub(crate) fn run(&self) -> u32 {
        self.run
    }

    /// Nanoseconds since the run began.
    pub(crate) fn now_ns(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Puts the value of a record of `bytes` bytes (at least [`RECORD_BYTES_MIN`]) into `value`.
    pub(crate) fn write(&self, value: &mut Vec<u8>, from: &str, sequence: u64, bytes: usize) {
        use std::io::Write;
        value.clear();
        let (run, sent_ns) = (self.run, self.now_ns());
        // Writing to a Vec does not fail.
        _ = write!(
            value,
            "run={run:08x} from={from} seq={sequence} sent_ns={sent_ns} "
        );
        // Steps that share no factor with the filler's length: neighbours differ.
        let mut at = usize::try_from(sequence.wrapping_mul(7919)).unwrap_or(0) % FILLER_BYTES;
        while value.len() < bytes {
            let rest = self.filler.get(at..).unwrap_or_default();
            let wanted = rest.len().min(bytes - value.len());
            value.extend_from_slice(&rest[..wanted]);
            at = 0;
        }
    }

    /// The stamp of a value that this run wrote on `from`; `None` for anybody else's.
    pub(crate) fn read(&self, value: &[u8], from: &str) -> Option<Stamp> {
        let mut fields = value.splitn(5, |byte| *byte == b' ');
        let mut field = |name: &str| {
            let text = std::str::from_utf8(fields.next()?).ok()?;
            text.strip_prefix(name)?.strip_prefix('=')
        };
        let run = u32::from_str_radix(field("run")?, 16).ok()?;
        let stamp = (field("from")? == from).then_some(Stamp {
            run,
            sequence: field("seq")?.parse().ok()?,
            sent_ns: field("sent_ns")?.parse().ok()?,
        })?;
        (stamp.run == self.run).then_some(stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_size_and_are_read_back() {
        let stamper = Stamper::new(0x9f3a, Instant::now());
        let mut value = Vec::new();
        for (sequence, bytes) in [(0, RECORD_BYTES_MIN), (7, 512), (u64::MAX, 100_000)] {
            stamper.write(&mut value, "east", sequence, bytes);
            assert!(value.len() >= bytes && value.len() <= bytes.max(100));
            let stamp = stamper.read(&value, "east").expect("our own");
            assert_eq!((stamp.run, stamp.sequence), (0x9f3a, sequence));
            assert!(stamp.sent_ns <= stamper.now_ns());
        }
    }

    #[test]
    fn what_others_wrote_is_foreign() {
        let stamper = Stamper::new(1, Instant::now());
        let mut value = Vec::new();
        stamper.write(&mut value, "east", 3, 64);
        assert_eq!(stamper.read(&value, "west"), None, "another cluster's");
        assert_eq!(Stamper::new(2, Instant::now()).read(&value, "east"), None);
        for odd in [
            &b""[..],
            b"hello",
            b"run=1",
            b"\xff \xff",
            b"run=1 from=east seq=-1 sent_ns=0 ",
        ] {
            assert_eq!(stamper.read(odd, "east"), None);
        }
    }
}
