//! One cluster as one list sees it: a connection, and what the cluster has handed out so far.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::thread::sleep;
use std::time::{Duration, Instant};

use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Request, StrBytes};
use scenarios::raw::{RawClient, RawError};
use uuid::Uuid;

use crate::normal::{Names, Normal};
use crate::random::{GROUPS, Group, PRODUCERS, Topic};

/// How long "not yet" is believed before it counts as the answer.
const NOT_YET_PATIENCE: Duration = Duration::from_secs(5);
/// How long a change of metadata may take until the broker knows it.
const METADATA_PATIENCE: Duration = Duration::from_secs(20);
/// Time between two attempts.
const PAUSE: Duration = Duration::from_millis(2);
/// Answers that mean "not yet": coordinator loading, not available, moved; transactions that are ending.
const NOT_YET: [i16; 4] = [14, 15, 16, 51];
/// The topic whose config tells that the broker has applied everything before it.
const BARRIER: &str = "twin-barrier";

/// A thing that a client does. `Debug` shows it in a report.
pub(crate) trait Operation: Debug + Send + Sync {
    /// Does it and returns the answer in the form in which clusters are compared.
    fn run(&self, world: &mut World) -> String;
}

/// What a client knows of one of its producers.
#[derive(Debug, Default)]
pub(crate) struct ProducerState {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    /// Next sequence by topic and partition.
    pub(crate) next: HashMap<(String, i32), i32>,
    /// First sequence and count of accepted batches, the oldest first.
    pub(crate) history: HashMap<(String, i32), Vec<(i32, usize)>>,
}

impl ProducerState {
    /// A new id or epoch: sequences start at 0.
    pub(crate) fn restart(&mut self, id: i64, epoch: i16) {
        if (self.id, self.epoch) != (id, epoch) {
            (self.id, self.epoch) = (id, epoch);
            self.next.clear();
            self.history.clear();
        }
    }
}

/// What a client knows of its membership in one group.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    pub(crate) member_id: String,
    pub(crate) generation: i32,
    /// The group has members or expects one: anybody else who joins would wait for them.
    pub(crate) busy: bool,
    pub(crate) instance: Option<&'static str>,
    /// Ids of members of the newer protocol (KIP-848).
    pub(crate) modern: HashSet<String>,
}

pub(crate) struct World {
    client: RawClient,
    pub(crate) names: Names,
    pub(crate) topic_ids: HashMap<String, Uuid>,
    pub(crate) old_topic_ids: HashMap<String, Uuid>,
    pub(crate) ends: HashMap<(String, i32), i64>,
    pub(crate) producers: Vec<ProducerState>,
    pub(crate) members: Vec<Membership>,
    pub(crate) session_id: i32,
    pub(crate) session_epoch: i32,
    pub(crate) sessions: Vec<i32>,
    barrier: i64,
}

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

impl World {
    /// Connects to one broker for one list.
    pub(crate) fn new(address: &str, prefix: &str, start_ms: i64) -> Result<Self, RawError> {
        let client = RawClient::connect(address)?.with_client_id("twin");
        let mut names = Names::default();
        prefix.clone_into(&mut names.prefix);
        names.start_ms = start_ms;
        names.port = i32::from(client.address().port());
        let mut world = Self {
            client,
            names,
            topic_ids: HashMap::new(),
            old_topic_ids: HashMap::new(),
            ends: HashMap::new(),
            producers: (0..PRODUCERS)
                .map(|_| ProducerState {
                    id: -1,
                    epoch: -1,
                    ..ProducerState::default()
                })
                .collect(),
            members: (0..GROUPS).map(|_| Membership::default()).collect(),
            session_id: 0,
            session_epoch: 0,
            sessions: Vec::new(),
            barrier: start_ms,
        };
        world.warm_up();
        Ok(world)
    }

    /// Creates the barrier and both coordinators, unless a list before this one did.
    fn warm_up(&mut self) {
        let topic = create_topics_request::CreatableTopic::default()
            .with_name(topic_name(BARRIER))
            .with_num_partitions(1)
            .with_replication_factor(-1);
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(10_000);
        self.ask(5, &request);
        for key_type in [0, 1] {
            let keys = vec![text("warm")];
            let find = FindCoordinatorRequest::default()
                .with_key_type(key_type)
                .with_coordinator_keys(keys);
            self.ask(4, &find);
        }
        self.settle_metadata();
    }

    /// Sends a request until the answer is more than "not yet". Returns the answer as it came, and as
    /// it is compared.
    pub(crate) fn ask<R>(&mut self, version: i16, request: &R) -> (Option<R::Response>, String)
    where
        R: Request + Debug,
        R::Response: Normal + Clone + Debug,
    {
        let end = Instant::now() + NOT_YET_PATIENCE;
        loop {
            let (response, text) = self.ask_once(version, request);
            if !is_not_yet(&text) || Instant::now() > end {
                return (response, text);
            }
            sleep(PAUSE);
        }
    }

    /// [`World::ask`] that takes "not yet" for an answer.
    pub(crate) fn ask_once<R>(&mut self, version: i16, request: &R) -> (Option<R::Response>, String)
    where
        R: Request + Debug,
        R::Response: Normal + Clone + Debug,
    {
        self.names.notes.clear();
        match self.client.send(version, request) {
            Ok(response) => {
                let mut normal = response.clone();
                normal.normalise(&mut self.names);
                let mut text = compact(&format!("{normal:#?}"));
                for note in self.names.notes.drain(..) {
                    text += &note;
                    text.push('\n');
                }
                (Some(response), text)
            }
            Err(RawError::Encode { reason, .. }) => {
                panic!(
                    "the generator made a request that does not exist in version {version}: {reason}\n{request:?}"
                )
            }
            Err(error) => {
                self.client
                    .reconnect()
                    .expect("a broker that closed a connection takes new ones");
                (None, error.to_string())
            }
        }
    }

    /// Sends bytes and returns the answer's, or how it ended.
    pub(crate) fn ask_bytes(&mut self, frame: &[u8]) -> String {
        match self.client.send_frame(frame) {
            Ok(bytes) => format!("{bytes:?}"),
            Err(error) => {
                self.client
                    .reconnect()
                    .expect("a broker that closed a connection takes new ones");
                error.to_string()
            }
        }
    }

    /// Returns when the broker has applied everything that the controller has said so far.
    ///
    /// A broker publishes changes in order but in bundles, and shows a bundle in its answers before all of
    /// its parts have taken it. Seeing one's own later change proves only that earlier bundles are applied;
    /// seeing a second one, made after the first was seen, proves that the first one's bundle is as well.
    pub(crate) fn settle_metadata(&mut self) {
        use kafka_protocol::messages::incremental_alter_configs_request::{
            AlterConfigsResource, AlterableConfig,
        };
        for _ in 0..2 {
            self.barrier += 1;
            let value = text(&self.barrier.to_string());
            let config = AlterableConfig::default()
                .with_name(text("retention.ms"))
                .with_value(Some(value.clone()));
            let resource = AlterConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name(text(BARRIER))
                .with_configs(vec![config]);
            let alter = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
            self.ask(1, &alter);
            let resource = describe_configs_request::DescribeConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name(text(BARRIER))
                .with_configuration_keys(Some(vec![text("retention.ms")]));
            let describe = DescribeConfigsRequest::default().with_resources(vec![resource]);
            self.until("the barrier's config", |world| {
                let (answer, _) = world.ask(1, &describe);
                let mut configs = answer
                    .into_iter()
                    .flat_map(|a| a.results)
                    .flat_map(|r| r.configs);
                configs.any(|config| config.value.as_ref() == Some(&value))
            });
        }
    }

    /// Waits until `check` holds.
    pub(crate) fn until(&mut self, what: &str, mut check: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + METADATA_PATIENCE;
        while !check(self) {
            assert!(
                Instant::now() < end,
                "waited for {what} in vain at port {}",
                self.names.port
            );
            sleep(PAUSE);
        }
    }

    pub(crate) fn topic(&self, topic: Topic) -> String {
        match topic {
            Topic::Slot(slot) | Topic::Old(slot) => format!("{}-{slot}", self.names.prefix),
            Topic::Missing => format!("{}-missing", self.names.prefix),
            Topic::Named(name) => name.to_owned(),
            Topic::Suffix(end) => format!("{}{end}", self.names.prefix),
        }
    }

    pub(crate) fn topic_id(&self, topic: Topic) -> Uuid {
        let name = self.topic(topic);
        let known = match topic {
            Topic::Old(_) => self.old_topic_ids.get(&name),
            _ => self.topic_ids.get(&name),
        };
        known.copied().unwrap_or(Uuid::from_u128(match topic {
            Topic::Named(_) => 0,
            Topic::Old(_) => 0xbeef,
            _ => 0xdead,
        }))
    }

    pub(crate) fn group(&self, group: Group) -> GroupId {
        GroupId(match group {
            Group::Slot(slot) => text(&format!("{}-g{slot}", self.names.prefix)),
            Group::Missing => text(&format!("{}-nobody", self.names.prefix)),
            Group::Empty => text(""),
        })
    }

    pub(crate) fn transactional_id(&self, slot: usize) -> TransactionalId {
        TransactionalId(text(&format!("{}-tx{slot}", self.names.prefix)))
    }

    /// Learns the ids of all topics of this list, in the order of their names.
    pub(crate) fn learn_topics(&mut self) {
        let request = MetadataRequest::default()
            .with_topics(None)
            .with_allow_auto_topic_creation(false);
        let Ok(answer) = self.client.send(12, &request) else {
            return;
        };
        let prefix = self.names.prefix.clone();
        let mut found: Vec<(String, Uuid)> = answer
            .topics
            .into_iter()
            .filter_map(|t| t.name.map(|name| (name.to_string(), t.topic_id)))
            .filter(|(name, _)| name.starts_with(&prefix))
            .collect();
        found.sort();
        let now: HashMap<String, Uuid> = found.iter().cloned().collect();
        for (name, id) in &self.topic_ids {
            if now.get(name) != Some(id) {
                self.old_topic_ids.insert(name.clone(), *id);
            }
        }
        for (_, id) in found {
            self.names.add_topic(id);
        }
        self.topic_ids = now;
    }

    /// The topics of this list that exist, with their number of partitions, in the order of their names.
    pub(crate) fn existing(&mut self) -> Vec<(String, usize)> {
        let request = MetadataRequest::default()
            .with_topics(None)
            .with_allow_auto_topic_creation(false);
        let answer = self
            .client
            .send(12, &request)
            .expect("metadata is answered");
        let prefix = self.names.prefix.clone();
        let mut found: Vec<(String, usize)> = answer
            .topics
            .into_iter()
            .filter_map(|t| t.name.map(|name| (name.to_string(), t.partitions.len())))
            .filter(|(name, _)| name.starts_with(&prefix))
            .collect();
        found.sort();
        found
    }
}

/// Debug text without the noise of every message, and with newtypes on one line.
fn compact(debug: &str) -> String {
    let mut out = String::new();
    let mut lines = debug.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with("unknown_tagged_fields: {}") {
            continue;
        }
        // `name: TopicName(` newline `"x",` newline `),` on one line; lists and structs stay as they are.
        if line.ends_with('(')
            && let Some(inner) = lines.next_if(|next| !next.ends_with(['(', '{', '[']))
        {
            lines.next();
            out += line;
            out += inner.trim().trim_end_matches(',');
            out += "),\n";
            continue;
        }
        out += line;
        out.push('\n');
    }
    out
}

fn is_not_yet(text: &str) -> bool {
    text.lines().any(|line| {
        let Some((_, code)) = line.split_once("error_code: ") else {
            return false;
        };
        code.trim_end_matches(',')
            .parse()
            .is_ok_and(|code: i16| NOT_YET.contains(&code))
    })
}
