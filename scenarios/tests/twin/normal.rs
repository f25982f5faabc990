//! What two clusters answer differently by nature, replaced by what they must agree on.
//!
//! Ids that a cluster hands out (topics, producers, members, sessions) become their place in the order in
//! which they were handed out; times that a broker took become [`BROKER_TIME`]; lists without an order of
//! their own are sorted.

use std::collections::HashSet;

use bytes::Bytes;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

/// Stands for a time that a broker took from its clock. Unit: milliseconds, as it stands in place of some.
pub(crate) const BROKER_TIME: i64 = 1_111;
/// A broker's time lies between the start of a list and this much later. Unit: milliseconds.
const LIST_TAKES_AT_MOST_MS: i64 = 20 * 60_000;
/// Shown in place of the n-th producer id.
const PRODUCER_BASE: i64 = 5_000_000_000;
/// Length of a UUID as Kafka prints it at the end of a member id.
const UUID_CHARS: usize = 36;
/// Length of a UUID as Kafka prints it everywhere else.
const BASE64_CHARS: usize = 22;
/// Shortest run of digits in a message that is taken for a time.
const TIME_DIGITS: usize = 13;

/// APIs that the embedded cluster does not offer (its documentation says why): AlterReplicaLogDirs, delegation tokens,
/// UpdateFeatures, UnregisterBroker, share groups, streams groups.
const NOT_OFFERED: [i16; 23] = [
    34, 38, 39, 40, 41, 57, 64, 76, 77, 78, 79, 80, 81, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92,
];
/// APIs whose newest version the protocol library does not know yet: WriteTxnMarkers, DescribeLogDirs.
const NEWEST_NOT_OFFERED: [i16; 2] = [27, 35];

/// What one cluster has handed out during one list.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Start of all names of the list.
    pub(crate) prefix: String,
    /// When the list started. Unit: milliseconds since 1970.
    pub(crate) start_ms: i64,
    /// The broker's port.
    pub(crate) port: i32,
    topics: Vec<Uuid>,
    pids: Vec<i64>,
    members: Vec<String>,
    sessions: Vec<i32>,
    /// Bodies of all batches sent.
    pub(crate) sent: HashSet<Bytes>,
    /// The request asks for the largest timestamp. Which record has that is chance where brokers tell the time: two
    /// batches, or markers, may fall into one millisecond.
    pub(crate) largest_timestamp: bool,
    /// Lines to show below the answer.
    pub(crate) notes: Vec<String>,
}

impl Names {
    pub(crate) fn add_topic(&mut self, id: Uuid) {
        if !id.is_nil() && !self.topics.contains(&id) {
            self.topics.push(id);
        }
    }

    fn add_pid(&mut self, pid: ProducerId) {
        if pid.0 >= 0 && !self.pids.contains(&pid.0) {
            self.pids.push(pid.0);
        }
    }

    fn topic(&self, id: &mut Uuid) {
        if let Some(k) = self.topics.iter().position(|known| known == id) {
            *id = Uuid::from_u128(k as u128 + 1);
        }
    }

    pub(crate) fn pid_number(&self, pid: i64) -> i64 {
        let found = self.pids.iter().position(|known| *known == pid);
        found.map_or(pid, |k| PRODUCER_BASE + k as i64)
    }

    fn pid(&self, pid: &mut ProducerId) {
        pid.0 = self.pid_number(pid.0);
    }

    fn session(&mut self, id: &mut i32) {
        if *id == 0 {
            return;
        }
        let found = self.sessions.iter().position(|known| known == id);
        *id = 1 + found.unwrap_or_else(|| {
            self.sessions.push(*id);
            self.sessions.len() - 1
        }) as i32;
    }

    /// In the newer protocol a member id that the broker chose is a topic-like id, 22 characters long.
    fn add_broker_chosen_member(&mut self, id: &str) {
        let known = self.members.iter().any(|known| known == id);
        if id.len() == BASE64_CHARS && !known {
            self.members.push(id.to_owned());
        }
    }

    fn add_member(&mut self, id: &str) {
        let known = self.members.iter().any(|known| known == id);
        if id.len() > UUID_CHARS && !known {
            self.members.push(id.to_owned());
        }
    }

    fn member(&self, id: &mut StrBytes) {
        if let Some(k) = self.members.iter().position(|known| known == id.as_str()) {
            let front = &id[..id.len().saturating_sub(UUID_CHARS)];
            *id = StrBytes::from_string(format!("{front}(member {k})"));
        }
    }

    pub(crate) fn time(&self, ms: i64) -> i64 {
        match (self.start_ms..self.start_ms + LIST_TAKES_AT_MOST_MS).contains(&ms) {
            true => BROKER_TIME,
            false => ms,
        }
    }

    fn port(&self, port: &mut i32) {
        if *port == self.port {
            *port = 9092;
        }
    }

    /// A message without ids and times.
    fn text(&self, text: &mut Option<StrBytes>) {
        let Some(old) = text else { return };
        let mut new = old.to_string();
        for (k, member) in self.members.iter().enumerate() {
            new = new.replace(member.as_str(), &format!("(member {k})"));
        }
        for (k, id) in self.topics.iter().enumerate() {
            new = new.replace(&base64url(*id), &format!("(topic {k})"));
        }
        for (k, pid) in self.pids.iter().enumerate() {
            for word in ["producer ", "producerId ", "producer id "] {
                let (from, to) = (format!("{word}{pid} "), format!("{word}(producer {k}) "));
                new = new.replace(&from, &to);
            }
        }
        new = new.replace(&format!(":{}", self.port), ":9092");
        *text = Some(StrBytes::from_string(without_times(&new)));
    }
}

/// A topic id as Kafka prints it.
pub(crate) fn base64url(id: Uuid) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = id.as_u128();
    let mut text: String = (0..21)
        .map(|k| DIGITS[(bits >> (122 - 6 * k)) as usize & 63] as char)
        .collect();
    text.push(DIGITS[(bits << 4) as usize & 63] as char);
    text
}

fn without_times(text: &str) -> String {
    let (mut out, mut digits) = (String::new(), String::new());
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        out += if digits.len() >= TIME_DIGITS {
            "(time)"
        } else {
            &digits
        };
        digits.clear();
        out.push(c);
    }
    out.pop();
    out
}

/// An answer that can be compared with another cluster's.
pub(crate) trait Normal {
    fn normalise(&mut self, names: &mut Names);
}

/// Answers in which only the throttle time differs by nature.
macro_rules! only_throttled {
    ($($response:ty),* $(,)?) => {$(
        impl Normal for $response {
            fn normalise(&mut self, _: &mut Names) {
                self.throttle_time_ms = 0;
            }
        }
    )*};
}

only_throttled!(
    IncrementalAlterConfigsResponse,
    AddOffsetsToTxnResponse,
    SyncGroupResponse,
    HeartbeatResponse,
    OffsetForLeaderEpochResponse,
    DeleteRecordsResponse,
    ListConfigResourcesResponse,
);

impl Normal for ApiVersionsResponse {
    fn normalise(&mut self, _: &mut Names) {
        self.throttle_time_ms = 0;
        self.finalized_features_epoch = 0; // the controller's log offset
        self.api_keys
            .retain(|row| !NOT_OFFERED.contains(&row.api_key));
        for row in &mut self.api_keys {
            if NEWEST_NOT_OFFERED.contains(&row.api_key) {
                row.max_version = 0;
            }
        }
        self.api_keys.sort_by_key(|key| key.api_key);
        self.supported_features.sort_by_key(|f| f.name.to_string());
        self.finalized_features.sort_by_key(|f| f.name.to_string());
    }
}

impl Normal for ProduceResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        for endpoint in &mut self.node_endpoints {
            names.port(&mut endpoint.port);
        }
        for topic in &mut self.responses {
            names.topic(&mut topic.topic_id);
            topic.partition_responses.sort_by_key(|p| p.index);
            for partition in &mut topic.partition_responses {
                partition.log_append_time_ms = names.time(partition.log_append_time_ms);
                names.text(&mut partition.error_message);
                for record in &mut partition.record_errors {
                    names.text(&mut record.batch_index_error_message);
                }
            }
        }
        let key = |t: &produce_response::TopicProduceResponse| (t.name.to_string(), t.topic_id);
        self.responses.sort_by_key(key);
    }
}

impl Normal for FetchResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        names.session(&mut self.session_id);
        for endpoint in &mut self.node_endpoints {
            names.port(&mut endpoint.port);
        }
        for topic in &mut self.responses {
            names.topic(&mut topic.topic_id);
        }
        let key = |t: &fetch_response::FetchableTopicResponse| (t.topic.to_string(), t.topic_id);
        self.responses.sort_by_key(key);
        for topic in &mut self.responses {
            topic.partitions.sort_by_key(|p| p.partition_index);
            for partition in &mut topic.partitions {
                for aborted in partition.aborted_transactions.iter_mut().flatten() {
                    names.pid(&mut aborted.producer_id);
                }
                if let Some(records) = partition.records.as_mut().filter(|r| !r.is_empty()) {
                    let at = format!("{} {}", topic.topic.as_str(), partition.partition_index);
                    let lines = crate::records::describe(records, names);
                    names.notes.push(format!("records of {at}:"));
                    names.notes.extend(lines);
                    *records = Bytes::from_static(b"below");
                }
            }
        }
    }
}

impl Normal for ListOffsetsResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        self.topics.sort_by_key(|t| t.name.to_string());
        for partition in self.topics.iter_mut().flat_map(|t| &mut t.partitions) {
            partition.timestamp = names.time(partition.timestamp);
            if names.largest_timestamp && partition.timestamp == BROKER_TIME {
                partition.offset = BROKER_TIME;
            }
        }
        for topic in &mut self.topics {
            topic.partitions.sort_by_key(|p| p.partition_index);
        }
    }
}

impl Normal for CreateTopicsResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        self.topics.sort_by_key(|t| t.name.to_string());
        for topic in &mut self.topics {
            names.add_topic(topic.topic_id);
            names.topic(&mut topic.topic_id);
            names.text(&mut topic.error_message);
            if let Some(configs) = &mut topic.configs {
                configs.sort_by_key(|c| c.name.to_string());
            }
        }
    }
}

impl Normal for DeleteTopicsResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        for topic in &mut self.responses {
            names.topic(&mut topic.topic_id);
            names.text(&mut topic.error_message);
        }
        self.responses
            .sort_by_key(|t| (t.name.as_ref().map(|n| n.to_string()), t.topic_id));
    }
}

impl Normal for CreatePartitionsResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        self.results.sort_by_key(|t| t.name.to_string());
        for topic in &mut self.results {
            names.text(&mut topic.error_message);
        }
    }
}

impl Normal for DescribeConfigsResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        for result in &mut self.results {
            names.text(&mut result.error_message);
            result.configs.sort_by_key(|c| c.name.to_string());
        }
        self.results
            .sort_by_key(|r| (r.resource_type, r.resource_name.to_string()));
    }
}

impl Normal for MetadataResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        self.cluster_id = self.cluster_id.take().map(|_| "cluster".into());
        for broker in &mut self.brokers {
            names.port(&mut broker.port);
        }
        let of_list = |topic: &metadata_response::MetadataResponseTopic| {
            let name = topic.name.as_ref().map_or("", |name| name.as_str());
            topic.error_code != 0 || name.starts_with(names.prefix.as_str())
        };
        self.topics.retain(of_list);
        for topic in &mut self.topics {
            names.topic(&mut topic.topic_id);
            topic.partitions.sort_by_key(|p| p.partition_index);
        }
        self.topics
            .sort_by_key(|t| (t.name.as_ref().map(|n| n.to_string()), t.topic_id));
    }
}

impl Normal for DescribeTopicPartitionsResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        for topic in &mut self.topics {
            names.topic(&mut topic.topic_id);
        }
    }
}

impl Normal for DescribeClusterResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        if !self.cluster_id.is_empty() {
            self.cluster_id = "cluster".into();
        }
        for broker in &mut self.brokers {
            names.port(&mut broker.port);
        }
        names.text(&mut self.error_message);
    }
}

impl Normal for FindCoordinatorResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        names.port(&mut self.port);
        names.text(&mut self.error_message);
        for coordinator in &mut self.coordinators {
            names.port(&mut coordinator.port);
            names.text(&mut coordinator.error_message);
        }
    }
}

impl Normal for InitProducerIdResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        names.add_pid(self.producer_id);
        names.pid(&mut self.producer_id);
        names.pid(&mut self.ongoing_txn_producer_id);
    }
}

impl Normal for AddPartitionsToTxnResponse {
    fn normalise(&mut self, _: &mut Names) {
        self.throttle_time_ms = 0;
        let topics = self
            .results_by_transaction
            .iter_mut()
            .map(|t| &mut t.topic_results);
        for topics in topics.chain([&mut self.results_by_topic_v3_and_below]) {
            topics.sort_by_key(|t| t.name.to_string());
            for topic in topics {
                topic
                    .results_by_partition
                    .sort_by_key(|p| p.partition_index);
            }
        }
    }
}

impl Normal for EndTxnResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        names.add_pid(self.producer_id);
        names.pid(&mut self.producer_id);
    }
}

impl Normal for TxnOffsetCommitResponse {
    fn normalise(&mut self, _: &mut Names) {
        self.throttle_time_ms = 0;
        self.topics.sort_by_key(|t| t.name.to_string());
        for topic in &mut self.topics {
            topic.partitions.sort_by_key(|p| p.partition_index);
        }
    }
}

impl Normal for DescribeProducersResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        for partition in self.topics.iter_mut().flat_map(|t| &mut t.partitions) {
            names.text(&mut partition.error_message);
            for producer in &mut partition.active_producers {
                names.pid(&mut producer.producer_id);
                producer.last_timestamp = names.time(producer.last_timestamp);
            }
            partition.active_producers.sort_by_key(|p| p.producer_id);
        }
    }
}

impl Normal for DescribeTransactionsResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        for state in &mut self.transaction_states {
            names.pid(&mut state.producer_id);
            state.transaction_start_time_ms = names.time(state.transaction_start_time_ms);
            state.topics.sort_by_key(|t| t.topic.to_string());
            for topic in &mut state.topics {
                topic.partitions.sort_unstable();
            }
        }
    }
}

impl Normal for ListTransactionsResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        let prefix = names.prefix.as_str();
        self.transaction_states
            .retain(|t| t.transactional_id.starts_with(prefix));
        for state in &mut self.transaction_states {
            names.pid(&mut state.producer_id);
        }
        self.transaction_states
            .sort_by_key(|t| t.transactional_id.to_string());
    }
}

impl Normal for OffsetCommitResponse {
    fn normalise(&mut self, _: &mut Names) {
        self.throttle_time_ms = 0;
        self.topics.sort_by_key(|t| t.name.to_string());
        for topic in &mut self.topics {
            topic.partitions.sort_by_key(|p| p.partition_index);
        }
    }
}

impl Normal for OffsetFetchResponse {
    fn normalise(&mut self, _: &mut Names) {
        self.throttle_time_ms = 0;
        self.topics.sort_by_key(|t| t.name.to_string());
        for topic in &mut self.topics {
            topic.partitions.sort_by_key(|p| p.partition_index);
        }
        for group in &mut self.groups {
            group.topics.sort_by_key(|t| t.name.to_string());
            for topic in &mut group.topics {
                topic.partitions.sort_by_key(|p| p.partition_index);
            }
        }
        self.groups.sort_by_key(|g| g.group_id.to_string());
    }
}

impl Normal for OffsetDeleteResponse {
    fn normalise(&mut self, _: &mut Names) {
        self.throttle_time_ms = 0;
        self.topics.sort_by_key(|t| t.name.to_string());
    }
}

impl Normal for DeleteGroupsResponse {
    fn normalise(&mut self, _: &mut Names) {
        self.throttle_time_ms = 0;
        self.results.sort_by_key(|g| g.group_id.to_string());
    }
}

impl Normal for ListGroupsResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        let prefix = names.prefix.as_str();
        self.groups.retain(|g| g.group_id.starts_with(prefix));
        self.groups.sort_by_key(|g| g.group_id.to_string());
    }
}

impl Normal for DescribeGroupsResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        for group in &mut self.groups {
            names.text(&mut group.error_message);
            for member in &mut group.members {
                names.member(&mut member.member_id);
            }
        }
        self.groups.sort_by_key(|g| g.group_id.to_string());
    }
}

impl Normal for JoinGroupResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        names.add_member(&self.member_id);
        names.member(&mut self.member_id);
        names.member(&mut self.leader);
        for member in &mut self.members {
            names.member(&mut member.member_id);
        }
    }
}

impl Normal for LeaveGroupResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        for member in &mut self.members {
            names.member(&mut member.member_id);
        }
    }
}

impl Normal for ConsumerGroupDescribeResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        for group in &mut self.groups {
            names.text(&mut group.error_message);
            for member in &mut group.members {
                names.member(&mut member.member_id);
                // A set on Kafka's side.
                member.subscribed_topic_names.sort();
                for assignment in [&mut member.assignment, &mut member.target_assignment] {
                    for topic in &mut assignment.topic_partitions {
                        names.topic(&mut topic.topic_id);
                        topic.partitions.sort_unstable();
                    }
                    assignment.topic_partitions.sort_by_key(|t| t.topic_id);
                }
            }
        }
        self.groups.sort_by_key(|g| g.group_id.to_string());
    }
}

impl Normal for ConsumerGroupHeartbeatResponse {
    fn normalise(&mut self, names: &mut Names) {
        self.throttle_time_ms = 0;
        if let Some(id) = &mut self.member_id {
            names.add_broker_chosen_member(id);
            names.member(id);
        }
        names.text(&mut self.error_message);
        for topic in self
            .assignment
            .iter_mut()
            .flat_map(|a| &mut a.topic_partitions)
        {
            names.topic(&mut topic.topic_id);
            topic.partitions.sort_unstable();
        }
        if let Some(assignment) = &mut self.assignment {
            assignment.topic_partitions.sort_by_key(|t| t.topic_id);
        }
    }
}
