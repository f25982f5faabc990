//! Lets run what the config topic wants, and writes down what runs: flows, tasks, states.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use actors::{Control, ControlledConnector, Flow, PartitionSnapshot, Worker};
use tokio::time::Instant;
use topology::{ConnectWorker, Connector};
use tracing::{debug, info, warn};

use super::configs::Configs;
use super::plan::{FlowKey, Idle, Plan, PlannedFlow, plan};
use super::records::{ConfigRecord, Restart, Settings, StatusOf, StatusRecord};
use super::statuses::Now;
use super::store::{Store, StoreError};
use super::tasks::tasks_of;
use crate::rest::{Api, ConnectorView, Shown, now_ms};

/// Bound on draining a flow that ends while the worker runs on, and storing its positions; as Connect's
/// `task.shutdown.graceful.timeout.ms`. Signals wait for it.
pub(crate) const END_LIMIT: Duration = Duration::from_secs(5);

/// The flows of a Connect worker.
pub(crate) struct Deployment {
    worker: Worker,
    file: Arc<ConnectWorker>,
    store: Arc<Store>,
    api: web::Data<Api>,
    worker_id: Arc<str>,
    generation: i64,
    running: BTreeMap<FlowKey, Running>,
    idle: BTreeMap<String, Idle>,
    /// What tasks should be, as of the last look: written when two looks agree.
    tasks_due: BTreeMap<String, Vec<Settings>>,
    /// Records copied to each topic when its use was noted last, by connector and topic.
    copied: HashMap<(String, String), u64>,
    /// Topics in use that are not written down yet.
    topics_due: Vec<StatusRecord>,
    /// The last write of states failed, and that was said.
    failing: bool,
}

/// A connector with its partitions at one moment: looking at thousands costs milliseconds, so it is done once.
type Looked = (ConnectorView, Vec<PartitionSnapshot>);

fn looked_at(views: Vec<ConnectorView>) -> Vec<Looked> {
    views
        .into_iter()
        .map(|view| {
            let partitions = view.partitions();
            (view, partitions)
        })
        .collect()
}

struct Running {
    flow: Arc<Flow>,
    planned: PlannedFlow,
}

impl Deployment {
    /// Nothing runs yet.
    pub(crate) fn new(
        worker: Worker,
        file: Arc<ConnectWorker>,
        store: Arc<Store>,
        api: web::Data<Api>,
        worker_id: Arc<str>,
    ) -> Self {
        Self {
            generation: store.statuses().generation(),
            worker,
            file,
            store,
            api,
            worker_id,
            running: BTreeMap::new(),
            idle: BTreeMap::new(),
            tasks_due: BTreeMap::new(),
            copied: HashMap::new(),
            topics_due: Vec::new(),
            failing: false,
        }
    }

    /// The flows that run.
    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Lets run what the config topic wants as far as it was read.
    pub(crate) async fn reconcile(&mut self) {
        let configs = self.store.configs();
        let restarts = self.store.take_restarts();
        let mut wanted = plan(&self.file, &configs, &self.carriers());
        // `${...}` is looked up at a start: an unchanged connector runs on with what it has.
        for (id, running) in &self.running {
            let again = |name: &String| restarts.iter().any(|(of, _)| of == name);
            if let Some(planned) = wanted.flows.get_mut(id)
                && planned.set == running.planned.set
                && planned.names == running.planned.names
                && !planned.names.values().any(again)
            {
                *planned = running.planned.clone();
            }
        }
        // Counters end with their flow.
        let used = self.topics_in_use(&looked_at(self.views()));
        self.topics_due.extend(used);
        self.end_flows(&wanted).await;
        self.start_flows(&configs, wanted);
        for (name, restart) in restarts {
            self.restart(&name, restart).await;
        }
        self.show();
    }

    /// The source connectors with which others go.
    fn carriers(&self) -> BTreeSet<String> {
        let carry = (self.running.values()).filter(|running| running.planned.names.len() > 1);
        let source = |running: &Running| running.planned.names.get(&Connector::Source).cloned();
        carry.filter_map(source).collect()
    }

    /// Lets running connectors do what they shall do: that is not waited for.
    pub(crate) fn obey(&self) {
        let configs = self.store.configs();
        for running in self.running.values() {
            running.obey(&configs);
        }
    }

    async fn end_flows(&mut self, wanted: &Plan) {
        let ends: Vec<FlowKey> = (self.running.iter())
            .filter(|(id, running)| {
                wanted.flows.get(*id).is_none_or(|planned| {
                    planned.config != running.planned.config
                        || planned.names != running.planned.names
                })
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in ends {
            let Some(running) = self.running.remove(&id) else {
                continue;
            };
            let again = wanted.flows.contains_key(&id);
            let id = &running.flow.label;
            info!(flow = %id, again, "connectors have changed: the flow ends");
            if !self.worker.remove(&running.flow, END_LIMIT).await {
                warn!(flow = %id, "not everything was acknowledged and stored in time: what is on the target is found there");
            }
        }
    }

    fn start_flows(&mut self, configs: &Configs, wanted: Plan) {
        for (id, planned) in wanted.flows {
            let running = match self.running.remove(&id) {
                Some(running) => Running {
                    flow: running.flow,
                    planned,
                },
                None => {
                    let copies = planned.config.replication_enabled;
                    info!(flow = %id.0, connectors = ?planned.names.values(), copies, "flow");
                    Running {
                        flow: self.worker.add(&planned.config),
                        planned,
                    }
                }
            };
            // Before its actors have looked for the first time: nothing awaits between.
            running.obey(configs);
            self.running.insert(id, running);
        }
        for (name, idle) in &wanted.idle {
            if self.idle.get(name) != Some(idle) {
                if idle.failed {
                    warn!(
                        connector = name,
                        reason = idle.trace,
                        "connector cannot run"
                    );
                } else {
                    info!(connector = name, reason = idle.trace, "connector waits");
                }
            }
        }
        self.idle = wanted.idle;
    }

    async fn restart(&self, name: &str, restart: Restart) {
        let views = self.views();
        let Some(view) = views.iter().find(|view| view.name == name) else {
            return;
        };
        let status = view.status();
        let due = |state: &str| state != "STOPPED" && (!restart.only_failed || state == "FAILED");
        if due(status.connector.state) {
            view.restart().await;
        }
        if restart.include_tasks {
            for task in status.tasks.iter().filter(|task| due(task.at.state)) {
                view.restart_task(task.id).await;
            }
        }
    }

    fn views(&self) -> Vec<ConnectorView> {
        let mut views = Vec::new();
        for Running { flow, planned } in self.running.values() {
            let Some(supervisor) = self.worker.supervisor(flow) else {
                continue;
            };
            for (connector, name) in &planned.names {
                let config = match connector {
                    Connector::Source => &planned.set.source,
                    Connector::Checkpoint => &planned.set.checkpoint,
                    Connector::Heartbeat => &planned.set.heartbeat,
                };
                views.push(ConnectorView::of_connector(
                    name,
                    *connector,
                    flow,
                    supervisor,
                    config.clone().unwrap_or_default(),
                    &self.worker_id,
                ));
            }
        }
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
    }

    fn show(&self) {
        self.api.show(Shown {
            connectors: self.views(),
            flows: self.worker.flows(),
            idle: self.idle.clone(),
        });
    }

    /// Writes what has changed since: tasks, states, topics in use.
    pub(crate) async fn record(&mut self) {
        let result = self.try_record().await;
        let failed = std::mem::replace(&mut self.failing, result.is_err());
        match result {
            Ok(()) if failed => info!("tasks and states are written again"),
            Ok(()) => {}
            Err(error) if failed => debug!(%error, "tasks and states still not written"),
            Err(error) => {
                warn!(%error, "cannot write tasks and states to the storage topics, trying on")
            }
        }
    }

    async fn try_record(&mut self) -> Result<(), StoreError> {
        let views = looked_at(self.views());
        self.record_tasks(&views).await?;
        let configs = self.store.configs();
        let mut now = BTreeMap::new();
        for (view, partitions) in &views {
            let tasks = configs.get(&view.name).map_or(0, |found| found.tasks.len());
            let status = view.status_among(tasks, partitions);
            let state = |at: &crate::rest::StateView| Now {
                state: at.state,
                trace: at.trace.clone(),
            };
            let of = StatusOf::Connector(view.name.clone());
            now.insert(of, state(&status.connector));
            for task in &status.tasks {
                let of = StatusOf::Task(view.name.clone(), task.id);
                now.insert(of, state(&task.at));
            }
        }
        for (name, idle) in &self.idle {
            let state = idle.state();
            let trace = (state == "FAILED").then(|| idle.trace.clone());
            now.insert(StatusOf::Connector(name.clone()), Now { state, trace });
        }
        let statuses = self.store.statuses();
        let mut changes = statuses.changes(&now, &self.worker_id, self.generation);
        changes.append(&mut self.topics_due);
        changes.extend(self.topics_in_use(&views));
        let gone = statuses
            .with_topics()
            .filter(|name| !configs.contains(name));
        changes.extend(gone.flat_map(|name| statuses.forget_topics(name)));
        self.store.put(changes).await
    }

    /// Once nothing runs any more: what Connect writes when a worker leaves.
    pub(crate) async fn record_end(store: &Store, worker_id: &str, names: &[(String, usize)]) {
        let mut now = BTreeMap::new();
        let unassigned = || Now {
            state: "UNASSIGNED",
            trace: None,
        };
        for (name, tasks) in names {
            now.insert(StatusOf::Connector(name.clone()), unassigned());
            for task in 0..*tasks {
                now.insert(StatusOf::Task(name.clone(), task), unassigned());
            }
        }
        let statuses = store.statuses();
        let changes = statuses.changes(&now, worker_id, statuses.generation());
        if let Err(error) = store.put(changes).await {
            warn!(%error, "states not written");
        }
    }

    /// All connectors, with the number of their tasks.
    pub(crate) fn names(&self) -> Vec<(String, usize)> {
        let configs = self.store.configs();
        let names = configs.names();
        names
            .filter_map(|name| Some((name.to_owned(), configs.get(name)?.tasks.len())))
            .collect()
    }

    /// What a connector's tasks are is written as Connect's leader does: another worker, or Connect itself, finds them.
    async fn record_tasks(&mut self, views: &[Looked]) -> Result<(), StoreError> {
        let configs = self.store.configs();
        let mut due = BTreeMap::new();
        for (view, partitions) in views {
            let Some(found) = configs.get(&view.name) else {
                continue;
            };
            let Some(tasks) = tasks_of(view, &found.config, partitions) else {
                continue;
            };
            if tasks != found.tasks {
                due.insert(view.name.clone(), tasks);
            }
        }
        let settled: Vec<_> = (due.iter())
            .filter(|(name, tasks)| self.tasks_due.get(*name) == Some(*tasks))
            .map(|(name, tasks)| (name.clone(), tasks.clone()))
            .collect();
        self.tasks_due = due;
        for (name, tasks) in settled {
            let seen = configs.get(&name);
            let decide = |now: &Configs| {
                // Stopped or changed meanwhile: its tasks are another matter then.
                if now.get(&name) != seen {
                    return Ok((Vec::new(), ()));
                }
                let count = tasks.len();
                let each = tasks.into_iter().enumerate();
                let mut records: Vec<_> = each
                    .map(|(number, task)| ConfigRecord::Task(name.clone(), number, Some(task)))
                    .collect();
                records.push(ConfigRecord::Commit(name.clone(), count));
                Ok::<_, StoreError>((records, ()))
            };
            self.store.change(decide).await?;
        }
        Ok(())
    }

    /// Topics that were written to since the last look and are not known to be in use.
    fn topics_in_use(&mut self, views: &[Looked]) -> Vec<StatusRecord> {
        let statuses = self.store.statuses();
        let mut records = Vec::new();
        for (view, partitions) in views {
            for (topic, copied) in view.written(partitions) {
                let at = (view.name.clone(), topic.clone());
                let before = self.copied.insert(at, copied).unwrap_or(0);
                // Less than before: it is another flow's count.
                if copied > 0 && copied != before && !statuses.uses(&view.name, &topic) {
                    records.push(StatusRecord::Topic {
                        topic,
                        connector: view.name.clone(),
                        since: Some((0, now_ms())),
                    });
                }
            }
        }
        records
    }

    /// Ends all flows; true if everything was acknowledged and stored.
    pub(crate) async fn stop(self, deadline: Instant) -> bool {
        let limit = deadline.saturating_duration_since(Instant::now());
        self.worker.stop(limit).await
    }
}

impl Running {
    fn obey(&self, configs: &Configs) {
        for (connector, name) in &self.planned.names {
            let Some(found) = configs.get(name) else {
                continue;
            };
            let control = control_of(&self.flow.control, *connector);
            if control.wanted() != found.target {
                control.want(found.target);
            }
        }
    }
}

fn control_of(control: &Control, connector: Connector) -> &ControlledConnector {
    match connector {
        Connector::Source => &control.source,
        Connector::Checkpoint => &control.checkpoint,
        Connector::Heartbeat => &control.heartbeat,
    }
}
