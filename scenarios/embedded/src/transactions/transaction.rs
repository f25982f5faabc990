//! One transactional id: who owns it, and how far its transaction has come.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;

use super::TransactionVersion;

/// From this epoch on, the next owner gets a new producer id: 32767 is left for the marker that fences the last one.
const EPOCH_EXHAUSTED: i16 = i16::MAX - 1;

/// No epoch, in the protocol's way.
const NO_EPOCH: i16 = -1;

/// A producer id and its epoch: who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// How far a transaction has come. The names are Kafka's, as DescribeTransactions shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing has happened in this epoch.
    Empty,
    /// Partitions have been added.
    Ongoing,
    /// It will be committed: markers are on their way.
    PrepareCommit,
    /// It will be aborted: markers are on their way.
    PrepareAbort,
    /// All markers are written.
    CompleteCommit,
    /// All markers are written.
    CompleteAbort,
}

impl Phase {
    /// Every phase under the name that tools show and filter by.
    const NAMES: [(&str, Self); 6] = [
        ("Empty", Self::Empty),
        ("Ongoing", Self::Ongoing),
        ("PrepareCommit", Self::PrepareCommit),
        ("PrepareAbort", Self::PrepareAbort),
        ("CompleteCommit", Self::CompleteCommit),
        ("CompleteAbort", Self::CompleteAbort),
    ];

    /// States that a broker knows too and that no transaction is in here: both are passed in one step.
    pub(crate) const NEVER_SEEN: [&str; 2] = ["Dead", "PrepareEpochFence"];

    pub(crate) fn name(self) -> &'static str {
        let row = Self::NAMES.iter().find(|(_, phase)| *phase == self);
        row.map_or("", |(name, _)| name)
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let row = Self::NAMES.iter().find(|(known, _)| *known == name);
        row.map(|(_, phase)| *phase)
    }

    fn is_ending(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }
}

/// A topic's name and a partition's number.
pub(crate) type TopicPartition = (String, i32);

/// How a client speaks: since KIP-890's second part it expects a new epoch with every transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// AddPartitionsToTxn v0 to v3, EndTxn v0 to v4: one epoch for many transactions.
    Epochless,
    /// Produce v12 and above, EndTxn v5.
    EpochPerTransaction,
}

/// The state of one transactional id: what a broker keeps in `__transaction_state`.
///
/// Invariants: partitions are left only while `Ongoing` or on the way to an end; `next_id` only on the way to an end.
/// Every method changes the state in one step or answers an error and leaves it; but see `wedged`.
#[derive(Debug, Clone)]
pub(crate) struct Transaction {
    producer: Producer,
    /// The id before the epochs ran out, or -1: a client whose answer was lost asks with it.
    previous_id: i64,
    /// The epoch before, if its owner got the current one in place of it, or -1.
    last_epoch: i16,
    /// Takes the place of `producer` when the markers are written: the epochs have run out.
    next_id: Option<i64>,
    timeout_ms: i32,
    phase: Phase,
    partitions: BTreeSet<TopicPartition>,
    /// -1 before the first transaction of an epoch.
    started_ms: i64,
    updated_ms: i64,
    /// A client of KIP-890's second part used this id on a cluster of `transaction.version` 0. A broker cannot write that state,
    /// gives up in the middle, and the id is stuck in CONCURRENT_TRANSACTIONS for good (docs/spec/real-kafka.md 2).
    wedged: bool,
}

impl Transaction {
    /// A transactional id that nobody has initialized: the first epoch will be 0.
    pub(crate) fn new(producer_id: i64, timeout_ms: i32, now_ms: i64) -> Self {
        Self {
            producer: Producer {
                id: producer_id,
                epoch: NO_EPOCH,
            },
            previous_id: -1,
            last_epoch: NO_EPOCH,
            next_id: None,
            timeout_ms,
            phase: Phase::Empty,
            partitions: BTreeSet::new(),
            started_ms: -1,
            updated_ms: now_ms,
            wedged: false,
        }
    }

    pub(crate) fn producer(&self) -> Producer {
        self.producer
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn timeout_ms(&self) -> i32 {
        self.timeout_ms
    }

    pub(crate) fn started_ms(&self) -> i64 {
        self.started_ms
    }

    /// Partitions of the transaction; on the way to its end, those whose marker is not written yet.
    pub(crate) fn partitions(&self) -> &BTreeSet<TopicPartition> {
        &self.partitions
    }

    /// InitProducerId: a new owner (`expected` is none), or one that wants to go on under a new epoch.
    ///
    /// # Errors
    /// CONCURRENT_TRANSACTIONS (51) while a transaction ends; an open one is aborted first, hence 51 too. PRODUCER_FENCED (90) if
    /// `expected` is not the owner.
    pub(crate) fn initialize(
        &mut self,
        expected: Option<Producer>,
        timeout_ms: i32,
        now_ms: i64,
        version: TransactionVersion,
        new_id: impl FnOnce() -> i64,
    ) -> Result<Producer, ResponseError> {
        if self.wedged {
            return Err(ResponseError::ConcurrentTransactions);
        }
        if !expected.is_none_or(|expected| self.may_be_owner(expected)) {
            return Err(ResponseError::ProducerFenced);
        }
        match self.phase {
            Phase::PrepareCommit | Phase::PrepareAbort => {
                return Err(ResponseError::ConcurrentTransactions);
            }
            Phase::Ongoing => {
                self.fence(now_ms, version);
                return Err(ResponseError::ConcurrentTransactions);
            }
            Phase::Empty | Phase::CompleteCommit | Phase::CompleteAbort => {}
        }
        let current = self.producer.epoch;
        if current >= EPOCH_EXHAUSTED {
            if expected.is_some_and(|expected| expected.epoch != current) {
                // The answer to a rotation can be asked for again, that to a bump up to here cannot: a broker stumbles.
                return Err(ResponseError::UnknownServerError);
            }
            self.previous_id = self.producer.id;
            self.last_epoch = if expected.is_some() {
                current
            } else {
                NO_EPOCH
            };
            self.producer = Producer {
                id: new_id(),
                epoch: 0,
            };
        } else {
            match expected {
                None => {
                    self.last_epoch = NO_EPOCH;
                    self.producer.epoch = current + 1;
                }
                Some(expected) if current == NO_EPOCH || expected.epoch == current => {
                    self.last_epoch = current;
                    self.producer.epoch = current + 1;
                }
                // The answer was lost: the same again.
                Some(expected) if expected.epoch == self.last_epoch => {}
                Some(_) => return Err(ResponseError::ProducerFenced),
            }
        }
        self.phase = Phase::Empty;
        self.timeout_ms = timeout_ms;
        self.started_ms = -1;
        self.updated_ms = now_ms;
        Ok(self.producer)
    }

    /// The epoch is compared later.
    fn may_be_owner(&self, expected: Producer) -> bool {
        self.producer.epoch == NO_EPOCH
            || expected.id == self.producer.id
            || (expected.id == self.previous_id && expected.epoch >= EPOCH_EXHAUSTED)
    }

    /// Adds partitions, and opens the transaction if it is not.
    ///
    /// # Errors
    /// INVALID_PRODUCER_ID_MAPPING (49), PRODUCER_FENCED (90), CONCURRENT_TRANSACTIONS (51) while the last one ends.
    /// UNSUPPORTED_VERSION (35) wedges the id.
    pub(crate) fn add(
        &mut self,
        producer: Producer,
        partitions: &BTreeSet<TopicPartition>,
        style: Style,
        now_ms: i64,
        version: TransactionVersion,
    ) -> Result<(), ResponseError> {
        self.check_owner(producer)?;
        if self.wedged || self.phase.is_ending() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        if self.phase == Phase::Ongoing && partitions.is_subset(&self.partitions) {
            return Ok(());
        }
        self.check_style(style, version)?;
        if self.phase != Phase::Ongoing {
            self.started_ms = now_ms;
        }
        self.phase = Phase::Ongoing;
        self.partitions.extend(partitions.iter().cloned());
        self.updated_ms = now_ms;
        Ok(())
    }

    /// Whether `partition` is part of the open transaction of `producer`.
    ///
    /// # Errors
    /// As [`Self::add`]; TRANSACTION_ABORTABLE (120) if it is not.
    pub(crate) fn verify(
        &self,
        producer: Producer,
        partition: &TopicPartition,
    ) -> Result<(), ResponseError> {
        self.check_owner(producer)?;
        if self.phase.is_ending() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        if self.partitions.contains(partition) {
            Ok(())
        } else {
            Err(ResponseError::TransactionAbortable)
        }
    }

    fn check_owner(&self, producer: Producer) -> Result<(), ResponseError> {
        if producer.id != self.producer.id {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        if producer.epoch != self.producer.epoch {
            return Err(ResponseError::ProducerFenced);
        }
        Ok(())
    }

    fn check_style(
        &mut self,
        style: Style,
        version: TransactionVersion,
    ) -> Result<(), ResponseError> {
        if style == Style::EpochPerTransaction && version == TransactionVersion::Tv0 {
            self.wedged = true;
            return Err(ResponseError::UnsupportedVersion);
        }
        Ok(())
    }

    /// EndTxn: decides how the transaction ends; [`Self::complete`] follows when the markers are written. Answers who the producer
    /// is from now on: EndTxn v5 tells it.
    ///
    /// # Errors
    /// INVALID_PRODUCER_ID_MAPPING (49), PRODUCER_FENCED (90), CONCURRENT_TRANSACTIONS (51) for a repetition while markers are on
    /// their way, INVALID_TXN_STATE (48) for the opposite result and for nothing to end. UNSUPPORTED_VERSION (35) wedges the id.
    pub(crate) fn end(
        &mut self,
        producer: Producer,
        commit: bool,
        style: Style,
        now_ms: i64,
        version: TransactionVersion,
        new_id: impl FnOnce() -> i64,
    ) -> Result<Producer, ResponseError> {
        match style {
            Style::Epochless => self.end_epochless(producer, commit, now_ms),
            Style::EpochPerTransaction => {
                self.end_with_epoch(producer, commit, now_ms, version, new_id)
            }
        }
    }

    fn end_epochless(
        &mut self,
        producer: Producer,
        commit: bool,
        now_ms: i64,
    ) -> Result<Producer, ResponseError> {
        self.check_owner(producer)?;
        if self.wedged {
            return Err(ResponseError::ConcurrentTransactions);
        }
        match (self.phase, commit) {
            (Phase::Ongoing, _) => {
                self.prepare(commit, now_ms);
                Ok(self.producer)
            }
            (Phase::CompleteCommit, true) | (Phase::CompleteAbort, false) => Ok(self.producer),
            (Phase::PrepareCommit, true) | (Phase::PrepareAbort, false) => {
                Err(ResponseError::ConcurrentTransactions)
            }
            _ => Err(ResponseError::InvalidTxnState),
        }
    }

    fn end_with_epoch(
        &mut self,
        producer: Producer,
        commit: bool,
        now_ms: i64,
        version: TransactionVersion,
        new_id: impl FnOnce() -> i64,
    ) -> Result<Producer, ResponseError> {
        if self.wedged {
            return Err(ResponseError::ConcurrentTransactions);
        }
        let current = self.producer;
        // Repetitions of a request whose answer was lost: the epoch, or even the id, has moved on.
        let over_new_id = self.previous_id == producer.id
            && producer.epoch == EPOCH_EXHAUSTED
            && current.epoch == 0;
        let over_epoch = producer.epoch.checked_add(1) == Some(current.epoch);
        let again = over_new_id || over_epoch;
        if producer.id != current.id && !over_new_id {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        let known = match self.phase {
            Phase::Empty | Phase::Ongoing => producer.epoch == current.epoch,
            Phase::PrepareCommit | Phase::PrepareAbort => over_epoch,
            Phase::CompleteCommit | Phase::CompleteAbort => {
                again || producer.epoch == current.epoch
            }
        };
        if !known {
            return Err(ResponseError::ProducerFenced);
        }
        match (self.phase, commit) {
            (Phase::CompleteCommit, true) | (Phase::CompleteAbort, false) if again => {
                return Ok(current);
            }
            (Phase::PrepareCommit, true) | (Phase::PrepareAbort, false) => {
                return Err(ResponseError::ConcurrentTransactions);
            }
            (Phase::Ongoing, _) => {}
            // Nothing to abort is no error: a client cannot know whether its first write has arrived.
            (Phase::Empty, false) => self.started_ms = now_ms,
            (Phase::CompleteCommit | Phase::CompleteAbort, false) if !again => {
                self.started_ms = now_ms;
            }
            _ => return Err(ResponseError::InvalidTxnState),
        }
        self.check_style(Style::EpochPerTransaction, version)?;
        if current.epoch >= EPOCH_EXHAUSTED {
            self.next_id = Some(new_id());
        }
        self.bump();
        self.prepare(commit, now_ms);
        Ok(match self.next_id {
            Some(id) => Producer { id, epoch: 0 },
            None => self.producer,
        })
    }

    /// Aborts the transaction if it is open for too long; the marker's epoch fences its owner.
    pub(crate) fn time_out(&mut self, now_ms: i64, version: TransactionVersion) -> bool {
        let deadline_ms = self.started_ms.saturating_add(self.timeout_ms.into());
        let late = self.phase == Phase::Ongoing && !self.wedged && deadline_ms < now_ms;
        if late {
            self.fence(now_ms, version);
        }
        late
    }

    /// Aborts under the next epoch, which nobody is told.
    fn fence(&mut self, now_ms: i64, version: TransactionVersion) {
        self.bump();
        if version < TransactionVersion::Tv2 {
            self.last_epoch = NO_EPOCH;
        }
        self.prepare(false, now_ms);
    }

    fn bump(&mut self) {
        self.last_epoch = self.producer.epoch;
        self.producer.epoch = self.producer.epoch.saturating_add(1);
    }

    fn prepare(&mut self, commit: bool, now_ms: i64) {
        self.phase = if commit {
            Phase::PrepareCommit
        } else {
            Phase::PrepareAbort
        };
        self.updated_ms = now_ms;
    }

    /// What the markers say that are to be written: their producer and whether it commits. None: nothing is ending.
    pub(crate) fn ending(&self) -> Option<(Producer, bool)> {
        self.phase
            .is_ending()
            .then_some((self.producer, self.phase == Phase::PrepareCommit))
    }

    /// Forgets the partitions whose marker `written` has written; the transaction is over with the last one.
    pub(crate) fn mark(&mut self, now_ms: i64, mut written: impl FnMut(&TopicPartition) -> bool) {
        if !self.phase.is_ending() {
            return;
        }
        self.partitions.retain(|partition| !written(partition));
        if self.partitions.is_empty() {
            self.complete(now_ms);
        }
    }

    fn complete(&mut self, now_ms: i64) {
        if let Some(id) = self.next_id.take() {
            self.previous_id = self.producer.id;
            self.producer = Producer { id, epoch: 0 };
            // `last_epoch` stays what the client saw last.
        }
        self.phase = match self.phase {
            Phase::PrepareCommit => Phase::CompleteCommit,
            _ => Phase::CompleteAbort,
        };
        self.updated_ms = now_ms;
    }

    /// Nobody has asked the coordinator about this id for `expiration_ms`, and nothing is open.
    pub(crate) fn is_expired(&self, now_ms: i64, expiration_ms: i64) -> bool {
        let at_rest = self.phase != Phase::Ongoing && !self.phase.is_ending() && !self.wedged;
        at_rest && self.updated_ms.saturating_add(expiration_ms) <= now_ms
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const V2: TransactionVersion = TransactionVersion::Tv2;

    fn new_id() -> i64 {
        1000
    }

    fn partitions(topic: &str) -> BTreeSet<TopicPartition> {
        BTreeSet::from([(topic.to_owned(), 0)])
    }

    /// An id whose first owner has epoch `epoch` of producer 7.
    fn owned(epoch: i16) -> (Transaction, Producer) {
        let mut transaction = Transaction::new(7, 60_000, 0);
        transaction.producer.epoch = epoch - 1;
        let producer = transaction.initialize(None, 60_000, 0, V2, new_id);
        assert_eq!(producer, Ok(Producer { id: 7, epoch }));
        (transaction, Producer { id: 7, epoch })
    }

    fn open(epoch: i16, style: Style) -> (Transaction, Producer) {
        let (mut transaction, producer) = owned(epoch);
        transaction
            .add(producer, &partitions("t"), style, 5, V2)
            .unwrap();
        (transaction, producer)
    }

    fn end(
        transaction: &mut Transaction,
        producer: Producer,
        commit: bool,
        style: Style,
    ) -> Result<Producer, ResponseError> {
        transaction.end(producer, commit, style, 9, V2, new_id)
    }

    #[test]
    fn an_epochless_end_is_answered_again_until_the_opposite_is_asked() {
        let (mut transaction, me) = open(3, Style::Epochless);
        assert_eq!(end(&mut transaction, me, true, Style::Epochless), Ok(me));
        let again = end(&mut transaction, me, true, Style::Epochless);
        assert_eq!(again, Err(ResponseError::ConcurrentTransactions));
        let opposite = end(&mut transaction, me, false, Style::Epochless);
        assert_eq!(opposite, Err(ResponseError::InvalidTxnState));
        assert_eq!(transaction.ending(), Some((me, true)));
        transaction.mark(9, |_| true);
        assert_eq!(transaction.phase(), Phase::CompleteCommit);
        assert_eq!(end(&mut transaction, me, true, Style::Epochless), Ok(me));
        let opposite = end(&mut transaction, me, false, Style::Epochless);
        assert_eq!(opposite, Err(ResponseError::InvalidTxnState));
    }

    #[test]
    fn an_end_with_epoch_is_answered_again_with_the_old_epoch() {
        let (mut transaction, me) = open(3, Style::EpochPerTransaction);
        let next = Producer { epoch: 4, ..me };
        let style = Style::EpochPerTransaction;
        assert_eq!(end(&mut transaction, me, true, style), Ok(next));
        assert_eq!(
            transaction.ending(),
            Some((next, true)),
            "the marker carries it"
        );
        let again = end(&mut transaction, me, true, style);
        assert_eq!(again, Err(ResponseError::ConcurrentTransactions));
        transaction.mark(9, |_| true);
        assert_eq!(end(&mut transaction, me, true, style), Ok(next));
        let opposite = end(&mut transaction, me, false, style);
        assert_eq!(opposite, Err(ResponseError::InvalidTxnState));
        let empty_commit = end(&mut transaction, next, true, style);
        assert_eq!(empty_commit, Err(ResponseError::InvalidTxnState));
        let empty_abort = end(&mut transaction, next, false, style);
        assert_eq!(empty_abort, Ok(Producer { epoch: 5, ..me }));
    }

    #[test]
    fn an_end_past_the_last_epoch_answers_a_new_id() {
        let (mut transaction, me) = open(EPOCH_EXHAUSTED, Style::EpochPerTransaction);
        let style = Style::EpochPerTransaction;
        let next = Producer { id: 1000, epoch: 0 };
        assert_eq!(end(&mut transaction, me, true, style), Ok(next));
        assert_eq!(
            transaction.ending(),
            Some((
                Producer {
                    id: 7,
                    epoch: i16::MAX
                },
                true
            ))
        );
        transaction.mark(9, |_| true);
        assert_eq!(transaction.producer(), next);
        assert_eq!(
            end(&mut transaction, me, true, style),
            Ok(next),
            "the answer was lost"
        );
        let stranger = Producer { id: 8, ..me };
        let refused = end(&mut transaction, stranger, true, style);
        assert_eq!(refused, Err(ResponseError::InvalidProducerIdMapping));
    }

    #[test]
    fn takeovers_run_out_of_epochs_and_get_a_new_id() {
        let (mut transaction, me) = owned(EPOCH_EXHAUSTED - 1);
        let last = transaction.initialize(None, 1, 1, V2, new_id);
        assert_eq!(
            last,
            Ok(Producer {
                epoch: EPOCH_EXHAUSTED,
                ..me
            })
        );
        let rotated = transaction.initialize(last.ok(), 1, 1, V2, new_id);
        assert_eq!(rotated, Ok(Producer { id: 1000, epoch: 0 }));
        let again = transaction.initialize(last.ok(), 1, 1, V2, new_id);
        assert_eq!(again, rotated, "the answer was lost");
    }

    #[test]
    fn an_owner_goes_on_under_a_new_epoch_and_may_ask_twice() {
        let (mut transaction, me) = owned(0);
        let next = Producer { epoch: 1, ..me };
        assert_eq!(transaction.initialize(Some(me), 1, 1, V2, new_id), Ok(next));
        assert_eq!(transaction.initialize(Some(me), 1, 1, V2, new_id), Ok(next));
        let other = transaction.initialize(None, 1, 1, V2, new_id);
        assert_eq!(other, Ok(Producer { epoch: 2, ..me }));
        for fenced in [me, next, Producer { id: 8, epoch: 2 }] {
            let refused = transaction.initialize(Some(fenced), 1, 1, V2, new_id);
            assert_eq!(refused, Err(ResponseError::ProducerFenced), "{fenced:?}");
        }
    }

    #[test]
    fn a_late_transaction_is_aborted_under_the_next_epoch() {
        for version in [TransactionVersion::Tv0, TransactionVersion::Tv1, V2] {
            let (mut transaction, me) = open(3, Style::Epochless);
            assert!(
                !transaction.time_out(60_005, version),
                "exactly its timeout"
            );
            assert!(transaction.time_out(60_006, version));
            assert_eq!(
                transaction.ending(),
                Some((Producer { epoch: 4, ..me }, false))
            );
            assert!(!transaction.time_out(99_999_999, version), "once");
            transaction.mark(60_006, |_| true);
            assert_eq!(transaction.phase(), Phase::CompleteAbort);
            let late = end(&mut transaction, me, true, Style::Epochless);
            assert_eq!(late, Err(ResponseError::ProducerFenced));
            let late = end(&mut transaction, me, true, Style::EpochPerTransaction);
            assert_eq!(late, Err(ResponseError::InvalidTxnState));
        }
    }

    #[test]
    fn level_0_wedges_an_id_for_good() {
        let (mut transaction, me) = open(0, Style::Epochless);
        let version = TransactionVersion::Tv0;
        let style = Style::EpochPerTransaction;
        assert_eq!(
            transaction.add(me, &partitions("t"), style, 5, version),
            Ok(()),
            "known"
        );
        let wedged = transaction.end(me, true, style, 5, version, new_id);
        assert_eq!(wedged, Err(ResponseError::UnsupportedVersion));
        assert!(!transaction.time_out(i64::MAX, version));
        assert!(!transaction.is_expired(i64::MAX, 1));
        let stuck = Err(ResponseError::ConcurrentTransactions);
        assert_eq!(transaction.initialize(None, 1, 1, version, new_id), stuck);
        assert_eq!(
            transaction.end(me, true, Style::Epochless, 5, version, new_id),
            stuck
        );
        let more = partitions("u");
        let stuck = Err(ResponseError::ConcurrentTransactions);
        assert_eq!(
            transaction.add(me, &more, Style::Epochless, 5, version),
            stuck
        );
    }

    #[test]
    fn partitions_leave_one_by_one_as_their_markers_are_written() {
        let (mut transaction, me) = open(0, Style::Epochless);
        transaction
            .add(me, &partitions("u"), Style::Epochless, 6, V2)
            .unwrap();
        end(&mut transaction, me, true, Style::Epochless).unwrap();
        transaction.mark(9, |(topic, _)| topic == "t");
        assert_eq!(transaction.phase(), Phase::PrepareCommit);
        assert_eq!(transaction.partitions(), &partitions("u"));
        transaction.mark(9, |_| true);
        assert_eq!(transaction.phase(), Phase::CompleteCommit);
    }

    /// What anybody may do to a transactional id.
    #[derive(Debug, Clone)]
    enum Step {
        Initialize(Option<Producer>),
        Add(Producer, Style),
        End(Producer, bool, Style),
        TimeOut,
        Mark,
    }

    fn step() -> impl Strategy<Value = Step> {
        let producer = (
            7..9_i64,
            prop_oneof![-2..6_i16, Just(i16::MAX - 1), Just(i16::MAX)],
        );
        let producer = producer.prop_map(|(id, epoch)| Producer { id, epoch });
        let style = prop_oneof![Just(Style::Epochless), Just(Style::EpochPerTransaction)];
        prop_oneof![
            proptest::option::of(producer.clone()).prop_map(Step::Initialize),
            (producer.clone(), style.clone()).prop_map(|(who, style)| Step::Add(who, style)),
            (producer, any::<bool>(), style)
                .prop_map(|(who, commit, style)| Step::End(who, commit, style)),
            Just(Step::TimeOut),
            Just(Step::Mark),
        ]
    }

    proptest! {
        /// Whatever is asked in whatever order: nobody panics, an id's epoch never goes back, an error changes nothing that others
        /// see, partitions are there only while something is open or ending.
        #[test]
        fn epochs_only_grow(start in prop_oneof![Just(0_i16), Just(32_764_i16)], steps in prop::collection::vec(step(), 1..60)) {
            let (mut transaction, _) = owned(start);
            let mut now_ms = 0;
            for step in steps {
                now_ms += 30_001;
                let before = transaction.clone();
                let result = match &step {
                    Step::Initialize(expected) => transaction.initialize(*expected, 60_000, now_ms, V2, new_id).map(|_| ()),
                    Step::Add(who, style) => transaction.add(*who, &partitions("t"), *style, now_ms, V2),
                    Step::End(who, commit, style) => transaction.end(*who, *commit, *style, now_ms, V2, new_id).map(|_| ()),
                    Step::TimeOut => { transaction.time_out(now_ms, V2); Ok(()) }
                    Step::Mark => { transaction.mark(now_ms, |_| true); Ok(()) }
                };
                let (old, new) = (before.producer(), transaction.producer());
                prop_assert!(new.id != old.id || new.epoch >= old.epoch, "{step:?}: {old:?} {new:?}");
                if new.id != old.id {
                    prop_assert!(old.epoch >= EPOCH_EXHAUSTED && new.epoch == 0, "{step:?}");
                }
                let fences = matches!(step, Step::Initialize(_)) && before.phase() == Phase::Ongoing;
                if result.is_err() && !fences {
                    prop_assert_eq!(old, new);
                    prop_assert_eq!(before.phase(), transaction.phase());
                }
                if !transaction.partitions().is_empty() {
                    prop_assert!(transaction.phase() == Phase::Ongoing || transaction.ending().is_some());
                }
            }
        }
    }
}
