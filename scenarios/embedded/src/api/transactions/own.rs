//! InitProducerId and EndTxn: who owns a transactional id, and how its transaction ends.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse,
};

use super::{check_coordinator, for_client};
use crate::security::{Operation, Resource};
use crate::server::{Closed, Incoming};
use crate::transactions::{Owner, Producer, Style};

/// First version of InitProducerId that knows PRODUCER_FENCED.
const INIT_KNOWS_FENCED: i16 = 4;

/// First version of EndTxn that knows PRODUCER_FENCED.
const END_KNOWS_FENCED: i16 = 2;

/// First version of EndTxn that answers a new epoch (KIP-890).
const END_BUMPS: i16 = 5;

/// InitProducerId. Without a transactional id: a new producer id, whatever else the request says.
pub(crate) async fn init_producer_id(
    incoming: &Incoming,
    request: InitProducerIdRequest,
) -> Result<InitProducerIdResponse, Closed> {
    let response = InitProducerIdResponse::default();
    Ok(match initialize(incoming, &request) {
        Ok(producer) => response
            .with_producer_id(producer.id.into())
            .with_producer_epoch(producer.epoch),
        Err(error) => response
            .with_error_code(for_client(incoming, INIT_KNOWS_FENCED, error).code())
            .with_producer_id((-1).into())
            .with_producer_epoch(-1),
    })
}

fn initialize(
    incoming: &Incoming,
    request: &InitProducerIdRequest,
) -> Result<Producer, ResponseError> {
    let transactional_id = request.transactional_id.as_ref();
    match transactional_id {
        Some(id) if !incoming.may(Operation::Write, Resource::TransactionalId(id)) => {
            return Err(ResponseError::TransactionalIdAuthorizationFailed);
        }
        None if !may_write_idempotently(incoming) => {
            return Err(ResponseError::ClusterAuthorizationFailed);
        }
        _ => {}
    }
    let expected = match (request.producer_id.0, request.producer_epoch) {
        (-1, -1) => None,
        (-1, _) | (_, -1) => return Err(ResponseError::InvalidRequest),
        (id, epoch) => Some(Producer { id, epoch }),
    };
    let shared = &incoming.shared;
    let Some(id) = transactional_id else {
        return Ok(Producer {
            id: shared.transactions.new_producer_id(),
            epoch: 0,
        });
    };
    let timeout_ms = request.transaction_timeout_ms;
    // A broker looks at these before it looks for the id, which another broker may have.
    shared.transactions.check_initialize(id, timeout_ms)?;
    check_coordinator(incoming, id)?;
    shared
        .transactions
        .initialize(shared, id, timeout_ms, expected)
}

/// IDEMPOTENT_WRITE on the cluster, or WRITE on any topic, existing or not.
fn may_write_idempotently(incoming: &Incoming) -> bool {
    incoming.may(Operation::IdempotentWrite, Resource::Cluster)
        || incoming.may_on_any_topic(Operation::Write)
}

/// EndTxn. From version 5 on the answer says who the producer is from now on, and it is another one each time.
pub(crate) async fn end_txn(
    incoming: &Incoming,
    request: EndTxnRequest,
) -> Result<EndTxnResponse, Closed> {
    let response = EndTxnResponse::default()
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    Ok(match end(incoming, &request) {
        Ok(producer) if incoming.version >= END_BUMPS => response
            .with_producer_id(producer.id.into())
            .with_producer_epoch(producer.epoch),
        Ok(_) => response,
        Err(error) => {
            response.with_error_code(for_client(incoming, END_KNOWS_FENCED, error).code())
        }
    })
}

fn end(incoming: &Incoming, request: &EndTxnRequest) -> Result<Producer, ResponseError> {
    let id = &request.transactional_id;
    if !incoming.may(Operation::Write, Resource::TransactionalId(id)) {
        return Err(ResponseError::TransactionalIdAuthorizationFailed);
    }
    if id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    check_coordinator(incoming, id)?;
    let owner = Owner {
        transactional_id: id,
        producer: Producer {
            id: request.producer_id.0,
            epoch: request.producer_epoch,
        },
    };
    let style = match incoming.version {
        END_BUMPS.. => Style::EpochPerTransaction,
        _ => Style::Epochless,
    };
    let shared = &incoming.shared;
    shared
        .transactions
        .end(shared, owner, request.committed, style)
}
