//! Does what a plan says, and judges the end.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use embedded::{
    After, ApiKey, Effect, EmbeddedCluster, Fault, FaultHandle, Operation, PatternType,
    ResourcePattern, ResourceType, ResponseError, Settings,
};
use engine::batch::{BatchBuilder, Codec, ProducerStamp, RawBatch};
use tempfile::TempDir;

use crate::child::Engine;
use crate::judge::{self, Verdict};
use crate::ledger::{Ledger, Written};
use crate::plan::{Act, PARTITIONS, Place, Plan, TOPICS};
use crate::wire::Client;

pub(crate) const ALIASES: [&str; 2] = ["east", "west"];
/// What the engine's producers call themselves begins so.
const ENGINE: &str = "engine";
/// Keys of a compacted topic.
const KEYS: u64 = 12;
/// `segment.ms` of topics that are compacted, and a little more.
const SEGMENT_MS: i64 = 60_000;
/// Records are as old as this at most: they go on from there by a millisecond each.
const AGE_MS: i64 = 6 * 3_600_000;
/// Bound on the copying of everything.
const PATIENCE: Duration = Duration::from_secs(40);

/// A cluster, and what was written to it.
pub(crate) struct Side {
    pub(crate) cluster: EmbeddedCluster,
    pub(crate) client: Client,
    /// By topic, then partition.
    pub(crate) ledgers: Vec<Vec<Ledger>>,
}

pub(crate) struct Run<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) sides: [Side; 2],
    folder: TempDir,
    engine: Option<Engine>,
    /// They were put to sleep.
    sleepers: Vec<Engine>,
    faults: Vec<FaultHandle>,
    next_id: u64,
    now_ms: i64,
    transactions: u32,
}

pub(crate) fn topic_name(topic: usize) -> String {
    format!("topic{topic}")
}

pub(crate) fn remote_name(side: usize, topic: usize) -> String {
    format!("{}.{}", ALIASES[side], topic_name(topic))
}

/// The key of a record in a compacted topic.
pub(crate) fn key(id: u64) -> u64 {
    id.wrapping_mul(7) % KEYS
}

/// Runs a plan: what is wrong at its end.
pub(crate) fn run(plan: &Plan) -> Verdict {
    let mut run = Run::new(plan);
    for (index, act) in plan.acts.iter().enumerate() {
        if std::env::var_os("EXACT_SHOW").is_some() {
            eprintln!("seed {} act {index}: {act:?}", plan.seed);
        }
        run.act(act);
    }
    let verdict = run.judge();
    if !verdict.faults.is_empty() && std::env::var_os("EXACT_KEEP").is_some() {
        eprintln!(
            "seed {}: the engine's log is in {}",
            plan.seed,
            run.folder.keep().display()
        );
    }
    verdict
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan) -> Self {
        let sides = [0, 1].map(|side| Side::start(side, plan));
        let folder = tempfile::tempdir().unwrap();
        let now = std::time::SystemTime::now();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
        let mut run = Self {
            plan,
            sides,
            folder,
            engine: None,
            sleepers: Vec::new(),
            faults: Vec::new(),
            next_id: 1,
            now_ms: i64::try_from(now.as_millis()).unwrap() - AGE_MS,
            transactions: 0,
        };
        std::fs::write(run.config(), run.properties()).unwrap();
        run.create_topics();
        run
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("mm2.properties")
    }

    fn properties(&self) -> String {
        let setup = &self.plan.setup;
        let [east, west] = [0, 1].map(|side: usize| self.sides[side].cluster.bootstrap());
        let mut text = format!(
            "clusters = east, west\n\
             east.bootstrap.servers = {east}\nwest.bootstrap.servers = {west}\n\
             east->west.enabled = true\nwest->east.enabled = {}\n\
             topics = topic.*\nreplication.factor = 1\noffset.storage.replication.factor = 1\n\
             refresh.topics.interval.seconds = 1\nemit.heartbeats.enabled = false\n\
             sync.topic.configs.enabled = false\n\
             producer.client.id = {ENGINE}\nproducer.request.timeout.ms = 1000\nconsumer.request.timeout.ms = 2000\n",
            setup.both_ways
        );
        for alias in ALIASES {
            text += &format!("{alias}.offset.flush.interval.ms = {}\n", setup.flush_ms);
            if setup.read_committed {
                text += &format!("{alias}.consumer.isolation.level = read_committed\n");
            }
        }
        text
    }

    fn create_topics(&mut self) {
        for side in 0..self.sources() {
            for topic in 0..TOPICS {
                self.create_topic(side, topic);
                assert!(self.create_remote_topic(side, topic));
            }
        }
    }

    /// False: an engine was quicker.
    fn create_remote_topic(&mut self, side: usize, topic: usize) -> bool {
        let setup = &self.plan.setup.topics[topic];
        let mut configs = Vec::new();
        if let Some(bytes) = setup.target_bytes {
            configs.push(("max.message.bytes", bytes.to_string()));
        }
        if setup.compacted && setup.target_compacted {
            configs.extend(compaction());
        }
        if setup.target_time {
            configs.push(("message.timestamp.type", "LogAppendTime".to_owned()));
        }
        let remote = remote_name(side, topic);
        let client = &mut self.sides[1 - side].client;
        client.create_topic(&remote, PARTITIONS, &configs)
    }

    fn delete_remote_topic(&mut self, at: Place) {
        let remote = remote_name(at.side, at.topic);
        for partition in 0..PARTITIONS {
            let log = self.sides[1 - at.side].client.log(&remote, partition);
            let gone = log.records.iter().map(|(_, value)| judge::id(value));
            let ledger = self.ledger(Place { partition, ..at });
            ledger.gone.extend(ledger.expired.drain().map(|(id, _)| id));
            ledger.gone.extend(gone);
        }
        self.sides[1 - at.side].client.delete_topic(&remote);
    }

    pub(crate) fn sources(&self) -> usize {
        if self.plan.setup.both_ways { 2 } else { 1 }
    }

    fn create_topic(&mut self, side: usize, topic: usize) {
        let mut configs = vec![("retention.ms", "-1".to_owned())];
        if self.plan.setup.topics[topic].compacted {
            configs.extend(compaction());
        }
        let name = topic_name(topic);
        let client = &mut self.sides[side].client;
        assert!(client.create_topic(&name, PARTITIONS, &configs));
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Write {
                at,
                batches,
                records,
                bytes,
                codec,
            } => {
                for _ in 0..batches {
                    let (batch, ids) = self.batch(at, records, bytes, codec);
                    self.append(at, &batch, &ids, ProducerStamp::NONE, None);
                }
            }
            Act::Transact {
                at,
                records,
                commit,
            } => self.transact(at, records, commit),
            Act::Roll { at } => {
                self.now_ms += SEGMENT_MS;
                let (batch, ids) = self.batch(at, 1, 10, Codec::None);
                self.append(at, &batch, &ids, ProducerStamp::NONE, None);
            }
            Act::Delete { at, percent } => {
                self.ledger(at).was_deleted = true;
                let end = self.ledger(at).end;
                self.sides[at.side].client.delete_records(
                    &topic_name(at.topic),
                    at.partition,
                    end * percent / 100,
                );
            }
            Act::DeleteCopies { at, percent } => {
                let remote = remote_name(at.side, at.topic);
                let client = &mut self.sides[1 - at.side].client;
                let log = client.log(&remote, at.partition);
                let below = (log.end * percent / 100).max(log.start);
                client.delete_records(&remote, at.partition, below);
                let gone = log.records.iter().filter(|(offset, _)| *offset < below);
                let gone = gone.map(|(offset, value)| (judge::id(value), *offset));
                self.ledger(at).expired.extend(gone);
            }
            Act::Recreate { at } => {
                let name = topic_name(at.topic);
                self.sides[at.side].client.delete_topic(&name);
                self.create_topic(at.side, at.topic);
                self.sides[at.side].ledgers[at.topic]
                    .iter_mut()
                    .for_each(Ledger::restart);
            }
            Act::RecreateCopies { at } => {
                self.delete_remote_topic(at);
                while !self.create_remote_topic(at.side, at.topic) {
                    self.delete_remote_topic(at);
                }
            }
            Act::Truncate { at, lose } => {
                let name = topic_name(at.topic);
                let start = self.sides[at.side].client.log(&name, at.partition).start;
                let ledger = self.ledger(at);
                let keep = ledger
                    .cut_near((ledger.end - lose).max(ledger.floor))
                    .max(start);
                ledger.cut(keep);
                let cluster = &self.sides[at.side].cluster;
                cluster
                    .unclean_election(&name, at.partition, 1, keep)
                    .unwrap();
            }
            Act::Foreign { at, records } => {
                // Under a key of its own: in a compacted topic it would replace copies.
                let mut builder = BatchBuilder::new(Codec::None);
                for _ in 0..records {
                    let id = self.next_id;
                    self.next_id += 1;
                    self.ledger(at).foreign.insert(id);
                    let value = format!("{id}/foreign");
                    let key = Some(b"foreign".as_slice());
                    builder
                        .push(self.now_ms, key, Some(value.as_bytes()), &[])
                        .unwrap();
                }
                let batch = builder.build().unwrap();
                let remote = remote_name(at.side, at.topic);
                let client = &mut self.sides[1 - at.side].client;
                client.append((&remote, at.partition), &batch, ProducerStamp::NONE, None);
            }
            Act::LoseAnswers { times, silent } => {
                let after = if silent { After::Silent } else { After::Closed };
                let effect = Effect::LoseAnswer(after);
                self.inject(|| on_data(effect.clone()).times(times));
            }
            Act::Refuse { times } => {
                let effect = Effect::Error(ResponseError::NotLeaderOrFollower);
                self.inject(|| on_data(effect.clone()).times(times));
            }
            Act::Delay { ms } => {
                let delay = Duration::from_millis(ms);
                self.inject(|| on_data(Effect::Delay(delay)).for_duration(delay * 8));
            }
            Act::HoldClaim { at } => {
                let remote = remote_name(at.side, at.topic);
                let held = Fault::new(Effect::NeverAnswer).on_api(ApiKey::ListOffsets);
                let held = held.on_partition(&remote, at.partition);
                self.faults
                    .push(self.sides[1 - at.side].cluster.inject(held));
            }
            Act::AwaitClaim => {
                let deadline = Instant::now() + PATIENCE;
                while self.faults.iter().all(|fault| fault.hits() == 0) {
                    assert!(Instant::now() < deadline, "nobody takes the lane over");
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            Act::Release => self.faults.clear(),
            Act::Hold { ms } => {
                let held = Duration::from_millis(ms);
                self.inject(|| on_data(Effect::NeverAnswer).for_duration(held));
            }
            Act::RestartTarget { side } => {
                let target = &mut self.sides[1 - side];
                target.cluster.broker(1).unwrap().restart().unwrap();
                self.sides
                    .iter_mut()
                    .for_each(|side| side.client.reconnect());
            }
            Act::Kill => drop(self.engine.take().map(Engine::kill)),
            Act::Stop => drop(self.engine.take().map(Engine::stop)),
            Act::Start => self.start(),
            Act::Replace => {
                if let Some(mut engine) = self.engine.take() {
                    engine.pause();
                    self.sleepers.push(engine);
                    self.start();
                }
            }
            Act::Wake => self.sleepers.iter_mut().for_each(Engine::wake),
            Act::Sleep { ms } => std::thread::sleep(Duration::from_millis(ms)),
        }
    }

    fn start(&mut self) {
        if self.engine.is_none() {
            let log = self.folder.path().join("log");
            self.engine = Some(Engine::start(&self.config(), &log));
        }
    }

    fn inject(&mut self, fault: impl Fn() -> Fault) {
        for side in &self.sides {
            self.faults.push(side.cluster.inject(fault()));
        }
    }

    fn ledger(&mut self, at: Place) -> &mut Ledger {
        &mut self.sides[at.side].ledgers[at.topic][usize::try_from(at.partition).unwrap()]
    }

    /// A batch of records that were never written before, with their ids.
    fn batch(
        &mut self,
        at: Place,
        records: usize,
        bytes: usize,
        codec: Codec,
    ) -> (RawBatch, Vec<u64>) {
        let mut builder = BatchBuilder::new(codec);
        let mut ids = Vec::new();
        for _ in 0..records {
            let id = self.next_id;
            self.next_id += 1;
            self.now_ms += 1;
            // Digits of a product look random enough to codecs.
            let mut value = format!("{id}/");
            while value.len() < bytes {
                value += &id
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    .rotate_left(u32::try_from(value.len()).unwrap())
                    .to_string();
            }
            let key = format!("k{}", key(id));
            let key = self.plan.setup.topics[at.topic]
                .compacted
                .then_some(key.as_bytes());
            builder
                .push(self.now_ms, key, Some(value.as_bytes()), &[])
                .unwrap();
            ids.push(id);
        }
        (builder.build().unwrap(), ids)
    }

    fn append(
        &mut self,
        at: Place,
        batch: &RawBatch,
        ids: &[u64],
        owner: ProducerStamp,
        transaction: Option<&str>,
    ) {
        let name = topic_name(at.topic);
        let client = &mut self.sides[at.side].client;
        let base = client.append((&name, at.partition), batch, owner, transaction);
        let ledger = self.ledger(at);
        for (offset, id) in (base..).zip(ids) {
            ledger.live.push(Written {
                offset,
                base,
                id: *id,
                aborted: false,
            });
            ledger.end = offset + 1;
        }
    }

    fn transact(&mut self, at: Place, records: usize, commit: bool) {
        self.transactions += 1;
        let id = format!("transaction-{}", self.transactions);
        let name = topic_name(at.topic);
        let partitions: Vec<i32> = (0..PARTITIONS).collect();
        let (producer_id, producer_epoch) =
            self.sides[at.side].client.begin(&id, &name, &partitions);
        let mut all = Vec::new();
        for partition in partitions {
            let at = Place { partition, ..at };
            let owner = ProducerStamp {
                producer_id,
                producer_epoch,
                base_sequence: 0,
                transactional: true,
            };
            let (batch, ids) = self.batch(at, records, 20, Codec::None);
            self.append(at, &batch, &ids, owner, Some(&id));
            all.push((at, ids));
        }
        let (plain, ids) = self.batch(at, 1, 20, Codec::None);
        self.append(at, &plain, &ids, ProducerStamp::NONE, None);
        self.sides[at.side]
            .client
            .end(&id, (producer_id, producer_epoch), commit);
        for (at, ids) in all {
            let ledger = self.ledger(at);
            for written in &mut ledger.live {
                written.aborted |= !commit && ids.contains(&written.id);
            }
            ledger.end += 1; // the marker
            ledger.floor = ledger.end;
        }
    }

    /// Waits until everything is copied and compares: the maps as they live, then, of an engine that was stopped, as they are stored.
    fn judge(&mut self) -> Verdict {
        self.faults.clear();
        // One that slept while it started has overtaken its heir when it woke: that one has halted, as it should.
        if !self.sleepers.is_empty() {
            self.sleepers.clear();
            self.engine = None;
        }
        self.start();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (mut verdict, complete) = judge::logs(self);
            let late = Instant::now() > deadline;
            if complete || late {
                let limit = verdict.limit;
                let engine = self.engine.as_mut().unwrap();
                let answers = engine.answers(self.folder.path(), limit);
                let before = verdict.faults.len();
                judge::maps(self, "live", &answers, &mut verdict);
                if verdict.faults.len() == before || late {
                    return self.judge_stored(verdict);
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn judge_stored(&mut self, mut verdict: Verdict) -> Verdict {
        if !self.engine.take().unwrap().stop() {
            verdict.fault("the engine did not end cleanly".to_owned());
        }
        let answers = judge::stored(self, verdict.limit, &mut verdict);
        judge::maps(self, "stored", &answers, &mut verdict);
        verdict
    }
}

/// Has a topic cleaned as soon as its active segment is closed.
fn compaction() -> [(&'static str, String); 4] {
    [
        ("cleanup.policy", "compact,delete".to_owned()),
        ("segment.ms", (SEGMENT_MS - 1_000).to_string()),
        ("min.cleanable.dirty.ratio", "0".to_owned()),
        ("delete.retention.ms", "0".to_owned()),
    ]
}

/// A fault of the writing to remote topics.
fn on_data(effect: Effect) -> Fault {
    Fault::new(effect).on_api(ApiKey::Produce).of_client(ENGINE)
}

impl Side {
    fn start(_side: usize, plan: &Plan) -> Self {
        let mut properties = vec![
            ("auto.create.topics.enable", "false"),
            ("transaction.state.log.num.partitions", "1"),
            ("log.cleaner.backoff.ms", "30"),
            ("log.retention.check.interval.ms", "30"),
        ];
        if !plan.setup.fenced {
            properties.push((
                "authorizer.class.name",
                "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            ));
            properties.push(("allow.everyone.if.no.acl.found", "true"));
        }
        let cluster = EmbeddedCluster::start_with(Settings {
            properties: properties
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            ..Settings::default()
        })
        .unwrap();
        if !plan.setup.fenced {
            let pattern = ResourcePattern {
                resource_type: ResourceType::TransactionalId,
                pattern_type: PatternType::Prefixed,
                name: "crosscurrent-".to_owned(),
            };
            for operation in [Operation::Write, Operation::Describe] {
                cluster.deny("User:*", operation, pattern.clone());
            }
        }
        let client = Client::connect(&cluster.bootstrap());
        let ledgers = (0..TOPICS)
            .map(|_| (0..PARTITIONS).map(|_| Ledger::default()).collect())
            .collect();
        Self {
            cluster,
            client,
            ledgers,
        }
    }
}
