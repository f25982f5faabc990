//! Taking a lane over from whoever wrote to it before, so that a late write of theirs is refused.
//!
//! A lane is a partition of the target and a transactional id. Its batches are idempotent and **not**
//! transactional; the id only serves to raise the epoch and to have that written into the partition as a
//! marker. Every step, and what goes wrong without it, stands in `docs/spec/real-kafka.md` 1.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, EndTxnRequest, InitProducerIdRequest,
    TransactionalId,
};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::time::Instant;

use super::admin::topic_name;
use super::coordinators::{CoordinatorKind, Pause, ToCoordinator, is_outage};
use super::{Cluster, ClusterError, ErrorCode, OffsetAt, Refusal};
use crate::wire::WireError;

/// Bound on a takeover, all of its repetitions included; one answer may come up to a second later. Well below
/// the transaction timeout of a minute, so that the coordinator never ends a takeover by itself: that would fence its owner.
pub const FENCE_PATIENCE: Duration = Duration::from_secs(45);
/// How long a topic that brokers do not know may be one that they have not heard of yet.
const UNKNOWN_PATIENCE: Duration = Duration::from_secs(3);
/// Java producers' own default: a cluster that allows less (`transaction.max.timeout.ms`) refuses those too.
const TRANSACTION_TIMEOUT_MS: i32 = 60_000;
const INIT_PRODUCER_ID_VERSION_MAX: i16 = 4;
/// From here on a producer may name its own id and epoch (KIP-360).
const INIT_PRODUCER_ID_VERSION_OWN: i16 = 3;
/// The highest for a client: later ones need CLUSTER_ACTION.
const ADD_PARTITIONS_VERSION_MAX: i16 = 3;
/// From version 5 on an abort raises the epoch once more (KIP-890): of no use here.
const END_TXN_VERSION_MAX: i16 = 3;
/// After this time without a coordinator it is looked whether there can be one.
const COORDINATOR_PATIENCE: Duration = Duration::from_secs(4);
const TRANSACTION_STATE: &str = "__transaction_state";
const NO_PRODUCER: (i64, i16) = (-1, -1);
/// There is no transaction to be ended.
const INVALID_TXN_STATE: ErrorCode = ErrorCode(48);
/// Another partition of the same request failed.
const OPERATION_NOT_ATTEMPTED: i16 = 55;

/// Who may write to a lane now: its producer id and epoch. The first batch has sequence 0.
///
/// Another producer id than before a takeover means that its predecessor is **not** fenced: the transactional id
/// has expired, or its epochs have run out (`docs/spec/real-kafka.md` 1, the three holes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenced {
    /// Producer id.
    pub producer_id: i64,
    /// Its epoch.
    pub epoch: i16,
}

/// Why a lane was not taken over.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FenceError {
    /// The permission for the transactional id is missing: WRITE on it. The lane can be written to without.
    #[error("no permission for the transactional id: {0}; allow WRITE on it")]
    NotPermitted(Refusal),
    /// The cluster has no transactions, or cannot keep their state. The lane can be written to without.
    #[error(
        "the cluster offers no transactions, or has no topic __transaction_state and does not create it \
         (transaction.state.log.replication.factor above the number of its brokers?)"
    )]
    NotOffered,
    /// Another owner took the lane over meanwhile, and is the one who may write.
    #[error("another owner took the lane over: {0}")]
    Overtaken(Refusal),
    /// Not done, or not known to be done: try again.
    #[error(transparent)]
    Failed(ClusterError),
}

impl From<ClusterError> for FenceError {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Wire(WireError::Unsupported { .. }) => Self::NotOffered,
            ClusterError::Refused {
                alias,
                api,
                what,
                refusal,
            } => match refusal.code {
                ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
                | ErrorCode::CLUSTER_AUTHORIZATION_FAILED => Self::NotPermitted(refusal),
                ErrorCode::UNSUPPORTED_VERSION => Self::NotOffered,
                ErrorCode::PRODUCER_FENCED
                | ErrorCode::INVALID_PRODUCER_EPOCH
                | ErrorCode::INVALID_PRODUCER_ID_MAPPING => Self::Overtaken(refusal),
                _ => Self::Failed(ClusterError::Refused {
                    alias,
                    api,
                    what,
                    refusal,
                }),
            },
            error => Self::Failed(error),
        }
    }
}

impl Cluster {
    /// Takes a lane over. When this returns, no write of an earlier owner to the partition is accepted any more, and
    /// everything that was accepted is in its log: read the tail only now. The marker takes one offset.
    ///
    /// Takes some milliseconds, at most [`FENCE_PATIENCE`]. Dropping the future half-way leaves a transaction that
    /// the next takeover, or the coordinator after a minute, aborts.
    ///
    /// # Errors
    /// See [`FenceError`]. Whatever it is, an earlier owner may be fenced by then, and so is our own earlier epoch.
    pub async fn fence(
        &self,
        transactional_id: &str,
        topic: &str,
        partition: i32,
    ) -> Result<Fenced, FenceError> {
        self.fence_all(transactional_id, &[(topic, partition)])
            .await
    }

    /// As [`Self::fence`], for a lane of which no earlier owner is known: if the transactional id is new, nobody can have
    /// written with it, and no marker is left.
    ///
    /// # Errors
    /// As [`Self::fence`].
    pub async fn fence_new(
        &self,
        transactional_id: &str,
        topic: &str,
        partition: i32,
    ) -> Result<Fenced, FenceError> {
        let lane = Lane::new(self, transactional_id);
        lane.await_coordinator().await?;
        lane.await_leader(topic, partition).await?;
        let owner = lane.init(NO_PRODUCER, 0).await?;
        if owner.epoch > 0 {
            lane.mark(owner, &[(topic, partition)]).await?;
        }
        Ok(owner)
    }

    /// As [`Self::fence`], for several partitions with one owner.
    ///
    /// # Errors
    /// As [`Self::fence`].
    pub async fn fence_all(
        &self,
        transactional_id: &str,
        partitions: &[(&str, i32)],
    ) -> Result<Fenced, FenceError> {
        let lane = Lane::new(self, transactional_id);
        lane.await_coordinator().await?;
        for (topic, partition) in partitions {
            lane.await_leader(topic, *partition).await?;
        }
        let fenced = lane.init(NO_PRODUCER, 0).await?;
        lane.mark(fenced, partitions).await?;
        Ok(fenced)
    }

    /// Whether a lane is ours still, without changing anything: the abort that ended its takeover is repeated.
    ///
    /// # Errors
    /// [`FenceError::Overtaken`] when it is not.
    pub async fn still_owns(
        &self,
        transactional_id: &str,
        owner: Fenced,
    ) -> Result<(), FenceError> {
        match Lane::new(self, transactional_id).abort(owner).await {
            // Owner and epoch are looked at first: ours, and since its epoch was raised there was nothing to end.
            Err(FenceError::Failed(error)) if error.code() == Some(INVALID_TXN_STATE) => Ok(()),
            answer => answer,
        }
    }

    /// Raises the epoch of a lane that is ours, so that its transactional id does not expire (do so daily: plain
    /// writes do not count for `transactional.id.expiration.ms`), and proves that it is ours still. Only when
    /// nothing is in flight: the next batch has the new epoch and sequence 0.
    ///
    /// Another producer id in the answer than the one given: the epochs have run out, and earlier owners are not fenced.
    ///
    /// # Errors
    /// [`FenceError::Overtaken`] when the lane is not ours any more, [`FenceError::NotOffered`] before Kafka 2.5.
    pub async fn refresh_fence(
        &self,
        transactional_id: &str,
        producer_id: i64,
        epoch: i16,
    ) -> Result<Fenced, FenceError> {
        Lane::new(self, transactional_id)
            .init((producer_id, epoch), INIT_PRODUCER_ID_VERSION_OWN)
            .await
    }
}

/// One takeover under way.
struct Lane<'a> {
    cluster: &'a Cluster,
    id: Arc<str>,
    deadline: Instant,
}

impl<'a> Lane<'a> {
    fn new(cluster: &'a Cluster, id: &str) -> Self {
        Self {
            cluster,
            id: id.into(),
            deadline: Instant::now() + FENCE_PATIENCE,
        }
    }

    /// A cluster that cannot create the topic for the state of transactions answers that the coordinator is away, for ever.
    async fn await_coordinator(&self) -> Result<(), FenceError> {
        let deadline = self.deadline.min(Instant::now() + COORDINATOR_PATIENCE);
        let found = (self.cluster)
            .coordinator(CoordinatorKind::Transaction, &self.id, deadline)
            .await;
        match found {
            Err(error) if error.code() == Some(ErrorCode::COORDINATOR_NOT_AVAILABLE) => {
                let topics = self.cluster.topics().await?;
                let is_there = topics.iter().any(|topic| topic.name == TRANSACTION_STATE);
                is_there.then_some(()).ok_or(FenceError::NotOffered)
            }
            // Whoever asks the coordinator next finds out.
            Err(error) if !is_outage(&error) => Err(error.into()),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn wire_id(&self) -> TransactionalId {
        TransactionalId(StrBytes::from_string(self.id.to_string()))
    }

    /// Waits until the partition is served. A marker for one that its broker has not set up yet, of a topic just
    /// created, may end in a request that the broker never answers (4.3.1 counts such partitions wrongly when others
    /// are in the request): no marker of that coordinator is then written for 30 s, nor those of other applications.
    async fn await_leader(&self, topic: &str, partition: i32) -> Result<(), ClusterError> {
        let mut pause = Pause::default();
        let unknown_until = Instant::now() + UNKNOWN_PATIENCE;
        loop {
            let asked = Instant::now();
            let place = OffsetAt::LogEnd;
            let Err(error) = self.cluster.offset(topic, partition, place).await else {
                return Ok(());
            };
            let deadline = match error.code() {
                Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => unknown_until,
                Some(ErrorCode::LEADER_NOT_AVAILABLE | ErrorCode::NOT_LEADER_OR_FOLLOWER) => {
                    self.deadline
                }
                _ if is_outage(&error) => self.deadline,
                _ => return Err(error),
            };
            if !pause.wait(deadline).await {
                return Err(error);
            }
            match self.cluster.refresh(topic, asked).await {
                Err(error) if !is_outage(&error) => return Err(error),
                _ => {}
            }
        }
    }

    /// Each of these requests may be sent twice: one more epoch is taken, or nothing changes.
    async fn ask<R: Request>(
        &self,
        api: &'static str,
        body: &R,
        versions: (i16, i16),
        code_of: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response, FenceError> {
        let asked = ToCoordinator {
            kind: CoordinatorKind::Transaction,
            key: &self.id,
            api,
            body,
            versions,
            deadline: self.deadline,
            repeatable: true,
        };
        let is_busy = |code| code == ErrorCode::CONCURRENT_TRANSACTIONS;
        let answer = self
            .cluster
            .ask_coordinator(asked, |answer| ErrorCode(code_of(answer)), is_busy)
            .await?;
        match Refusal::new(code_of(&answer), None) {
            None => Ok(answer),
            Some(refusal) => Err(FenceError::from(ClusterError::Refused {
                alias: self.cluster.alias.clone(),
                api,
                what: self.id.to_string(),
                refusal,
            })),
        }
    }

    async fn init(
        &self,
        (producer_id, epoch): (i64, i16),
        version_min: i16,
    ) -> Result<Fenced, FenceError> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(self.wire_id()))
            .with_transaction_timeout_ms(TRANSACTION_TIMEOUT_MS)
            .with_producer_id(producer_id.into())
            .with_producer_epoch(epoch);
        let versions = (version_min, INIT_PRODUCER_ID_VERSION_MAX);
        let answer = self
            .ask("InitProducerId", &request, versions, |a| a.error_code)
            .await?;
        Ok(Fenced {
            producer_id: answer.producer_id.0,
            epoch: answer.producer_epoch,
        })
    }

    /// Leaves a marker: from here on earlier owners are refused there.
    async fn mark(&self, owner: Fenced, partitions: &[(&str, i32)]) -> Result<(), FenceError> {
        self.add(owner, partitions).await?;
        // The first answer comes before the marker is in the log, and a late write would still be taken. The second
        // one comes behind it.
        self.abort(owner).await?;
        self.abort(owner).await
    }

    async fn add(&self, owner: Fenced, partitions: &[(&str, i32)]) -> Result<(), FenceError> {
        let mut by_topic: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in partitions {
            by_topic.entry(topic).or_default().push(*partition);
        }
        let topics = by_topic.into_iter().map(|(topic, partitions)| {
            AddPartitionsToTxnTopic::default()
                .with_name(topic_name(topic))
                .with_partitions(partitions)
        });
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.wire_id())
            .with_v3_and_below_producer_id(owner.producer_id.into())
            .with_v3_and_below_producer_epoch(owner.epoch)
            .with_v3_and_below_topics(topics.collect());
        let code_of = |answer: &AddPartitionsToTxnResponse| {
            let topics = &answer.results_by_topic_v3_and_below;
            let mut codes = topics
                .iter()
                .flat_map(|topic| &topic.results_by_partition)
                .map(|found| found.partition_error_code)
                .peekable();
            // An answer without partitions says that nothing was added. One that failed stops the others, which say 55.
            let nothing = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0;
            if codes.peek().is_none() {
                return nothing;
            }
            let failed: Vec<i16> = codes.filter(|code| *code != 0).collect();
            let cause = failed.iter().find(|code| **code != OPERATION_NOT_ATTEMPTED);
            cause.or(failed.first()).copied().unwrap_or(0)
        };
        let versions = (0, ADD_PARTITIONS_VERSION_MAX);
        self.ask("AddPartitionsToTxn", &request, versions, code_of)
            .await
            .map(drop)
    }

    async fn abort(&self, owner: Fenced) -> Result<(), FenceError> {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.wire_id())
            .with_producer_id(owner.producer_id.into())
            .with_producer_epoch(owner.epoch)
            .with_committed(false);
        let versions = (0, END_TXN_VERSION_MAX);
        self.ask("EndTxn", &request, versions, |a| a.error_code)
            .await
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: ErrorCode) -> FenceError {
        FenceError::from(ClusterError::Refused {
            alias: "west".into(),
            api: "EndTxn",
            what: "lane".to_owned(),
            refusal: Refusal {
                code,
                message: None,
            },
        })
    }

    #[test]
    fn every_refusal_says_what_the_lane_does_next() {
        for code in [
            ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
            ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        ] {
            assert!(matches!(refused(code), FenceError::NotPermitted(_)));
        }
        for code in [
            ErrorCode::INVALID_PRODUCER_EPOCH,
            ErrorCode::INVALID_PRODUCER_ID_MAPPING,
            ErrorCode::PRODUCER_FENCED,
        ] {
            assert!(matches!(refused(code), FenceError::Overtaken(_)));
        }
        for code in [
            ErrorCode::CONCURRENT_TRANSACTIONS,
            ErrorCode::TOPIC_AUTHORIZATION_FAILED,
        ] {
            assert!(matches!(refused(code), FenceError::Failed(_)));
        }
        let unsupported = refused(ErrorCode::UNSUPPORTED_VERSION);
        assert!(matches!(unsupported, FenceError::NotOffered));
        let too_old = WireError::Unsupported {
            broker: "b:1".to_owned(),
            api: "InitProducerId",
            offered: "none".to_owned(),
            needed: "0 to 4".to_owned(),
        };
        let too_old = FenceError::from(ClusterError::from(too_old));
        assert!(matches!(too_old, FenceError::NotOffered));
    }

    /// A takeover that the coordinator ends by itself fences its own owner.
    #[test]
    fn a_takeover_is_given_up_before_its_transaction_times_out() {
        let longest = FENCE_PATIENCE + Duration::from_secs(1);
        assert!(longest.as_millis() < u128::from(TRANSACTION_TIMEOUT_MS.unsigned_abs()));
    }
}
