//! The checkpoints topic: created, read once, written to.

use std::sync::Arc;

use engine::batch::{BatchBuilder, Codec, ProducerStamp};
use engine::cluster::{Cluster, ClusterError, ErrorCode};
use engine::offsets::{
    Checkpoint, CheckpointTable, DownstreamOffset, OffsetSync, OffsetSyncStore, UpstreamOffset,
};
use topology::{FlowConfig, OffsetSyncsLocation};
use tracing::{debug, warn};

use super::GroupPartition;
use crate::flow::Flow;
use crate::lease::LeaseError;

/// Bytes per batch, well below Kafka's default limit of 1 MiB.
const BATCH_BYTES_MAX: usize = 512 << 10;
const PARTITION: i32 = 0;
const PARTITIONS: i32 = 1;

/// A checkpoint to be written.
#[derive(Debug)]
pub(super) struct Unwritten {
    /// On the source.
    pub(super) at: GroupPartition,
    pub(super) upstream: i64,
    pub(super) downstream: i64,
    pub(super) metadata: String,
    /// When the group was asked, as MM2 has it. Unit: epoch milliseconds.
    pub(super) timestamp_ms: i64,
}

/// Creates the topic unless it is there, and reads the last checkpoints of the groups that the filter accepts. False: we may
/// not read it.
///
/// # Errors
/// [`ClusterError`]; try again.
pub(super) async fn open(flow: &Flow, table: &mut CheckpointTable) -> Result<bool, ClusterError> {
    let (topic, offsets) = (flow.config.checkpoints_topic(), &flow.config.offsets);
    let factor = offsets.checkpoints_topic_replication_factor;
    flow.target
        .create_compacted_topic(&topic, PARTITIONS, factor)
        .await?;
    let wanted = |group: &str| offsets.group_filter.accepts(group);
    match read_checkpoints(&flow.config, &flow.target, wanted).await {
        Ok(read) => {
            *table = read;
            Ok(true)
        }
        Err(error) if is_forbidden(&error) => {
            warn!(
                flow = %flow.label, topic, %error,
                "checkpoints cannot be read: those of groups behind what MM2 copied last are not translated"
            );
            *table = CheckpointTable::new();
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Reads the last checkpoints of the groups that are `wanted`, MM2's or ours, from the target (`docs/spec/mm2.md` 6.2).
///
/// # Errors
/// [`ClusterError`]: the topic is not there, or cannot be read to its end.
pub async fn read_checkpoints(
    config: &FlowConfig,
    target: &Cluster,
    wanted: impl Fn(&str) -> bool,
) -> Result<CheckpointTable, ClusterError> {
    let topic = config.checkpoints_topic();
    let mut table = CheckpointTable::new();
    let mut records = 0u64;
    let read = target.read_log(&topic, PARTITION, |record| {
        let (Some(key), Some(value)) = (record.key.as_deref(), record.value.as_deref()) else {
            return;
        };
        records += 1;
        if let Err(error) = table.apply(key, value, &wanted) {
            warn!(topic, offset = record.offset, %error, "skipping a malformed checkpoint");
        }
    });
    read.await?;
    debug!(flow = %config.id, records, "checkpoints read");
    Ok(table)
}

fn is_forbidden(error: &ClusterError) -> bool {
    matches!(error, ClusterError::Refused { refusal, .. }
        if refusal.code == ErrorCode::TOPIC_AUTHORIZATION_FAILED)
}

/// Reads the offset syncs of MM2, and those that we write for its readers, as of now (`docs/spec/mm2.md` 5.2).
/// `must_read_to_end`: see [`OffsetSyncStore::new`].
///
/// # Errors
/// [`ClusterError`]: the topic is not there, or cannot be read to its end.
pub async fn read_offset_syncs(
    config: &FlowConfig,
    (source, target): (&Cluster, &Cluster),
    must_read_to_end: bool,
) -> Result<OffsetSyncStore, ClusterError> {
    let host = match config.offsets.offset_syncs_location {
        OffsetSyncsLocation::Source => source,
        OffsetSyncsLocation::Target => target,
    };
    let topic = config.offset_syncs_topic();
    let mut store = OffsetSyncStore::new(must_read_to_end);
    let mut records = 0u64;
    host.read_log(&topic, PARTITION, |record| {
        let (Some(key), Some(value)) = (record.key.as_deref(), record.value.as_deref()) else {
            return;
        };
        records += 1;
        match OffsetSync::decode(key, value) {
            Ok(sync) => store.apply(&sync),
            Err(error) => {
                warn!(topic, offset = record.offset, %error, "skipping a malformed offset sync");
            }
        }
    })
    .await?;
    store.set_read_to_end();
    debug!(flow = %config.id, records, "offset syncs read, for what MM2 has copied");
    Ok(store)
}

/// Writes checkpoints: (group, remote topic, partition), offsets.
///
/// # Errors
/// [`LeaseError`]; some may be written.
pub(super) async fn write<'a>(
    flow: &Flow,
    checkpoints: impl Iterator<Item = (&'a (Arc<str>, Arc<str>, i32), &'a Unwritten)>,
) -> Result<(), LeaseError> {
    let mut builder = BatchBuilder::new(Codec::None);
    for ((group, topic, partition), offsets) in checkpoints {
        let checkpoint = Checkpoint {
            consumer_group_id: group.to_string(),
            topic: topic.to_string(),
            partition: *partition,
            upstream_offset: UpstreamOffset(offsets.upstream),
            downstream_offset: DownstreamOffset(offsets.downstream),
            metadata: offsets.metadata.clone(),
        };
        let encoded =
            (checkpoint.encode_key()).and_then(|key| Ok((key, checkpoint.encode_value()?)));
        let (key, value) = match encoded {
            Ok(encoded) => encoded,
            Err(error) => {
                warn!(flow = %flow.label, %group, %error, "a checkpoint cannot be written");
                continue;
            }
        };
        (builder.push(offsets.timestamp_ms, Some(&key), Some(&value), &[]))
            .map_err(|error| unwritable(flow, &error))?;
        if builder.plain_bytes() >= BATCH_BYTES_MAX {
            let full = std::mem::replace(&mut builder, BatchBuilder::new(Codec::None));
            append(flow, full).await?;
        }
    }
    append(flow, builder).await
}

async fn append(flow: &Flow, builder: BatchBuilder) -> Result<(), LeaseError> {
    if builder.count() == 0 {
        return Ok(());
    }
    let batch = builder.build().map_err(|error| unwritable(flow, &error))?;
    flow.lease.check(&flow.target).await?;
    let (topic, nobody) = (flow.config.checkpoints_topic(), ProducerStamp::NONE);
    let patience = flow.config.target.request_timeout;
    let written = flow
        .target
        .append(&topic, PARTITION, batch, nobody, patience);
    Ok(written.await?)
}

fn unwritable(flow: &Flow, error: &dyn std::fmt::Display) -> ClusterError {
    ClusterError::Unreadable {
        alias: flow.target.alias().into(),
        what: flow.config.checkpoints_topic(),
        reason: error.to_string(),
    }
}
