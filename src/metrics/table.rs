//! Every metric, once: the document `docs/metrics.md` is made from this table.

/// A family of series.
pub(super) struct Metric {
    pub(super) name: &'static str,
    /// As in the text format.
    pub(super) kind: &'static str,
    /// For the document.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the document is made by a test")
    )]
    pub(super) labels: &'static str,
    pub(super) help: &'static str,
}

macro_rules! metrics {
    ($list:ident: $($id:ident = $name:literal $kind:ident [$labels:literal] $help:literal;)*) => {
        $(pub(super) const $id: Metric = Metric {
            name: $name, kind: stringify!($kind), labels: $labels, help: $help,
        };)*
        #[cfg(test)]
        pub(super) const $list: &[Metric] = &[$($id),*];
    };
}

metrics! { NATIVE:
    BUILD = "crosscurrent_build_info" gauge ["version"] "Always 1.";
    UPTIME = "crosscurrent_uptime_seconds" gauge [""] "Time since the flows were started.";
    BUDGET_USED = "crosscurrent_budget_used_bytes" gauge [""] "Fetched bytes that are on their way in this process.";
    BUDGET_LIMIT = "crosscurrent_budget_limit_bytes" gauge [""] "Bound on fetched bytes on their way.";
    LEFT_OUT = "crosscurrent_partitions_left_out" gauge [""] "Partitions without series of their own, because there are more than 20,000; 0 if all have them.";
    FLOW_TROUBLED = "crosscurrent_flow_troubled" gauge ["flow"] "1 while something keeps all of the flow from getting on.";
    FLOW_TAKEN = "crosscurrent_flow_taken_over" gauge ["flow"] "1 when another process has taken the flow over.";
    FLOW_PARTITIONS = "crosscurrent_flow_partitions" gauge ["flow, state"] "Partitions by state: starting, running, waiting, halted, stopped.";
    FLOW_LAG = "crosscurrent_flow_lag_records" gauge ["flow"] "Offsets of the source that the target has not acknowledged, as far as known.";
    FLOW_RECORDS = "crosscurrent_flow_records_total" counter ["flow"] "Records acknowledged by the target.";
    FLOW_BYTES = "crosscurrent_flow_bytes_total" counter ["flow"] "Bytes of batches, as stored, acknowledged by the target.";
    FLOW_LATENCY = "crosscurrent_flow_latency_seconds" histogram ["flow"] "Age of each batch's newest record when the target acknowledged the batch; one value per batch.";
    FLOW_FIRST = "crosscurrent_flow_first_copy_offsets" gauge ["flow"] "Offsets that the source's logs held when this process first looked at them.";
    FLOW_FIRST_COPIED = "crosscurrent_flow_first_copy_copied_offsets" gauge ["flow"] "Those of them that are copied, whoever did it.";
    FLOW_UNSEEN = "crosscurrent_flow_first_copy_unseen_partitions" gauge ["flow"] "Partitions that are not in these two figures, because their logs were not looked at yet.";
    FLOW_SKIPPED = "crosscurrent_flow_skipped_records_total" counter ["flow"] "Records that policy left out.";
    FLOW_RESTARTS = "crosscurrent_flow_restarts_total" counter ["flow"] "Restarts of partitions.";
    REENCODED = "crosscurrent_batches_reencoded_total" counter ["flow, reason"] "Batches written anew instead of passed as bytes.";
    DROPPED = "crosscurrent_batches_dropped_total" counter ["flow, reason"] "Batches that are not copied, such as transaction markers.";
    GROUPS = "crosscurrent_groups" gauge ["flow"] "Consumer groups of the source that are known.";
    NOT_SYNCED = "crosscurrent_group_partitions_not_synced" gauge ["flow, reason"] "Offsets of groups that are not on the target, by reason.";
    GROUPS_LEFT_OUT = "crosscurrent_group_series_left_out" gauge [""] "Groups' partitions without a checkpoint latency of their own, because there are more than 10,000; 0 if all have one.";
    P_STATE = "crosscurrent_partition_state" gauge ["flow, topic, partition, state"] "1 for the state that the partition is in.";
    P_LAG = "crosscurrent_partition_lag_records" gauge ["flow, topic, partition"] "Offsets of the source that the target has not acknowledged.";
    P_POSITION = "crosscurrent_partition_position" gauge ["flow, topic, partition"] "Next offset to fetch from the source.";
    P_ACKED = "crosscurrent_partition_acked_offset" gauge ["flow, topic, partition"] "Last offset of the source up to which everything is on the target.";
    P_RECORDS = "crosscurrent_partition_records_total" counter ["flow, topic, partition"] "Records acknowledged by the target.";
    P_BYTES = "crosscurrent_partition_bytes_total" counter ["flow, topic, partition"] "Bytes of batches, as stored, acknowledged by the target.";
    P_UPDATED = "crosscurrent_partition_last_progress_timestamp_seconds" gauge ["flow, topic, partition"] "When the partition got on last.";
}

metrics! { PROCESS:
    CPU = "process_cpu_seconds_total" counter [""] "User and system time of all threads.";
    RESIDENT = "process_resident_memory_bytes" gauge [""] "Memory in use, without what is swapped out.";
    VIRTUAL = "process_virtual_memory_bytes" gauge [""] "Address space in use.";
    OPEN_FDS = "process_open_fds" gauge [""] "Open files and connections.";
    MAX_FDS = "process_max_fds" gauge [""] "Bound on open files and connections.";
    THREADS = "process_threads" gauge [""] "Threads.";
    START_TIME = "process_start_time_seconds" gauge [""] "When the process was started. Unit: seconds since the epoch.";
}

metrics! { MM2:
    RECORD_COUNT = "kafka_connect_mirror_mirrorsourceconnector_record_count" gauge ["partition, source, target, topic"] "Records acknowledged by the target.";
    RECORD_RATE = "kafka_connect_mirror_mirrorsourceconnector_record_rate" gauge ["partition, source, target, topic"] "Records per second over the last 30 to 60 seconds.";
    BYTE_COUNT = "kafka_connect_mirror_mirrorsourceconnector_byte_count" gauge ["partition, source, target, topic"] "Bytes of batches as stored, compressed, with keys and headers; in MM2 plain values only.";
    BYTE_RATE = "kafka_connect_mirror_mirrorsourceconnector_byte_rate" gauge ["partition, source, target, topic"] "The same per second.";
    AGE = "kafka_connect_mirror_mirrorsourceconnector_record_age_ms" gauge ["partition, source, target, topic"] "Age, when fetched, of the newest record of the last batch; in MM2 of the last record.";
    AGE_AVG = "kafka_connect_mirror_mirrorsourceconnector_record_age_ms_avg" gauge ["partition, source, target, topic"] "The same, mean per fetch instead of per record.";
    AGE_MIN = "kafka_connect_mirror_mirrorsourceconnector_record_age_ms_min" gauge ["partition, source, target, topic"] "The same, least.";
    AGE_MAX = "kafka_connect_mirror_mirrorsourceconnector_record_age_ms_max" gauge ["partition, source, target, topic"] "The same, greatest.";
    LATENCY = "kafka_connect_mirror_mirrorsourceconnector_replication_latency_ms" gauge ["partition, source, target, topic"] "Age, when acknowledged, of the newest record of the last batch; in MM2 of the last record.";
    LATENCY_AVG = "kafka_connect_mirror_mirrorsourceconnector_replication_latency_ms_avg" gauge ["partition, source, target, topic"] "The same, mean per batch instead of per record.";
    LATENCY_MIN = "kafka_connect_mirror_mirrorsourceconnector_replication_latency_ms_min" gauge ["partition, source, target, topic"] "The same, least.";
    LATENCY_MAX = "kafka_connect_mirror_mirrorsourceconnector_replication_latency_ms_max" gauge ["partition, source, target, topic"] "The same, greatest.";
    CHECKPOINT = "kafka_connect_mirror_mirrorcheckpointconnector_checkpoint_latency_ms" gauge ["group, partition, source, target, topic"] "From asking what groups have committed to the checkpoint's acknowledgement, of the last checkpoint; of this group alone, in MM2 of any.";
    CHECKPOINT_AVG = "kafka_connect_mirror_mirrorcheckpointconnector_checkpoint_latency_ms_avg" gauge ["group, partition, source, target, topic"] "The same, mean; no series without a checkpoint in the window.";
    CHECKPOINT_MIN = "kafka_connect_mirror_mirrorcheckpointconnector_checkpoint_latency_ms_min" gauge ["group, partition, source, target, topic"] "The same, least.";
    CHECKPOINT_MAX = "kafka_connect_mirror_mirrorcheckpointconnector_checkpoint_latency_ms_max" gauge ["group, partition, source, target, topic"] "The same, greatest.";
    RECORDS_LAG = "kafka_consumer_fetch_manager_records_lag" gauge ["clientid, partition, topic"] "Offsets that the target has not acknowledged; topic is the source's.";
    INCOMING = "kafka_consumer_incoming_byte_total" counter ["clientid"] "Bytes of batches copied, without the protocol's own.";
    OUTGOING = "kafka_producer_outgoing_byte_total" counter ["clientid"] "Bytes of batches copied, without the protocol's own.";
    BUFFER = "kafka_producer_buffer_available_bytes" gauge ["clientid"] "What is left of the bound on bytes on their way, which all flows share.";
    STATUS = "kafka_connect_connector_status" gauge ["connector, status, task"] "1 for the status that the task is in.";
    ACTIVE = "kafka_connect_source_task_source_record_active_count" gauge ["connector, task"] "Offsets fetched and not acknowledged.";
    WRITTEN = "kafka_connect_source_task_source_record_write_total" counter ["connector, task"] "Records acknowledged by the target.";
    SKIPPED = "kafka_connect_task_error_total_records_skipped" gauge ["connector, task"] "Records that policy left out.";
    COMMIT_AVG = "kafka_connect_connector_task_offset_commit_avg_time_ms" gauge ["connector, task"] "What it took to store positions, mean of the window, or of the last time before it. All tasks of a flow are stored at once and show the same.";
    COMMIT_MAX = "kafka_connect_connector_task_offset_commit_max_time_ms" gauge ["connector, task"] "The same, greatest.";
    CONNECTORS = "kafka_connect_worker_connector_count" gauge [""] "Connectors: three per flow.";
    TASKS = "kafka_connect_worker_task_count" gauge [""] "Tasks of all connectors.";
    TASKS_TOTAL = "kafka_connect_worker_connector_total_task_count" gauge ["connector"] "Tasks of the connector.";
    TASKS_RUNNING = "kafka_connect_worker_connector_running_task_count" gauge ["connector"] "Tasks that run.";
    TASKS_PAUSED = "kafka_connect_worker_connector_paused_task_count" gauge ["connector"] "Tasks that are paused.";
    TASKS_FAILED = "kafka_connect_worker_connector_failed_task_count" gauge ["connector"] "Tasks with a halted partition.";
    REBALANCING = "kafka_connect_worker_rebalance_rebalancing" gauge [""] "Always 0: there is no rebalance.";
    ASSIGNED_CONNECTORS = "kafka_connect_coordinator_assigned_connectors" gauge ["clientid"] "Connectors of the flow.";
    ASSIGNED_TASKS = "kafka_connect_coordinator_assigned_tasks" gauge ["clientid"] "Tasks of the flow.";
}
