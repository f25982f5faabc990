//! Answers that refuse a request as a whole, for [`super::Effect::Error`].

mod groups;
mod resources;
mod topics;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::*;

use crate::api::{IntoAnswer, decode};
use crate::server::{Answer, Closed, Incoming};

/// Answers for APIs whose response has one code for the whole request.
macro_rules! whole {
    ($incoming:ident, $code:ident, $($api:ident $response:ident,)*) => {
        match $incoming.api {
            $(ApiKey::$api => {
                let response = $response::default().with_error_code($code);
                return response.into_answer($incoming.version);
            })*
            _ => {}
        }
    };
}

/// The answer that refuses a request, with nothing done: the code stands with each topic, partition, group or resource where
/// the API answers each by itself.
///
/// # Errors
/// [`Closed`] if the request cannot be read, or its API's answers have no room for a code.
pub(super) fn refuse(
    incoming: &Incoming,
    body: Bytes,
    error: ResponseError,
) -> Result<Answer, Closed> {
    let code = error.code();
    whole!(incoming, code,
        ApiVersions ApiVersionsResponse,
        JoinGroup JoinGroupResponse,
        SyncGroup SyncGroupResponse,
        Heartbeat HeartbeatResponse,
        LeaveGroup LeaveGroupResponse,
        ListGroups ListGroupsResponse,
        SaslHandshake SaslHandshakeResponse,
        SaslAuthenticate SaslAuthenticateResponse,
        InitProducerId InitProducerIdResponse,
        AddOffsetsToTxn AddOffsetsToTxnResponse,
        EndTxn EndTxnResponse,
        OffsetDelete OffsetDeleteResponse,
        DescribeAcls DescribeAclsResponse,
        DescribeCluster DescribeClusterResponse,
        DescribeQuorum DescribeQuorumResponse,
        ListTransactions ListTransactionsResponse,
        ListPartitionReassignments ListPartitionReassignmentsResponse,
        AlterPartitionReassignments AlterPartitionReassignmentsResponse,
        ElectLeaders ElectLeadersResponse,
        DescribeClientQuotas DescribeClientQuotasResponse,
        DescribeUserScramCredentials DescribeUserScramCredentialsResponse,
        ConsumerGroupHeartbeat ConsumerGroupHeartbeatResponse,
        ListConfigResources ListConfigResourcesResponse,
        DescribeLogDirs DescribeLogDirsResponse,
    );
    rows(incoming, body, code)
}

fn rows(incoming: &Incoming, body: Bytes, code: i16) -> Result<Answer, Closed> {
    let version = incoming.version;
    match incoming.api {
        ApiKey::Metadata => {
            topics::metadata(incoming, decode(incoming, body)?, code).into_answer(version)
        }
        ApiKey::CreateTopics => topics::create(decode(incoming, body)?, code).into_answer(version),
        ApiKey::DeleteTopics => topics::delete(decode(incoming, body)?, code).into_answer(version),
        ApiKey::CreatePartitions => {
            topics::grow(decode(incoming, body)?, code).into_answer(version)
        }
        ApiKey::DeleteRecords => {
            topics::delete_records(decode(incoming, body)?, code).into_answer(version)
        }
        ApiKey::OffsetForLeaderEpoch => {
            topics::epochs(decode(incoming, body)?, code).into_answer(version)
        }
        ApiKey::DescribeTopicPartitions => {
            topics::describe(decode(incoming, body)?, code).into_answer(version)
        }
        ApiKey::DescribeProducers => {
            topics::producers(decode(incoming, body)?, code).into_answer(version)
        }
        ApiKey::DescribeConfigs => {
            resources::describe(decode(incoming, body)?, code).into_answer(version)
        }
        ApiKey::AlterConfigs => {
            resources::alter(decode(incoming, body)?, code).into_answer(version)
        }
        ApiKey::IncrementalAlterConfigs => {
            resources::alter_some(decode(incoming, body)?, code).into_answer(version)
        }
        ApiKey::CreateAcls => {
            resources::create_acls(decode(incoming, body)?, code).into_answer(version)
        }
        ApiKey::DeleteAcls => {
            resources::delete_acls(decode(incoming, body)?, code).into_answer(version)
        }
        ApiKey::FindCoordinator => {
            groups::coordinators(decode(incoming, body)?, version, code).into_answer(version)
        }
        ApiKey::DescribeGroups => {
            groups::describe(decode(incoming, body)?, code).into_answer(version)
        }
        ApiKey::ConsumerGroupDescribe => {
            groups::describe_consumer(decode(incoming, body)?, code).into_answer(version)
        }
        ApiKey::DeleteGroups => groups::delete(decode(incoming, body)?, code).into_answer(version),
        ApiKey::OffsetCommit => groups::commit(decode(incoming, body)?, code).into_answer(version),
        ApiKey::OffsetFetch => {
            groups::offsets(decode(incoming, body)?, version, code).into_answer(version)
        }
        ApiKey::TxnOffsetCommit => {
            groups::commit_in_transaction(decode(incoming, body)?, code).into_answer(version)
        }
        ApiKey::AddPartitionsToTxn => {
            groups::add_partitions(decode(incoming, body)?, code).into_answer(version)
        }
        ApiKey::DescribeTransactions => {
            groups::transactions(decode(incoming, body)?, code).into_answer(version)
        }
        _ => Err(Closed),
    }
}
