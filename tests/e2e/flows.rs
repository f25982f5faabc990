//! Configurations and waits that tests share.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use scenarios::client::{Contents, Isolation, KafkaClient, Tally, compare, tally};
use scenarios::{Cluster, Product, await_ok};

/// Bound on any wait; tests end long before it unless something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Bound on reading one topic to its end.
const READ_PATIENCE: Duration = Duration::from_secs(20);

/// One flow between two clusters, under aliases of its own: what the flows of other tests keep on the same
/// clusters (positions, heartbeats, remote topics) has other names.
pub(crate) struct Flow {
    /// Alias of the cluster read from; prefix of remote topics.
    pub source: String,
    /// Alias of the cluster written to.
    pub target: String,
    bootstrap: (String, String),
    lines: String,
}

impl Flow {
    /// A flow of the topics that match `topics`, with every replication factor 1 and quick refreshes. Heartbeats are left alone:
    /// tests share clusters under different aliases, and would copy each other's copies in circles.
    pub(crate) fn new(
        name: &str,
        source: &dyn Cluster,
        target: &dyn Cluster,
        topics: &str,
    ) -> Self {
        Self {
            source: format!("{name}-east"),
            target: format!("{name}-west"),
            bootstrap: (source.bootstrap(), target.bootstrap()),
            lines: format!("topics = {topics}\n"),
        }
    }

    /// Adds a line. `SOURCE` and `TARGET` in it stand for the aliases.
    pub(crate) fn with(mut self, line: &str) -> Self {
        self.lines += &line
            .replace("SOURCE", &self.source)
            .replace("TARGET", &self.target);
        self.lines.push('\n');
        self
    }

    /// The remote topic of `topic`.
    pub(crate) fn remote(&self, topic: &str) -> String {
        format!("{}.{topic}", self.source)
    }

    /// The topic in which positions are stored, on the target.
    pub(crate) fn positions_topic(&self) -> String {
        format!("mm2-offsets.{}.internal", self.source)
    }

    /// The text of `mm2.properties`.
    pub(crate) fn properties(&self) -> String {
        let (source, target) = (&self.source, &self.target);
        let (from, to) = &self.bootstrap;
        let lines = &self.lines;
        // What stands later in a properties file wins.
        format!(
            "clusters = {source}, {target}\n\
             {source}.bootstrap.servers = {from}\n\
             {target}.bootstrap.servers = {to}\n\
             {source}->{target}.enabled = true\n\
             replication.factor = 1\n\
             heartbeats.topic.replication.factor = 1\n\
             offset-syncs.topic.replication.factor = 1\n\
             checkpoints.topic.replication.factor = 1\n\
             offset.storage.replication.factor = 1\n\
             config.storage.replication.factor = 1\n\
             status.storage.replication.factor = 1\n\
             refresh.topics.interval.seconds = 1\n\
             heartbeats.replication.enabled = false\n\
             {source}.offset.flush.interval.ms = 1000\n\
             {target}.offset.flush.interval.ms = 1000\n\
             {lines}"
        )
    }

    /// Starts the product with other log lines than usual, as `RUST_LOG` says.
    pub(crate) fn run_logging(&self, filter: &str) -> Product {
        let program = env!("CARGO_BIN_EXE_crosscurrent");
        Product::run_logging(program, &self.properties(), filter).unwrap()
    }

    /// Starts the product.
    pub(crate) fn run(&self) -> Product {
        run_with(&self.properties(), &[])
    }
}

/// Starts the product with arguments after the file.
pub(crate) fn run_with(properties: &str, arguments: &[&str]) -> Product {
    Product::run_with(env!("CARGO_BIN_EXE_crosscurrent"), properties, arguments).unwrap()
}

/// SIGTERM, and an orderly end. A signal that comes before the process has begun to listen to it would just end it.
pub(crate) fn stop(product: &mut Product) {
    scenarios::await_that("the flows in its output", PATIENCE, || {
        product.output_of_this_start().contains("crosscurrent::run")
    })
    .unwrap();
    let status = product.stop(PATIENCE).unwrap();
    assert!(status.success(), "{status}\n{}", product.output());
}

/// Waits until `copy` on `target` holds exactly what a consumer of `topic` on `source` reads, as of this call.
pub(crate) fn await_copy(
    source: &KafkaClient,
    topic: &str,
    target: &KafkaClient,
    copy: &str,
    isolation: Isolation,
) {
    let expected = source.read_all(topic, isolation, READ_PATIENCE).unwrap();
    await_contents(&expected, target, copy);
}

/// Waits until `copy` on `target` holds exactly `expected`. Markers of takeovers make a log longer than its records, so that
/// its length alone does not tell that the last of them are there.
pub(crate) fn await_contents(expected: &Contents, target: &KafkaClient, copy: &str) {
    let count: usize = expected.values().map(Vec::len).sum();
    let look = || -> Result<(), String> {
        // The log's length first: reading everything again and again would be most of the test's work.
        let ends = target.watermarks(copy).map_err(|e| format!("{e:?}"))?;
        let found: i64 = ends.iter().map(|(start, end)| end - start).sum();
        if usize::try_from(found).unwrap_or(0) < count {
            return Err(format!("{found}"));
        }
        differs(expected, target, copy)
    };
    await_ok(&format!("{count} records in {copy}"), PATIENCE, look).unwrap();
}

/// Asserts that `copy` on `target` holds exactly `expected` now.
pub(crate) fn check_contents(expected: &Contents, target: &KafkaClient, copy: &str) {
    differs(expected, target, copy).unwrap();
}

/// What is other in `copy` than expected.
fn differs(expected: &Contents, target: &KafkaClient, copy: &str) -> Result<(), String> {
    let found = target.read_all(copy, Isolation::ReadUncommitted, READ_PATIENCE);
    let found = found.map_err(|error| format!("{copy}: {error:?}"))?;
    compare(expected, &found).map_err(|error| format!("{copy}: {error}"))
}

/// All records of a topic that is not transactional.
pub(crate) fn read(client: &KafkaClient, topic: &str) -> Contents {
    client
        .read_all(topic, Isolation::ReadUncommitted, READ_PATIENCE)
        .unwrap()
}

/// Waits until every one of the `ids` is in the topic; what else is there shows in the tally.
pub(crate) fn await_ids(client: &KafkaClient, topic: &str, ids: Range<u64>) -> Tally {
    await_ok(&format!("ids {ids:?} in {topic}"), PATIENCE, || {
        let contents = client.read_all(topic, Isolation::ReadUncommitted, READ_PATIENCE);
        let found = tally(
            &contents.map_err(|error| format!("{error:?}"))?,
            ids.clone(),
        );
        if found.lost == 0 {
            Ok(found)
        } else {
            Err(found.to_string())
        }
    })
    .unwrap()
}

/// [`await_ids`], each exactly once and in order.
pub(crate) fn await_exact(client: &KafkaClient, topic: &str, ids: Range<u64>) {
    let found = await_ids(client, topic, ids);
    assert!(found.is_exact(), "{topic}: {found}");
}

/// The last position stored for each partition of `topic`: (partition, upstream offset).
pub(crate) fn stored_positions(
    target: &KafkaClient,
    flow: &Flow,
    topic: &str,
) -> BTreeMap<i32, i64> {
    all_positions(target, flow, topic)
        .into_iter()
        .filter_map(|(at, all)| Some((at, *all.last()?)))
        .collect()
}

/// Every position that was ever stored, oldest first.
pub(crate) fn all_positions(
    target: &KafkaClient,
    flow: &Flow,
    topic: &str,
) -> BTreeMap<i32, Vec<i64>> {
    let mut found: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for records in read(target, &flow.positions_topic()).into_values() {
        for read in records {
            let key = String::from_utf8(read.record.key.unwrap()).unwrap();
            if [
                "[\"MirrorHeartbeatConnector\"",
                "[\"MirrorCheckpointConnector\"",
            ]
            .iter()
            .any(|start| key.starts_with(start))
            {
                assert_eq!(read.record.value.unwrap(), b"{\"offset\":0}", "{key}");
                continue;
            }
            // A tombstone means: from the beginning.
            let value = read
                .record
                .value
                .unwrap_or_else(|| b"{\"offset\":-1}".to_vec());
            let value = String::from_utf8(value).unwrap();
            // Connect's own bytes (docs/spec/mm2.md 3.5): its lookup compares keys byte by byte.
            let start = format!(
                "[\"MirrorSourceConnector\",{{\"cluster\":\"{}\",\"partition\":",
                flow.source
            );
            let rest = key
                .strip_prefix(&start)
                .unwrap_or_else(|| panic!("no key of Connect's: {key}"));
            let (partition, rest) = rest.split_once(',').unwrap();
            if rest == format!("\"topic\":\"{topic}\"}}]") {
                let offset = value
                    .strip_prefix("{\"offset\":")
                    .and_then(|v| v.strip_suffix('}'));
                let offset = offset.unwrap_or_else(|| panic!("no value of Connect's: {value}"));
                found
                    .entry(partition.parse().unwrap())
                    .or_default()
                    .push(offset.parse().unwrap());
            }
        }
    }
    found
}

/// Unit: milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_millis()).unwrap()
}
