//! Which transactional batches may be written: a log takes them only into a transaction that the coordinator knows (KIP-890).

use std::collections::{BTreeSet, HashMap};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ProduceRequest;

use crate::api::coordinators::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC, coordinator_of};
use crate::api::produce;
use crate::log::{Log, Scope};
use crate::security::{Operation, Resource};
use crate::server::Incoming;
use crate::transactions::{Owner, Producer, Style, TopicPartition};

/// First version of Produce that adds partitions to the transaction by itself.
const PRODUCE_ADDS: i16 = 12;

/// First version of Produce that knows TRANSACTION_ABORTABLE.
const PRODUCE_KNOWS_ABORTABLE: i16 = 11;

/// First version of TxnOffsetCommit that adds the group's partition by itself.
const OFFSETS_ADD: i16 = 5;

/// First version of TxnOffsetCommit that knows TRANSACTION_ABORTABLE.
const OFFSETS_KNOW_ABORTABLE: i16 = 4;

/// Why nothing of a Produce request is written.
pub(crate) enum Refusal {
    /// Every partition is answered with it.
    All(ResponseError),
    /// It is never answered.
    NoAnswer,
}

/// Why one partition's batch is not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) error: ResponseError,
    pub(crate) message: Option<String>,
}

/// The coordinator's word on each partition that had to be asked about, by position in the request (topic, partition).
pub(crate) type Admission = HashMap<(usize, usize), Result<(), Denied>>;

/// Asks the coordinator about the transactional batches of a request, those aside that continue a transaction in their log.
///
/// # Errors
/// [`Refusal`], before any partition is looked at.
pub(crate) fn admit(incoming: &Incoming, request: &ProduceRequest) -> Result<Admission, Refusal> {
    let mut batches = Vec::new();
    let mut transactional = false;
    for (topic, data) in request.topic_data.iter().enumerate() {
        for (row, partition) in data.partition_data.iter().enumerate() {
            match Log::inspect(partition.records.as_ref(), incoming.version) {
                Ok(batch) => {
                    transactional |= batch.transactional;
                    // Without a producer id nobody is asked (docs/spec/batches.md 1, row 13).
                    if batch.transactional && batch.producer_id >= 0 {
                        let (id, epoch) = (batch.producer_id, batch.producer_epoch);
                        batches.push(((topic, row), Producer { id, epoch }));
                    }
                }
                Err(refused) => match refused.scope {
                    Scope::NoAnswer => return Err(Refusal::NoAnswer),
                    Scope::Request => return Err(Refusal::All(refused.error)),
                    Scope::Partition => {} // the log will say it
                },
            }
        }
    }
    if !transactional {
        return Ok(Admission::new());
    }
    let id = request.transactional_id.as_deref();
    let may = |id: &&str| incoming.may(Operation::Write, Resource::TransactionalId(id));
    let Some(id) = id.map(|id| id.as_str()).filter(may) else {
        return Err(Refusal::All(
            ResponseError::TransactionalIdAuthorizationFailed,
        ));
    };
    let Some((_, producer)) = batches.first().copied() else {
        return Ok(Admission::new());
    };
    if batches.iter().any(|(_, other)| *other != producer) {
        return Err(Refusal::All(ResponseError::InvalidProducerIdMapping));
    }
    let positions = batches.into_iter().map(|(position, _)| position);
    let owner = Owner {
        transactional_id: id,
        producer,
    };
    Ok(ask(incoming, request, owner, positions))
}

fn ask(
    incoming: &Incoming,
    request: &ProduceRequest,
    owner: Owner<'_>,
    positions: impl Iterator<Item = (usize, usize)>,
) -> Admission {
    let shared = &incoming.shared;
    let open: Vec<((usize, usize), TopicPartition)> = positions
        .filter_map(|position| {
            let data = request.topic_data.get(position.0)?;
            let index = data.partition_data.get(position.1)?.index;
            // What is missing, forbidden or elsewhere is not added; its own error follows.
            let topic = produce::find(incoming, data).ok()?;
            let inner = topic.partition(index)?.lock();
            let Producer { id, epoch } = owner.producer;
            let ask = inner.leadership.leader == incoming.node_id
                && !inner.log.has_open_transaction(id, epoch);
            ask.then(|| (position, (topic.name.clone(), index)))
        })
        .collect();
    if !shared.transactions.limits().verification && incoming.version < PRODUCE_ADDS {
        return open
            .into_iter()
            .map(|(position, _)| (position, Ok(())))
            .collect();
    }
    if open.is_empty() {
        return Admission::new();
    }
    // The broker asks the coordinator, wherever that is.
    if coordinator_of(shared, TRANSACTIONS_TOPIC, owner.transactional_id).is_none() {
        let denied = denied(incoming.version, ResponseError::CoordinatorNotAvailable);
        return open
            .into_iter()
            .map(|(position, _)| (position, Err(denied.clone())))
            .collect();
    }
    if incoming.version >= PRODUCE_ADDS {
        let partitions: BTreeSet<_> = open
            .iter()
            .map(|(_, partition)| partition.clone())
            .collect();
        let style = Style::EpochPerTransaction;
        let result = shared.transactions.add(shared, owner, &partitions, style);
        let result = result.map_err(|error| denied(incoming.version, error));
        return open
            .into_iter()
            .map(|(position, _)| (position, result.clone()))
            .collect();
    }
    let verified = open.into_iter().map(|(position, partition)| {
        let result = shared.transactions.verify(shared, owner, &partition);
        (
            position,
            result.map_err(|error| denied(incoming.version, error)),
        )
    });
    verified.collect()
}

/// The coordinator's errors, as a producer of this version understands them.
fn denied(version: i16, error: ResponseError) -> Denied {
    match error {
        ResponseError::ProducerFenced => Denied {
            error: ResponseError::InvalidProducerEpoch,
            message: None,
        },
        ResponseError::TransactionAbortable if version < PRODUCE_KNOWS_ABORTABLE => Denied {
            error: ResponseError::InvalidTxnState,
            message: Some("Partition was not added to the transaction".to_owned()),
        },
        ResponseError::ConcurrentTransactions if version >= PRODUCE_ADDS => Denied {
            error,
            message: None,
        },
        // Known to every client, retried by every client, and without a look-up of leaders.
        ResponseError::ConcurrentTransactions | ResponseError::CoordinatorNotAvailable => Denied {
            error: ResponseError::NotEnoughReplicas,
            message: Some(format!(
                "Unable to verify the partition has been added to the transaction. Underlying error: {}",
                if error == ResponseError::ConcurrentTransactions {
                    "CONCURRENT_TRANSACTIONS"
                } else {
                    "COORDINATOR_NOT_AVAILABLE"
                }
            )),
        },
        _ => Denied {
            error,
            message: None,
        },
    }
}

/// Whether offsets of `group` may be committed in the owner's transaction: TxnOffsetCommit calls it before it takes them. From
/// version 5 on it opens the transaction if it is not.
///
/// # Errors
/// INVALID_PRODUCER_ID_MAPPING (49), INVALID_PRODUCER_EPOCH (47), CONCURRENT_TRANSACTIONS (51), COORDINATOR_NOT_AVAILABLE (15);
/// for offsets that were not added INVALID_TXN_STATE (48), in version 4 TRANSACTION_ABORTABLE (120).
pub(crate) fn admit_offsets(
    incoming: &Incoming,
    owner: Owner<'_>,
    group: &str,
) -> Result<(), ResponseError> {
    let shared = &incoming.shared;
    let unavailable = ResponseError::CoordinatorNotAvailable;
    let coordinator = coordinator_of(shared, OFFSETS_TOPIC, group).ok_or(unavailable)?;
    coordinator_of(shared, TRANSACTIONS_TOPIC, owner.transactional_id).ok_or(unavailable)?;
    let partition = (OFFSETS_TOPIC.to_owned(), coordinator.partition);
    let result = if incoming.version >= OFFSETS_ADD {
        let style = Style::EpochPerTransaction;
        shared
            .transactions
            .add(shared, owner, &BTreeSet::from([partition]), style)
    } else if shared.transactions.limits().verification {
        shared.transactions.verify(shared, owner, &partition)
    } else {
        Ok(())
    };
    result.map_err(|error| match error {
        ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
        ResponseError::TransactionAbortable if incoming.version < OFFSETS_KNOW_ABORTABLE => {
            ResponseError::InvalidTxnState
        }
        other => other,
    })
}
