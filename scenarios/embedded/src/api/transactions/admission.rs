//! Which transactional batches may be written: a log takes them only into a transaction that the coordinator knows (KIP-890).

use std::collections::{BTreeSet, HashMap};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ProduceRequest, TransactionalId};

use crate::api::coordinators::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC, coordinator_of};
use crate::api::produce::Batch;
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
    /// Every partition is answered with it, and from version 8 on with a reason.
    All(ResponseError, Option<String>),
    /// It is never answered.
    NoAnswer,
}

/// Why one partition's batch is not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) error: ResponseError,
    pub(crate) message: Option<String>,
}

/// The coordinator's word on each batch that it had to be asked about, by the batch's number.
pub(crate) type Admission = HashMap<usize, Result<(), Denied>>;

/// A request with a transactional batch anywhere needs a transactional id that its sender may use.
///
/// # Errors
/// [`Refusal`], before any partition is looked at.
pub(crate) fn check_transactional(
    incoming: &Incoming,
    request: &ProduceRequest,
) -> Result<(), Refusal> {
    let mut transactional = false;
    let partitions = request.topic_data.iter().flat_map(|t| &t.partition_data);
    for partition in partitions {
        match Log::begins_transactional(partition.records.as_ref()) {
            Ok(false) => {}
            // What comes behind the first one is not looked at here.
            Ok(true) => {
                transactional = true;
                break;
            }
            Err(refused) if refused.scope == Scope::NoAnswer => return Err(Refusal::NoAnswer),
            Err(refused) => return Err(Refusal::All(refused.error, refused.message)),
        }
    }
    let id = request.transactional_id.as_ref();
    let may = |id: &TransactionalId| incoming.may(Operation::Write, Resource::TransactionalId(id));
    if transactional && !id.is_some_and(may) {
        let error = ResponseError::TransactionalIdAuthorizationFailed;
        return Err(Refusal::All(error, None));
    }
    Ok(())
}

/// Asks the coordinator about the transactional batches of a request, those aside that continue a transaction in their log.
///
/// # Errors
/// [`Refusal`], before any log is written.
pub(crate) fn admit<'a>(
    incoming: &Incoming,
    transactional_id: Option<&str>,
    batches: impl Iterator<Item = (usize, &'a Batch)>,
) -> Result<Admission, Refusal> {
    // Without a producer id nobody is asked (docs/spec/batches.md 1, row 13).
    let asks = |batch: &Batch| batch.front.transactional && batch.front.producer_id >= 0;
    let batches: Vec<_> = batches.filter(|(_, batch)| asks(batch)).collect();
    let producer = |batch: &Batch| Producer {
        id: batch.front.producer_id,
        epoch: batch.front.producer_epoch,
    };
    let (Some((_, first)), Some(id)) = (batches.first(), transactional_id) else {
        return Ok(Admission::new());
    };
    let owner = Owner {
        transactional_id: id,
        producer: producer(first),
    };
    if batches
        .iter()
        .any(|(_, batch)| producer(batch) != owner.producer)
    {
        let message = "Transactional records contained more than one producer ID";
        let error = ResponseError::InvalidProducerIdMapping;
        return Err(Refusal::All(error, Some(message.to_owned())));
    }
    Ok(ask(incoming, owner, &batches))
}

fn ask(incoming: &Incoming, owner: Owner<'_>, batches: &[(usize, &Batch)]) -> Admission {
    let shared = &incoming.shared;
    let now_ms = shared.clock.now_ms();
    let refused = |error| Err(denied(incoming.version, error));
    let mut admission = Admission::new();
    let mut open: Vec<(usize, TopicPartition)> = Vec::new();
    for (position, batch) in batches {
        let index = batch.data.index;
        // What is elsewhere is not added; its own error follows.
        let Some(partition) = batch.topic.partition(index) else {
            continue;
        };
        let mut inner = partition.lock();
        let Producer { id, epoch } = owner.producer;
        if inner.leadership.leader != incoming.node_id || inner.log.has_open_transaction(id, epoch)
        {
            continue;
        }
        let log = &mut inner.log;
        match log.start_verification(&batch.front, incoming.version, now_ms) {
            Ok(()) => open.push((*position, (batch.topic.name.clone(), index))),
            Err(error) => _ = admission.insert(*position, refused(error)),
        }
    }
    if open.is_empty() {
        return admission;
    }
    if !shared.transactions.limits().verification && incoming.version < PRODUCE_ADDS {
        admission.extend(open.into_iter().map(|(position, _)| (position, Ok(()))));
    } else if coordinator_of(shared, TRANSACTIONS_TOPIC, owner.transactional_id).is_none() {
        // The broker asks the coordinator, wherever that is.
        let denied = refused(ResponseError::CoordinatorNotAvailable);
        admission.extend(
            open.into_iter()
                .map(|(position, _)| (position, denied.clone())),
        );
    } else if incoming.version >= PRODUCE_ADDS {
        let partitions: BTreeSet<_> = open
            .iter()
            .map(|(_, partition)| partition.clone())
            .collect();
        let style = Style::EpochPerTransaction;
        let result = shared.transactions.add(shared, owner, &partitions, style);
        let result = result.or_else(refused);
        admission.extend(
            open.into_iter()
                .map(|(position, _)| (position, result.clone())),
        );
    } else {
        admission.extend(open.into_iter().map(|(position, partition)| {
            let result = shared.transactions.verify(shared, owner, &partition);
            (position, result.or_else(refused))
        }));
    }
    admission
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
