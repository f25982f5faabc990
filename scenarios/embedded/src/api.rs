//! The APIs that a broker offers, and who answers them.

mod acls;
mod cluster;
mod configs;
pub(crate) mod coordinators;
mod fetch;
mod groups;
pub(crate) mod list_offsets;
mod metadata;
mod produce;
mod quotas;
mod reassign;
mod records;
pub(crate) mod sasl;
pub(crate) mod sessions;
mod topics;
mod transactions;
mod users;
mod versions;

pub(crate) use topics::name_problem;

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};

#[cfg(any(test, fuzzing))]
use crate::fuzz::Inventor;
use crate::server::{Answer, Closed, Incoming};

/// Lists the offered APIs once: versions for ApiVersions, and the handler.
///
/// A handler is `async fn(&Incoming, Request) -> Result<Response, Closed>`; one in brackets answers as
/// [`Answer`] itself.
macro_rules! offer {
    ($($api:ident $min:literal..=$max:literal $request:ident => $handler:path;)*) => {
        /// API, lowest and highest version, as Kafka 4.3.1 offers them (docs/spec/real-kafka.md).
        pub(crate) const OFFERED: &[(ApiKey, i16, i16)] = &[$((ApiKey::$api, $min, $max),)*];

        /// As [`OFFERED`], and what reads a made-up request of the API.
        #[cfg(any(test, fuzzing))]
        pub(crate) fn readers() -> impl Iterator<Item = (ApiKey, i16, i16, fn(&mut Inventor<'_>, i16) -> bool)> {
            [$((
                ApiKey::$api,
                $min,
                $max,
                (|inventor: &mut Inventor<'_>, version| inventor.reads::<kafka_protocol::messages::$request>(version))
                    as fn(&mut Inventor<'_>, i16) -> bool,
            ),)*]
            .into_iter()
        }

        /// Decodes the request, has it answered, encodes the response.
        ///
        /// # Errors
        /// [`Closed`] if the request is malformed.
        pub(crate) async fn answer(incoming: &Incoming, body: Bytes) -> Result<Answer, Closed> {
            match incoming.api {
                $(ApiKey::$api => {
                    let request: kafka_protocol::messages::$request = decode(incoming, body)?;
                    // Boxed, so that a connection's own future stays small.
                    let response = Box::pin($handler(incoming, request)).await?;
                    response.into_answer(incoming.version)
                })*
                _ => Err(Closed),
            }
        }
    };
}

offer! {
    Produce 0..=13 ProduceRequest => produce::produce;
    Fetch 4..=18 FetchRequest => fetch::fetch;
    ListOffsets 1..=11 ListOffsetsRequest => list_offsets::list_offsets;
    Metadata 0..=13 MetadataRequest => metadata::metadata;
    ApiVersions 0..=4 ApiVersionsRequest => versions::api_versions;
    SaslHandshake 0..=1 SaslHandshakeRequest => sasl::handshake_too_much;
    CreateTopics 2..=7 CreateTopicsRequest => topics::create_topics;
    DescribeAcls 1..=3 DescribeAclsRequest => acls::describe;
    CreateAcls 1..=3 CreateAclsRequest => acls::create;
    DeleteAcls 1..=3 DeleteAclsRequest => acls::delete;
    SaslAuthenticate 0..=2 SaslAuthenticateRequest => sasl::authenticate_too_much;
    DescribeUserScramCredentials 0..=0 DescribeUserScramCredentialsRequest => users::describe;
    AlterUserScramCredentials 0..=0 AlterUserScramCredentialsRequest => users::alter;
    FindCoordinator 0..=6 FindCoordinatorRequest => coordinators::find_coordinator;
    JoinGroup 0..=9 JoinGroupRequest => groups::join_group;
    SyncGroup 0..=5 SyncGroupRequest => groups::sync_group;
    Heartbeat 0..=4 HeartbeatRequest => groups::heartbeat;
    LeaveGroup 0..=5 LeaveGroupRequest => groups::leave_group;
    OffsetCommit 2..=10 OffsetCommitRequest => groups::offset_commit;
    OffsetFetch 1..=10 OffsetFetchRequest => groups::offset_fetch;
    OffsetDelete 0..=0 OffsetDeleteRequest => groups::offset_delete;
    TxnOffsetCommit 0..=5 TxnOffsetCommitRequest => groups::txn_offset_commit;
    ListGroups 0..=5 ListGroupsRequest => groups::list_groups;
    DescribeGroups 0..=6 DescribeGroupsRequest => groups::describe_groups;
    DeleteGroups 0..=2 DeleteGroupsRequest => groups::delete_groups;
    ConsumerGroupHeartbeat 0..=1 ConsumerGroupHeartbeatRequest => groups::consumer_group_heartbeat;
    ConsumerGroupDescribe 0..=1 ConsumerGroupDescribeRequest => groups::consumer_group_describe;
    InitProducerId 0..=5 InitProducerIdRequest => transactions::init_producer_id;
    AddPartitionsToTxn 0..=5 AddPartitionsToTxnRequest => transactions::add_partitions_to_txn;
    AddOffsetsToTxn 0..=4 AddOffsetsToTxnRequest => transactions::add_offsets_to_txn;
    EndTxn 0..=5 EndTxnRequest => transactions::end_txn;
    WriteTxnMarkers 1..=1 WriteTxnMarkersRequest => transactions::write_txn_markers;
    DescribeProducers 0..=0 DescribeProducersRequest => transactions::describe_producers;
    DescribeTransactions 0..=0 DescribeTransactionsRequest => transactions::describe_transactions;
    ListTransactions 0..=2 ListTransactionsRequest => transactions::list_transactions;
    DeleteTopics 1..=6 DeleteTopicsRequest => topics::delete_topics;
    CreatePartitions 0..=3 CreatePartitionsRequest => topics::create_partitions;
    DescribeTopicPartitions 0..=0 DescribeTopicPartitionsRequest => topics::describe_topic_partitions;
    DescribeConfigs 1..=4 DescribeConfigsRequest => configs::describe_configs;
    AlterConfigs 0..=2 AlterConfigsRequest => configs::alter_configs;
    IncrementalAlterConfigs 0..=1 IncrementalAlterConfigsRequest => configs::incremental_alter_configs;
    ListConfigResources 0..=1 ListConfigResourcesRequest => configs::list_config_resources;
    DeleteRecords 0..=2 DeleteRecordsRequest => records::delete_records;
    OffsetForLeaderEpoch 2..=4 OffsetForLeaderEpochRequest => records::offset_for_leader_epoch;
    DescribeCluster 0..=2 DescribeClusterRequest => cluster::describe_cluster;
    DescribeQuorum 0..=2 DescribeQuorumRequest => cluster::describe_quorum;
    DescribeLogDirs 1..=4 DescribeLogDirsRequest => cluster::describe_log_dirs;
    ElectLeaders 0..=2 ElectLeadersRequest => reassign::elect_leaders;
    AlterPartitionReassignments 0..=1 AlterPartitionReassignmentsRequest => reassign::alter_partition_reassignments;
    ListPartitionReassignments 0..=0 ListPartitionReassignmentsRequest => reassign::list_partition_reassignments;
    DescribeClientQuotas 0..=1 DescribeClientQuotasRequest => quotas::describe_client_quotas;
    AlterClientQuotas 0..=1 AlterClientQuotasRequest => quotas::alter_client_quotas;
}

/// Kafka's words for INVALID_REQUEST, where a broker has none of its own.
const INVALID_REQUEST_WORDS: &str = "This most likely occurs because of a request being malformed by the client library or the message was sent to an incompatible broker. See the broker logs for more details.";

/// Produce 0 to 2 are only advertised, for old clients' sake; a request of these closes the connection.
const PRODUCE_MIN: i16 = 3;

/// Whether requests of this version are read. ApiVersions is: another version gets an answer that says which.
pub(crate) fn offers(api: ApiKey, version: i16) -> bool {
    offers_exactly(api, version) && (api != ApiKey::Produce || version >= PRODUCE_MIN)
        || api == ApiKey::ApiVersions
}

/// Whether this version is listed.
pub(crate) fn offers_exactly(api: ApiKey, version: i16) -> bool {
    OFFERED
        .iter()
        .any(|(key, min, max)| *key == api && (*min..=*max).contains(&version))
}

/// ListOffsets 11 only brings a further special timestamp (KIP-1023), about tiered storage, which is not offered.
const LIST_OFFSETS_LAYOUT_MAX: i16 = 10;

/// The version as which a request of `version` is read, and answered: another one where two look the same and
/// `kafka-protocol` knows one of them only.
pub(crate) fn layout(api: ApiKey, version: i16) -> i16 {
    match api {
        ApiKey::ListOffsets => version.min(LIST_OFFSETS_LAYOUT_MAX),
        _ => version,
    }
}

pub(crate) fn decode<T: Decodable + Default>(
    incoming: &Incoming,
    body: Bytes,
) -> Result<T, Closed> {
    if incoming.api == ApiKey::ApiVersions && !offers_exactly(incoming.api, incoming.version) {
        return Ok(T::default()); // unreadable; the answer says so
    }
    let version = layout(incoming.api, incoming.version);
    let (mut body, version) = groups::with_ids_as_names(incoming.api, version, body)?;
    messages::decode(&mut body, version).map_err(Closed::from)
}

/// What a handler may return.
pub(crate) trait IntoAnswer {
    fn into_answer(self, version: i16) -> Result<Answer, Closed>;
}

impl<R: Encodable + HeaderVersion> IntoAnswer for R {
    fn into_answer(self, version: i16) -> Result<Answer, Closed> {
        let mut body = BytesMut::with_capacity(self.compute_size(version).unwrap_or(256));
        let encoded = self.encode(&mut body, version);
        #[cfg(any(test, fuzzing))]
        assert!(encoded.is_ok(), "an answer that cannot be: {encoded:?}");
        encoded.map_err(|_| Closed)?;
        Ok(Answer::Body {
            header_version: R::header_version(version),
            body,
        })
    }
}

impl IntoAnswer for Answer {
    fn into_answer(self, _version: i16) -> Result<Answer, Closed> {
        Ok(self)
    }
}

/// Judges the leader epoch that a client believes in; -1 is no belief.
pub(crate) fn check_epoch(
    believed: i32,
    leadership: &crate::state::Leadership,
) -> Result<(), ResponseError> {
    match believed {
        -1 => Ok(()),
        older if older < leadership.epoch => Err(ResponseError::FencedLeaderEpoch),
        newer if newer > leadership.epoch => Err(ResponseError::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A version that is offered but cannot be read closes the connection, and clients try for ever.
    #[test]
    fn every_offered_version_can_be_read() {
        for &(api, min, max) in OFFERED {
            let known = api.valid_versions();
            let min = match api {
                ApiKey::Produce => PRODUCE_MIN,
                _ => min,
            };
            let max = match api {
                ApiKey::OffsetCommit | ApiKey::OffsetFetch => max - 1, // see `by_id`
                _ => layout(api, max),
            };
            assert!(
                known.min <= min && max <= known.max,
                "{api:?} {min} to {max}: readable are {known:?}"
            );
        }
    }
}
