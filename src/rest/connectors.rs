//! The flows of the file as Connect's connectors: three for each flow, `S->T.MirrorSourceConnector` and so on.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::Addr;
use actors::{
    ControlledConnector, Flow, PartitionKey, PartitionSnapshot, PartitionState, RestartNow,
    Supervisor, TargetState,
};
use serde::Serialize;
use topology::{Connector, MirrorConfig};

use super::now_ms;

/// The version of Connect whose API this is: clients decide by it what they may call.
pub(crate) const CONNECT_VERSION: &str = "4.3.1";
/// Stands for a value that is a secret.
pub(crate) const HIDDEN: &str = "[hidden]";
pub(crate) const KINDS: [Connector; 3] = [
    Connector::Source,
    Connector::Checkpoint,
    Connector::Heartbeat,
];

/// One connector of one flow.
pub(crate) struct ConnectorView {
    /// `S->T.` and the name in the file, by default the class's.
    pub(crate) name: String,
    pub(crate) kind: Connector,
    pub(crate) flow: Arc<Flow>,
    supervisor: Addr<Supervisor>,
    /// Secrets are masked.
    pub(crate) config: BTreeMap<String, String>,
    tasks_max: usize,
    worker_id: Arc<str>,
}

/// A connector or a task, as Connect shows it.
#[derive(Clone, Serialize)]
pub(crate) struct StateView {
    pub(crate) state: &'static str,
    worker_id: String,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace: Option<String>,
}

impl StateView {
    pub(crate) fn new(state: &'static str, trace: Option<String>, worker_id: &str) -> Self {
        Self {
            state,
            worker_id: worker_id.to_owned(),
            version: CONNECT_VERSION,
            trace,
        }
    }
}

/// A value as anybody may see it: a reference to a secret is none.
pub(crate) fn shown<'a>(key: &str, value: &'a str) -> &'a str {
    if topology::is_secret(key) && !value.contains("${") {
        HIDDEN
    } else {
        value
    }
}

/// A task with its number.
#[derive(Clone, Serialize)]
pub(crate) struct TaskView {
    pub(crate) id: usize,
    #[serde(flatten)]
    pub(crate) at: StateView,
}

/// The body of `/status`.
#[derive(Serialize)]
pub(crate) struct StatusView {
    pub(crate) name: String,
    pub(crate) connector: StateView,
    pub(crate) tasks: Vec<TaskView>,
    pub(crate) r#type: &'static str,
}

/// A task's name.
#[derive(Serialize)]
pub(crate) struct TaskId {
    pub(crate) connector: String,
    pub(crate) task: usize,
}

/// The body of `GET /connectors/{c}`.
#[derive(Serialize)]
pub(crate) struct InfoView {
    pub(crate) name: String,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) tasks: Vec<TaskId>,
    pub(crate) r#type: &'static str,
}

/// An element of `/tasks`.
#[derive(Serialize)]
pub(crate) struct TaskConfig {
    pub(crate) id: TaskId,
    pub(crate) config: BTreeMap<String, String>,
}

impl ConnectorView {
    /// A connector of the file of `crosscurrent run`.
    pub(crate) fn of_file(
        flow: &Arc<Flow>,
        supervisor: &Addr<Supervisor>,
        file: &MirrorConfig,
        kind: Connector,
        worker_id: &Arc<str>,
    ) -> Self {
        let name = format!("{}.{}", flow.label, stored_name(flow, kind));
        let mut config = file.connector(&flow.config.id, kind);
        config.insert("name".to_owned(), name.clone());
        Self::of_connector(&name, kind, flow, supervisor, config, worker_id)
    }

    /// A connector of a Connect worker.
    pub(crate) fn of_connector(
        name: &str,
        kind: Connector,
        flow: &Arc<Flow>,
        supervisor: &Addr<Supervisor>,
        config: BTreeMap<String, String>,
        worker_id: &Arc<str>,
    ) -> Self {
        let tasks_max = config
            .get("tasks.max")
            .and_then(|text| text.trim().parse().ok());
        let masked = config.into_iter().map(|(key, value)| {
            let value = shown(&key, &value).to_owned();
            (key, value)
        });
        Self {
            name: name.to_owned(),
            kind,
            flow: flow.clone(),
            supervisor: supervisor.clone(),
            config: masked.collect(),
            tasks_max: tasks_max.unwrap_or(1),
            worker_id: worker_id.clone(),
        }
    }

    /// `tasks.max`.
    pub(crate) fn tasks_max(&self) -> usize {
        self.tasks_max
    }

    /// The name under which positions are stored.
    pub(crate) fn stored_name(&self) -> &str {
        stored_name(&self.flow, self.kind)
    }

    pub(crate) fn control(&self) -> &ControlledConnector {
        let control = &self.flow.control;
        match self.kind {
            Connector::Source => &control.source,
            Connector::Checkpoint => &control.checkpoint,
            Connector::Heartbeat => &control.heartbeat,
        }
    }

    /// It was stopped and has no task any more: positions may be altered.
    pub(crate) fn is_stopped(&self) -> bool {
        let control = self.control();
        let copies = self.kind == Connector::Source && self.flow.config.replication_enabled;
        control.wanted() == TargetState::Stopped && (!copies || control.has_ended())
    }

    /// The partitions of the flow, in order; only a source connector has any.
    pub(crate) fn partitions(&self) -> Vec<PartitionSnapshot> {
        match self.kind {
            Connector::Source => self.flow.registry.snapshots_of(&self.flow.label),
            _ => Vec::new(),
        }
    }

    /// How many tasks MM2 would run: partitions are shared out to them in turn (docs/spec/mm2.md 4.7).
    pub(crate) fn task_count(&self, partitions: usize) -> usize {
        let config = &self.flow.config;
        if self.control().wanted() == TargetState::Stopped {
            return 0;
        }
        match self.kind {
            Connector::Source if config.replication_enabled => partitions.min(self.tasks_max),
            Connector::Checkpoint if config.replication_enabled => {
                usize::from(config.offsets.emit_checkpoints.is_some())
            }
            Connector::Heartbeat => usize::from(config.emit_heartbeats_interval.is_some()),
            Connector::Source | Connector::Checkpoint => 0,
        }
    }

    fn view(&self, state: &'static str, trace: Option<String>) -> StateView {
        StateView::new(state, trace, &self.worker_id)
    }

    /// The body of `/status`.
    pub(crate) fn status(&self) -> StatusView {
        let partitions = self.partitions();
        let count = self.task_count(partitions.len());
        self.status_with(count, &partitions)
    }

    /// As [`status`](Self::status), with so many tasks as were written down, and what [`partitions`](Self::partitions) gave.
    pub(crate) fn status_among(
        &self,
        tasks: usize,
        partitions: &[PartitionSnapshot],
    ) -> StatusView {
        let stopped = self.control().wanted() == TargetState::Stopped;
        self.status_with(if stopped { 0 } else { tasks }, partitions)
    }

    fn status_with(&self, count: usize, partitions: &[PartitionSnapshot]) -> StatusView {
        let wanted = self.control().wanted();
        let lost = self.flow.lease.is_lost() && wanted == TargetState::Running;
        let trace = lost.then(|| actors::LeaseError::Lost.to_string());
        let connector = match &trace {
            Some(_) => self.view("FAILED", trace),
            None => self.view(wanted.as_str(), None),
        };
        let tasks = (0..count)
            .map(|id| TaskView {
                id,
                at: self.task(id, count, partitions),
            })
            .collect();
        StatusView {
            name: self.name.clone(),
            connector,
            tasks,
            r#type: "source",
        }
    }

    fn task(&self, id: usize, count: usize, partitions: &[PartitionSnapshot]) -> StateView {
        let halted: Vec<String> = of_task(id, count, partitions)
            .filter(|partition| partition.state == PartitionState::Halted)
            .map(|partition| {
                let PartitionKey {
                    topic,
                    partition: number,
                    ..
                } = &partition.key;
                format!("{topic}-{number}: {}", partition.reason)
            })
            .collect();
        if halted.is_empty() {
            self.view(self.control().wanted().as_str(), None)
        } else {
            self.view("FAILED", Some(halted.join("\n")))
        }
    }

    /// The body of `GET /connectors/{c}`.
    pub(crate) fn info(&self) -> InfoView {
        let count = self.task_count(self.partitions().len());
        InfoView {
            name: self.name.clone(),
            config: self.config.clone(),
            tasks: (0..count).map(|task| self.task_id(task)).collect(),
            r#type: "source",
        }
    }

    fn task_id(&self, task: usize) -> TaskId {
        let connector = self.name.clone();
        TaskId { connector, task }
    }

    /// The body of `/tasks`.
    pub(crate) fn tasks(&self) -> Vec<TaskConfig> {
        let partitions = self.partitions();
        let count = self.task_count(partitions.len());
        (0..count)
            .map(|task| {
                let mut config = self.config.clone();
                let class = self.kind.class().replace("Connector", "Task");
                config.insert("task.class".to_owned(), class);
                if self.kind == Connector::Source {
                    let assigned: Vec<String> = of_task(task, count, &partitions)
                        .map(|at| format!("{}-{}", at.key.topic, at.key.partition))
                        .collect();
                    config.insert("task.assigned.partitions".to_owned(), assigned.join(","));
                }
                let id = self.task_id(task);
                TaskConfig { id, config }
            })
            .collect()
    }

    /// The topics it writes to.
    pub(crate) fn topics(&self) -> Vec<String> {
        let config = &self.flow.config;
        match self.kind {
            Connector::Source => {
                let mut topics: Vec<String> = (self.partitions().iter())
                    .map(|at| config.remote_topic(&at.key.topic))
                    .collect();
                topics.dedup();
                topics
            }
            Connector::Checkpoint if self.task_count(0) > 0 => {
                vec![config.policy.checkpoints_topic(&config.id.source)]
            }
            Connector::Heartbeat if self.task_count(0) > 0 => {
                vec![config.policy.heartbeats_topic().to_owned()]
            }
            _ => Vec::new(),
        }
    }

    /// The topics it writes to, and a number that grows when it does; 0: it has not yet.
    pub(crate) fn written(&self, partitions: &[PartitionSnapshot]) -> BTreeMap<String, u64> {
        let at = match self.kind {
            Connector::Source => {
                let mut written = BTreeMap::new();
                for at in partitions {
                    let topic = self.flow.config.remote_topic(&at.key.topic);
                    *written.entry(topic).or_default() += at.records;
                }
                return written;
            }
            Connector::Checkpoint => self.flow.groups.emitted_at_ms().unwrap_or(0),
            // One every second, or another interval.
            Connector::Heartbeat if self.control().may_run() => now_ms(),
            Connector::Heartbeat => 0,
        };
        let at = u64::try_from(at).unwrap_or(0);
        self.topics().into_iter().map(|topic| (topic, at)).collect()
    }

    /// Starts the connector itself again: what looks for topics.
    pub(crate) async fn restart(&self) {
        let name = match self.kind {
            Connector::Source => "herder",
            Connector::Checkpoint => "checkpoints",
            Connector::Heartbeat => "heartbeat",
        };
        self.restart_child(name).await;
    }

    /// Starts the partitions of a task again.
    pub(crate) async fn restart_task(&self, task: usize) {
        let partitions = self.partitions();
        let count = self.task_count(partitions.len());
        if self.kind != Connector::Source {
            return self.restart().await;
        }
        for at in of_task(task, count, &partitions) {
            self.restart_child(&format!("{}-{}", at.key.topic, at.key.partition))
                .await;
        }
    }

    /// False: there is no such child, for example because the connector is stopped.
    async fn restart_child(&self, name: &str) -> bool {
        let name = format!("{}/{name}", self.flow.label).into();
        // A supervisor that is gone takes its flow along; then nothing is to be restarted.
        self.supervisor
            .send(RestartNow { name })
            .await
            .unwrap_or(false)
    }
}

fn stored_name(flow: &Flow, kind: Connector) -> &str {
    let names = &flow.config.connector_names;
    match kind {
        Connector::Source => &names.source,
        Connector::Checkpoint => &names.checkpoint,
        Connector::Heartbeat => &names.heartbeat,
    }
}

/// The partitions of one of `count` tasks.
pub(crate) fn of_task(
    task: usize,
    count: usize,
    partitions: &[PartitionSnapshot],
) -> impl Iterator<Item = &PartitionSnapshot> {
    partitions.iter().skip(task).step_by(count.max(1))
}
