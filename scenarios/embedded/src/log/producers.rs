//! What a partition knows of its producers: sequences, epochs, transactions (Kafka's
//! `ProducerStateManager` and `ProducerAppendInfo`; `docs/spec/real-kafka.md` 2 and 3).

use std::collections::{BTreeMap, HashMap, VecDeque};

use batch::{BatchHeader, next_sequence};
use kafka_protocol::error::ResponseError;

use super::Inspected;

/// How many of a producer's batches are recognized when they are sent again.
const BATCHES_KNOWN: usize = 5;

/// A batch that was appended, to recognize it when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    first_sequence: i32,
    last_sequence: i32,
    pub(super) first_offset: i64,
    pub(super) last_offset: i64,
    /// Its max timestamp.
    pub(super) timestamp_ms: i64,
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    batches: VecDeque<Known>,
    /// Of the records or the marker, not of the clock: an old record makes its producer old.
    last_timestamp_ms: i64,
    coordinator_epoch: i32,
    transaction_start: Option<i64>,
}

impl Producer {
    fn new(epoch: i16) -> Self {
        Self {
            epoch,
            batches: VecDeque::new(),
            last_timestamp_ms: -1,
            coordinator_epoch: -1,
            transaction_start: None,
        }
    }

    /// A new epoch starts with no batches: its first sequence has to be 0.
    fn enter(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
    }
}

/// A producer as DescribeProducers shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerView {
    /// Its id.
    pub producer_id: i64,
    /// Its latest epoch.
    pub epoch: i16,
    /// Sequence of its last record in this epoch, or -1.
    pub last_sequence: i32,
    /// Timestamp of its last batch or marker.
    pub last_timestamp_ms: i64,
    /// Epoch of the coordinator that wrote its last marker, or -1.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction.
    pub transaction_start: Option<i64>,
}

/// A transaction that was aborted, as the broker's index holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Aborted {
    pub(super) producer_id: i64,
    pub(super) first_offset: i64,
    /// Offset of the marker.
    pub(super) last_offset: i64,
    /// Last stable offset once it had ended: nothing behind it began before the marker.
    last_stable_offset: i64,
}

/// The first batch of a transaction was seen, and was not appended yet (Kafka's
/// `VerificationStateEntry`): a refused one leaves this behind.
#[derive(Clone, Copy, Debug)]
struct Verifying {
    epoch: i16,
    lowest_sequence: i32,
    /// It came with Produce v12 or above, which can begin a transaction by itself (KIP-890).
    begins: bool,
    since_ms: i64,
}

/// What becomes of a batch that its producer's state has judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Next,
    Duplicate(Known),
}

/// The producers of one partition.
#[derive(Debug, Default)]
pub(super) struct Producers {
    known: HashMap<i64, Producer>,
    /// First offset of each open transaction, and whose it is.
    open: BTreeMap<i64, i64>,
    /// Aborted transactions, in the order of their markers.
    aborted: Vec<Aborted>,
    /// (first, last offset) of transactions that ended behind a high watermark that is held.
    unreplicated: Vec<(i64, i64)>,
    verifying: HashMap<i64, Verifying>,
}

impl Producers {
    /// A later epoch of the producer is known.
    pub(super) fn fences(&self, producer_id: i64, epoch: i16) -> bool {
        self.known
            .get(&producer_id)
            .is_some_and(|producer| epoch < producer.epoch)
    }

    /// A transactional batch has come that continues no open transaction.
    pub(super) fn verify(&mut self, header: &Inspected, version: i16, now_ms: i64) {
        let (epoch, sequence) = (header.producer_epoch, header.base_sequence);
        let seen = self
            .verifying
            .entry(header.producer_id)
            .or_insert(Verifying {
                epoch,
                lowest_sequence: sequence,
                begins: version >= 12,
                since_ms: now_ms,
            });
        if seen.epoch == epoch {
            seen.lowest_sequence = seen.lowest_sequence.min(sequence);
        } else if seen.epoch < epoch {
            (seen.epoch, seen.lowest_sequence) = (epoch, sequence);
        }
    }

    pub(super) fn has_open_transaction(&self, producer_id: i64, epoch: i16) -> bool {
        let producer = self.known.get(&producer_id);
        producer.is_some_and(|p| p.epoch == epoch && p.transaction_start.is_some())
    }

    /// Judges a client's batch against what is known.
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH (47), OUT_OF_ORDER_SEQUENCE_NUMBER (45), INVALID_TXN_STATE (48).
    pub(super) fn judge(&self, header: &BatchHeader) -> Result<Judged, ResponseError> {
        let (epoch, first) = (header.producer_epoch(), header.base_sequence());
        let known = self.known.get(&header.producer_id());
        let last = next_sequence(first, header.last_offset_delta());
        if let Some(producer) = known.filter(|producer| producer.epoch == epoch) {
            let same = |b: &&Known| b.first_sequence == first && b.last_sequence == last;
            if let Some(duplicate) = producer.batches.iter().find(same) {
                return Ok(Judged::Duplicate(*duplicate));
            }
        }
        let no_state = known.is_none_or(|producer| producer.batches.is_empty());
        if known.is_some_and(|producer| epoch < producer.epoch) {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        let verifying = self.verifying.get(&header.producer_id());
        if verifying
            .is_some_and(|v| v.begins && no_state && first != 0 || first > v.lowest_sequence)
        {
            return Err(ResponseError::OutOfOrderSequenceNumber);
        }
        let Some(producer) = known else {
            return Ok(Judged::Next); // nobody knows what came before: any sequence will do
        };
        let expected = match producer.batches.back() {
            Some(batch) if producer.epoch == epoch => next_sequence(batch.last_sequence, 1),
            _ => 0,
        };
        if first != expected && producer.epoch != -1 {
            return Err(ResponseError::OutOfOrderSequenceNumber);
        }
        if producer.transaction_start.is_some() && !header.is_transactional() {
            return Err(ResponseError::InvalidTxnState);
        }
        Ok(Judged::Next)
    }

    /// A data batch is in the log.
    pub(super) fn appended(&mut self, header: &BatchHeader) {
        let (producer_id, first_offset) = (header.producer_id(), header.base_offset());
        if producer_id < 0 {
            return;
        }
        let (epoch, first_sequence) = (header.producer_epoch(), header.base_sequence());
        let producer = self.known.entry(producer_id);
        let producer = producer.or_insert_with(|| Producer::new(epoch));
        producer.enter(epoch);
        while producer.batches.len() >= BATCHES_KNOWN {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Known {
            first_sequence,
            // what the cluster writes itself has no sequences
            last_sequence: match first_sequence {
                0.. => next_sequence(first_sequence, header.last_offset_delta()),
                none => none,
            },
            first_offset,
            last_offset: header.last_offset(),
            timestamp_ms: header.max_timestamp_ms(),
        });
        producer.last_timestamp_ms = header.max_timestamp_ms();
        if header.is_transactional() {
            self.verifying.remove(&producer_id);
            if producer.transaction_start.is_none() {
                producer.transaction_start = Some(first_offset);
                self.open.insert(first_offset, producer_id);
            }
        }
    }

    /// Whether a marker is to be refused: its epoch, or its coordinator's, is older than known.
    pub(super) fn fences_marker(
        &self,
        producer_id: i64,
        epoch: i16,
        coordinator_epoch: i32,
    ) -> bool {
        let producer = self.known.get(&producer_id);
        producer.is_some_and(|p| epoch < p.epoch || coordinator_epoch < p.coordinator_epoch)
    }

    /// A marker is in the log at `offset`. With `held`, its transaction stays unstable until the
    /// high watermark has passed it.
    pub(super) fn ended(
        &mut self,
        header: &BatchHeader,
        commit: bool,
        coordinator_epoch: i32,
        held: bool,
    ) {
        let (producer_id, epoch) = (header.producer_id(), header.producer_epoch());
        let offset = header.base_offset();
        let producer = self.known.entry(producer_id);
        let producer = producer.or_insert_with(|| Producer::new(epoch));
        producer.enter(epoch);
        self.verifying.remove(&producer_id);
        producer.coordinator_epoch = coordinator_epoch;
        producer.last_timestamp_ms = header.max_timestamp_ms();
        let Some(first_offset) = producer.transaction_start.take() else {
            return; // a marker without data changes no reader's view
        };
        self.open.remove(&first_offset);
        if !commit {
            let next_open = self.open.first_key_value().map(|(first, _)| *first);
            self.aborted.push(Aborted {
                producer_id,
                first_offset,
                last_offset: offset,
                last_stable_offset: next_open.unwrap_or(offset + 1),
            });
        }
        if held {
            self.unreplicated.push((first_offset, offset));
        }
    }

    /// The high watermark has come to `offset`.
    pub(super) fn replicated_to(&mut self, offset: i64) {
        self.unreplicated.retain(|(_, last)| *last >= offset);
    }

    /// First offset of a transaction that is open, or whose marker is not below `high_watermark`.
    pub(super) fn first_unstable_offset(&self, high_watermark: i64) -> Option<i64> {
        let open = self.open.first_key_value().map(|(first, _)| *first);
        let unreplicated = self.unreplicated.iter();
        let unreplicated = unreplicated.filter(|(_, last)| *last >= high_watermark);
        open.into_iter()
            .chain(unreplicated.map(|(first, _)| *first))
            .min()
    }

    /// The aborted transactions that reach into `from..upper_bound`, in the order of their markers.
    pub(super) fn aborted_between(&self, from: i64, upper_bound: i64) -> Vec<Aborted> {
        let ended_before = self.aborted.partition_point(|a| a.last_offset < from);
        let mut found = Vec::new();
        for aborted in self.aborted.iter().skip(ended_before) {
            if aborted.first_offset < upper_bound {
                found.push(*aborted);
            }
            if aborted.last_stable_offset >= upper_bound {
                break;
            }
        }
        found
    }

    /// The cleaner has rebuilt the index below `end`: only `kept` of it is left there.
    pub(super) fn replace_aborted_below(&mut self, end: i64, kept: &[Aborted]) {
        let ended_before = self.aborted.partition_point(|a| a.last_offset < end);
        self.aborted.splice(..ended_before, kept.iter().copied());
    }

    /// Segments below `offset` are gone, and their part of the index with them.
    pub(super) fn start_at(&mut self, offset: i64) {
        let ended_before = self.aborted.partition_point(|a| a.last_offset < offset);
        self.aborted.drain(..ended_before);
    }

    pub(super) fn forget_all_but_last(&mut self) {
        self.verifying = HashMap::new();
        for producer in self.known.values_mut() {
            producer
                .batches
                .drain(..producer.batches.len().saturating_sub(1));
        }
    }

    pub(super) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.verifying
            .retain(|_, v| now_ms.saturating_sub(v.since_ms) < expiration_ms);
        self.known.retain(|_, producer| {
            let age_ms = now_ms.saturating_sub(producer.last_timestamp_ms);
            producer.transaction_start.is_some() || age_ms < expiration_ms
        });
    }

    /// What the cleaner asks of a batch: whether it is its producer's last one.
    pub(super) fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        let Some(producer) = self.known.get(&header.producer_id()) else {
            return false;
        };
        match producer.batches.back() {
            Some(last) => header.last_offset() == last.last_offset,
            // only a marker tells the latest epoch
            None => header.is_control() && header.producer_epoch() == producer.epoch,
        }
    }

    pub(super) fn views(&self) -> Vec<ProducerView> {
        let mut views: Vec<_> = self
            .known
            .iter()
            .map(|(producer_id, producer)| ProducerView {
                producer_id: *producer_id,
                epoch: producer.epoch,
                last_sequence: producer
                    .batches
                    .back()
                    .map_or(-1, |last| last.last_sequence),
                last_timestamp_ms: producer.last_timestamp_ms,
                coordinator_epoch: producer.coordinator_epoch,
                transaction_start: producer.transaction_start,
            })
            .collect();
        views.sort_unstable_by_key(|view| view.producer_id);
        views
    }
}
