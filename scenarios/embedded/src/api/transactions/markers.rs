//! WriteTxnMarkers: what `kafka-transactions abort` ends hanging transactions with.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};

use crate::security::{Operation, Resource};
use crate::server::{Closed, Incoming};
use crate::transactions::{Producer, write_marker};

/// Writes markers into partitions that this broker leads. The coordinator is not asked.
pub(crate) async fn write_txn_markers(
    incoming: &Incoming,
    request: WriteTxnMarkersRequest,
) -> Result<WriteTxnMarkersResponse, Closed> {
    let allowed = incoming.may(Operation::ClusterAction, Resource::Cluster)
        || incoming.may(Operation::Alter, Resource::Cluster);
    let markers = request.markers.iter().map(|marker| {
        let topics = marker.topics.iter().map(|topic| {
            let rows = topic.partition_indexes.iter().map(|index| {
                let result = if allowed {
                    write(incoming, marker, &topic.name, *index)
                } else {
                    Err(ResponseError::ClusterAuthorizationFailed)
                };
                WritableTxnMarkerPartitionResult::default()
                    .with_partition_index(*index)
                    .with_error_code(result.err().map_or(0, |error| error.code()))
            });
            WritableTxnMarkerTopicResult::default()
                .with_name(topic.name.clone())
                .with_partitions(rows.collect())
        });
        WritableTxnMarkerResult::default()
            .with_producer_id(marker.producer_id)
            .with_topics(topics.collect())
    });
    Ok(WriteTxnMarkersResponse::default().with_markers(markers.collect()))
}

fn write(
    incoming: &Incoming,
    marker: &WritableTxnMarker,
    topic: &str,
    index: i32,
) -> Result<(), ResponseError> {
    let shared = &incoming.shared;
    let (topic, partition) = shared.state().partition(topic, index)?;
    if partition.lock().leadership.leader != incoming.node_id {
        return Err(ResponseError::NotLeaderOrFollower);
    }
    let producer = Producer {
        id: marker.producer_id.0,
        epoch: marker.producer_epoch,
    };
    let (commit, coordinator) = (marker.transaction_result, marker.coordinator_epoch);
    write_marker(shared, &topic, &partition, producer, commit, coordinator)
}
