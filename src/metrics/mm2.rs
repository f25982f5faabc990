//! MirrorMaker 2's names, with the label values that its users' dashboards match, quotes and all (docs/spec/metrics.md 3).
//!
//! Connectors are named as Strimzi names them, `S->T.MirrorSourceConnector`. What is not measured is left out.

use std::collections::{HashMap, HashSet};

use actors::{BUDGET_BYTES, DelayWindow};
use topology::Connector;

use super::table as t;
use super::text::{Text, jmx, labels};
use super::{GROUP_PARTITIONS_MAX, Scrape, Seen, SeenFlow};
use crate::rest::{ConnectorView, now_ms};

pub(super) fn write(
    text: &mut Text,
    scrape: &Scrape<'_>,
    all_flows: &[SeenFlow<'_>],
    seen: &[Seen],
    left_out: usize,
) {
    connectors(text, scrape);
    let flows: Vec<Flow<'_>> = (scrape.connectors.iter())
        .filter(|one| one.kind == Connector::Source)
        .map(|source| {
            let label = &source.flow.label;
            let partitions = seen
                .iter()
                .filter(|seen| seen.at.key.flow == *label)
                .collect();
            Flow::new(source, partitions)
        })
        .collect();
    tasks(text, &flows);
    stores(text, &flows, all_flows);
    checkpoints(text, scrape);
    if left_out == 0 {
        partitions(text, &flows);
    }
}

/// A flow with its partitions in order.
struct Flow<'a> {
    source: &'a ConnectorView,
    partitions: Vec<&'a Seen>,
    tasks: usize,
}

impl<'a> Flow<'a> {
    fn new(source: &'a ConnectorView, partitions: Vec<&'a Seen>) -> Self {
        let tasks = source.task_count(partitions.len());
        Self {
            source,
            partitions,
            tasks,
        }
    }

    /// MM2's `client.id` of the consumer of a task.
    fn consumer(&self, task: usize) -> String {
        let (flow, name) = (&self.source.flow.label, &self.source.name);
        jmx(&format!("{flow}|{name}-{task}|replication-consumer"))
    }

    fn producer(&self, task: usize) -> String {
        jmx(&format!("connector-producer-{}-{task}", self.source.name))
    }

    fn task_labels(&self, task: usize) -> String {
        let (name, id) = (jmx(&self.source.name), task.to_string());
        labels(&[("connector", &name), ("task", &id)])
    }

    fn of_task(&self, task: usize) -> impl Iterator<Item = &&'a Seen> {
        self.partitions.iter().skip(task).step_by(self.tasks.max(1))
    }
}

fn connectors(text: &mut Text, scrape: &Scrape<'_>) {
    let all: Vec<_> = (scrape.connectors.iter())
        .map(|one| (one, jmx(&one.name), one.status()))
        .collect();
    text.single(&t::CONNECTORS, all.len());
    text.single(
        &t::TASKS,
        all.iter()
            .map(|(.., status)| status.tasks.len())
            .sum::<usize>(),
    );
    text.single(&t::REBALANCING, 0);
    text.family(&t::STATUS);
    for (_, name, status) in &all {
        for task in &status.tasks {
            let (state, id) = (task.at.state.to_lowercase(), task.id.to_string());
            let labels = labels(&[("connector", name), ("status", &state), ("task", &id)]);
            text.series(&t::STATUS, &labels, 1);
        }
    }
    for (metric, state) in [
        (&t::TASKS_TOTAL, None),
        (&t::TASKS_RUNNING, Some("RUNNING")),
        (&t::TASKS_PAUSED, Some("PAUSED")),
        (&t::TASKS_FAILED, Some("FAILED")),
    ] {
        text.family(metric);
        for (_, name, status) in &all {
            let count = (status.tasks.iter())
                .filter(|task| state.is_none_or(|state| task.at.state == state))
                .count();
            text.series(metric, &labels(&[("connector", name)]), count);
        }
    }
    for (metric, connectors) in [(&t::ASSIGNED_CONNECTORS, true), (&t::ASSIGNED_TASKS, false)] {
        text.family(metric);
        for flow in scrape.flows {
            let count: usize = (all.iter())
                .filter(|(one, ..)| one.flow.label == flow.label)
                .map(|(.., status)| if connectors { 1 } else { status.tasks.len() })
                .sum();
            text.series(metric, &labels(&[("clientid", &jmx(&flow.label))]), count);
        }
    }
}

fn tasks(text: &mut Text, flows: &[Flow<'_>]) {
    let bytes =
        |flow: &Flow<'_>, task| -> u64 { flow.of_task(task).map(|seen| seen.at.bytes).sum() };
    let each = || {
        flows
            .iter()
            .flat_map(|flow| (0..flow.tasks).map(move |task| (flow, task)))
    };
    text.family(&t::INCOMING);
    for (flow, task) in each() {
        text.series(
            &t::INCOMING,
            &labels(&[("clientid", &flow.consumer(task))]),
            bytes(flow, task),
        );
    }
    text.family(&t::OUTGOING);
    for (flow, task) in each() {
        text.series(
            &t::OUTGOING,
            &labels(&[("clientid", &flow.producer(task))]),
            bytes(flow, task),
        );
    }
    text.family(&t::BUFFER);
    for (flow, task) in each() {
        let left = BUDGET_BYTES.saturating_sub(flow.source.flow.budget.used());
        text.series(
            &t::BUFFER,
            &labels(&[("clientid", &flow.producer(task))]),
            left,
        );
    }
    let sums: [(&t::Metric, Sum); 3] = [
        (&t::ACTIVE, active),
        (&t::WRITTEN, |seen| seen.at.records),
        (&t::SKIPPED, |seen| seen.at.skipped_records),
    ];
    for (metric, figure) in sums {
        text.family(metric);
        for (flow, task) in each() {
            let sum: u64 = flow.of_task(task).map(|seen| figure(seen)).sum();
            text.series(metric, &flow.task_labels(task), sum);
        }
    }
}

/// What a family sums up over the partitions of a task.
type Sum = fn(&Seen) -> u64;

/// Offsets fetched and not acknowledged.
fn active(seen: &Seen) -> u64 {
    let fetched = seen.at.position.zip(seen.at.acked);
    fetched.map_or(0, |(position, acked)| {
        u64::try_from(position.saturating_sub(acked).saturating_sub(1)).unwrap_or(0)
    })
}

/// What a family shows of the times it took.
type Time = fn(DelayWindow) -> i64;

/// What it took to store positions. Kafka says NaN in an empty window; storing once a minute, as is the default, that would be
/// half of the time.
fn stores(text: &mut Text, flows: &[Flow<'_>], all: &[SeenFlow<'_>]) {
    let windows: HashMap<_, _> = (all.iter())
        .map(|seen| (&seen.flow.label, seen.window.stores))
        .collect();
    let ever = |flow: &Flow<'_>| {
        let window = windows.get(&flow.source.flow.label)?;
        (*window != DelayWindow::default()).then_some(*window)
    };
    let mean = |window: DelayWindow| window.mean().unwrap_or(window.last);
    let max = |window: DelayWindow| window.mean().map_or(window.last, |_| window.max);
    let figures: [(&t::Metric, Time); 2] = [(&t::COMMIT_AVG, mean), (&t::COMMIT_MAX, max)];
    for (metric, figure) in figures {
        text.family(metric);
        for flow in flows {
            let Some(window) = ever(flow) else { continue };
            for task in 0..flow.tasks {
                text.series(metric, &flow.task_labels(task), figure(window));
            }
        }
    }
}

fn checkpoints(text: &mut Text, scrape: &Scrape<'_>) {
    let (now, mut left_out) = (now_ms(), 0);
    let mut all: Vec<(String, DelayWindow)> = Vec::new();
    for flow in scrape.flows {
        let id = &flow.config.id;
        let (source, target) = (jmx(id.source.as_str()), jmx(id.target.as_str()));
        for (group, known) in flow.groups.snapshot() {
            let group = jmx(&group);
            for ((_, partition), status) in &known.partitions {
                let (Some(window), Some(topic)) = (status.latency.at(now), &status.remote_topic)
                else {
                    continue;
                };
                if all.len() >= GROUP_PARTITIONS_MAX {
                    left_out += 1;
                    continue;
                }
                let pairs = [
                    ("group", &*group),
                    ("partition", &partition.to_string()),
                    ("source", &source),
                    ("target", &target),
                    ("topic", &jmx(topic)),
                ];
                all.push((labels(&pairs), window));
            }
        }
    }
    text.single(&t::GROUPS_LEFT_OUT, left_out);
    // Checkpoints come seldom; the last one's stays, as in MM2.
    text.family(&t::CHECKPOINT);
    for (labels, window) in &all {
        text.series(&t::CHECKPOINT, labels, window.last);
    }
    for (metric, figure) in [
        (&t::CHECKPOINT_AVG, Figure::Mean),
        (&t::CHECKPOINT_MIN, Figure::Min),
        (&t::CHECKPOINT_MAX, Figure::Max),
    ] {
        text.family(metric);
        for (labels, window) in &all {
            if let Some(value) = figure.of(*window) {
                text.series(metric, labels, value);
            }
        }
    }
}

fn partitions(text: &mut Text, flows: &[Flow<'_>]) {
    let mut all: Vec<(String, &Seen)> = Vec::new();
    // Several source connectors of a pair may ask for one partition; it has one series, that of who copies it.
    let mut written = HashSet::new();
    for flow in flows {
        let (config, label) = (&flow.source.flow.config, &flow.source.flow.label);
        let owners = &flow.source.flow.maps.owners;
        // The partitions of a topic follow each other: its remote name is made once.
        let mut topic = (None, String::new());
        for seen in &flow.partitions {
            let key = &seen.at.key;
            let pair = (&config.id, &key.topic, key.partition);
            if owners.is_of_another(label, &key.topic, key.partition) || !written.insert(pair) {
                continue;
            }
            if topic.0 != Some(&key.topic) {
                topic = (Some(&key.topic), jmx(&config.remote_topic(&key.topic)));
            }
            let number = key.partition.to_string();
            all.push((
                labels(&[
                    ("partition", &number),
                    ("source", &jmx(config.id.source.as_str())),
                    ("target", &jmx(config.id.target.as_str())),
                    ("topic", &topic.1),
                ]),
                seen,
            ));
        }
    }
    let figures: [(&t::Metric, Reading); 4] = [
        (&t::RECORD_COUNT, |seen| Some(seen.at.records as f64)),
        (&t::RECORD_RATE, |seen| Some(seen.window.records_per_second)),
        (&t::BYTE_COUNT, |seen| Some(seen.at.bytes as f64)),
        (&t::BYTE_RATE, |seen| Some(seen.window.bytes_per_second)),
    ];
    let age = |figure: Figure| move |seen: &Seen| figure.of(seen.window.age);
    let latency = |figure: Figure| move |seen: &Seen| figure.of(seen.window.latency);
    for (metric, figure) in figures {
        family(text, metric, &all, figure);
    }
    family(text, &t::AGE, &all, age(Figure::Last));
    family(text, &t::AGE_AVG, &all, age(Figure::Mean));
    family(text, &t::AGE_MIN, &all, age(Figure::Min));
    family(text, &t::AGE_MAX, &all, age(Figure::Max));
    family(text, &t::LATENCY, &all, latency(Figure::Last));
    family(text, &t::LATENCY_AVG, &all, latency(Figure::Mean));
    family(text, &t::LATENCY_MIN, &all, latency(Figure::Min));
    family(text, &t::LATENCY_MAX, &all, latency(Figure::Max));
    lag(text, flows);
}

/// What a family shows of a partition; none: no series.
type Reading = fn(&Seen) -> Option<f64>;

/// One figure of a delay.
#[derive(Clone, Copy)]
enum Figure {
    Last,
    Mean,
    Min,
    Max,
}

impl Figure {
    /// None in an empty window, where MM2 says NaN.
    fn of(self, window: DelayWindow) -> Option<f64> {
        let mean = window.mean()?;
        let figure = match self {
            Self::Last => window.last,
            Self::Mean => mean,
            Self::Min => window.min,
            Self::Max => window.max,
        };
        Some(figure as f64)
    }
}

fn family(
    text: &mut Text,
    metric: &t::Metric,
    all: &[(String, &Seen)],
    figure: impl Fn(&Seen) -> Option<f64>,
) {
    text.family(metric);
    for (labels, seen) in all {
        if let Some(value) = figure(seen) {
            text.series(metric, labels, value);
        }
    }
}

fn lag(text: &mut Text, flows: &[Flow<'_>]) {
    text.family(&t::RECORDS_LAG);
    for flow in flows {
        for task in 0..flow.tasks {
            let client = flow.consumer(task);
            for seen in flow.of_task(task) {
                if let Some(lag) = seen.at.lag_records {
                    let number = seen.at.key.partition.to_string();
                    let pairs = [
                        ("clientid", &*client),
                        ("partition", &*number),
                        ("topic", &*jmx(&seen.at.key.topic)),
                    ];
                    text.series(&t::RECORDS_LAG, &labels(&pairs), lag);
                }
            }
        }
    }
}
