//! Which flows the connectors make, and which connectors make none, and why. Pure: the config topic in, a plan out.

use std::collections::BTreeMap;

use actors::TargetState;
use topology::connect_def::{ConfigFault, find_plugin};
use topology::{ConnectWorker, Connector, ConnectorSet, FlowConfig, FlowId, identify};

use super::configs::Configs;
use super::records::Settings;

/// What shall run.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) flows: BTreeMap<FlowId, PlannedFlow>,
    /// Connectors that no flow runs, by name.
    pub(crate) idle: BTreeMap<String, Idle>,
}

/// A flow and the connectors that it is made of.
#[derive(Clone, Debug)]
pub(crate) struct PlannedFlow {
    pub(crate) config: FlowConfig,
    /// As written: while it stays the same, the flow runs on.
    pub(crate) set: ConnectorSet,
    /// Their names.
    pub(crate) names: BTreeMap<Connector, String>,
}

/// A connector that no flow runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Idle {
    /// None: a class that we do not have.
    pub(crate) connector: Option<Connector>,
    /// What it shall do.
    pub(crate) target: TargetState,
    /// It cannot run; else it waits for another connector.
    pub(crate) failed: bool,
    /// Why, and what to do.
    pub(crate) trace: String,
}

impl Idle {
    /// The state that Connect would show. What is stopped does not fail.
    pub(crate) fn state(&self) -> &'static str {
        if self.failed && self.target != TargetState::Stopped {
            "FAILED"
        } else {
            self.target.as_str()
        }
    }
}

/// The connectors of one flow by kind, those first that come first.
type Members = BTreeMap<Connector, Vec<(String, Settings)>>;

/// Plans the flows of all connectors. Where only one of several can run, it is one that has had tasks already, so that a
/// newcomer takes nothing from another; then one that is not stopped; then the order of names decides.
pub(crate) fn plan(worker: &ConnectWorker, configs: &Configs) -> Plan {
    let mut plan = Plan::default();
    let mut members: BTreeMap<FlowId, Members> = BTreeMap::new();
    let mut names: Vec<_> = configs.names().collect();
    let stopped = |name: &str| {
        configs
            .get(name)
            .is_some_and(|found| found.target == TargetState::Stopped)
    };
    names.sort_by_key(|name| (!configs.has_had_tasks(name), stopped(name)));
    let mut order = Vec::new();
    for name in names {
        let Some(found) = configs.get(name) else {
            continue;
        };
        let resolved = worker.resolve(&found.config);
        let Some((connector, id)) = identify(&resolved) else {
            let trace = match resolved.get("connector.class") {
                Some(class) if find_plugin(class.trim()).is_none() => {
                    let class = class.clone();
                    ConfigFault::UnknownClass { class }.to_string()
                }
                Some(_) => "source.cluster.alias is not set".to_owned(),
                None => "connector.class is not set".to_owned(),
            };
            plan.refuse(name, None, found.target, trace);
            continue;
        };
        if !members.contains_key(&id) {
            order.push(id.clone());
        }
        let flow = members.entry(id).or_default();
        let one = (name.to_owned(), found.config);
        flow.entry(connector).or_default().push(one);
    }
    for id in order {
        let members = members.remove(&id).unwrap_or_default();
        plan.add(worker, configs, &id, members);
    }
    plan
}

impl Plan {
    fn refuse(&mut self, name: &str, of: Option<Connector>, target: TargetState, trace: String) {
        let idle = Idle {
            connector: of,
            target,
            failed: true,
            trace,
        };
        self.idle.insert(name.to_owned(), idle);
    }

    /// Adds a connector at a time: what is wrong with one leaves the others running, as in Connect.
    fn add(&mut self, worker: &ConnectWorker, configs: &Configs, id: &FlowId, members: Members) {
        let mut planned: Option<PlannedFlow> = None;
        // The source connector first: the order of the variants.
        let all = members.into_iter().flat_map(|(connector, those)| {
            those
                .into_iter()
                .map(move |(name, config)| (connector, name, config))
        });
        for (connector, name, config) in all {
            let target = configs
                .get(&name)
                .map_or(TargetState::default(), |found| found.target);
            let has = |other| {
                let names = planned.as_ref().map(|flow: &PlannedFlow| &flow.names);
                names.and_then(|names: &BTreeMap<_, String>| names.get(&other).cloned())
            };
            if let Some(first) = has(connector) {
                let trace = only_one(&first, connector, id);
                self.refuse(&name, Some(connector), target, trace);
                continue;
            }
            if connector == Connector::Checkpoint && has(Connector::Source).is_none() {
                let trace = format!(
                    "waits for a MirrorSourceConnector of {id} that runs in this worker: offsets are translated by what it copies"
                );
                let idle = Idle {
                    connector: Some(connector),
                    target,
                    failed: false,
                    trace,
                };
                self.idle.insert(name, idle);
                continue;
            }
            let mut set = planned
                .as_ref()
                .map(|flow| flow.set.clone())
                .unwrap_or_default();
            *set.slot(connector) = Some(config);
            let read = worker.flow(id, &set).map_err(|errors| errors.to_string());
            match read.and_then(|config| self.check(config)) {
                Ok(config) => {
                    let mut names = planned.take().map(|flow| flow.names).unwrap_or_default();
                    names.insert(connector, name);
                    planned = Some(PlannedFlow { config, set, names });
                }
                Err(trace) => self.refuse(&name, Some(connector), target, trace),
            }
        }
        if let Some(flow) = planned {
            self.flows.insert(id.clone(), flow);
        }
    }

    /// What must hold between flows.
    fn check(&self, config: FlowConfig) -> Result<FlowConfig, String> {
        let copying = || {
            self.flows
                .values()
                .map(|flow| &flow.config)
                .filter(|flow| flow.replication_enabled)
        };
        if config.replication_enabled {
            // Positions, maps and the lease of a flow are named after its source.
            let same = copying().find(|other| other.id.source == config.id.source);
            if let Some(other) = same {
                return Err(format!(
                    "{} of flow {} copies from cluster {} already: put the topics of both into one connector, or give the \
                     source another alias",
                    other.connector_names.source, other.id, config.id.source
                ));
            }
        }
        let all = copying().chain([&config]);
        ConnectWorker::check_loops(all).map_err(|error| error.to_string())?;
        Ok(config)
    }
}

fn only_one(first: &str, connector: Connector, id: &FlowId) -> String {
    let what = match connector {
        Connector::Source => "put the topics of both into one of them, and delete the other",
        Connector::Checkpoint => "put the groups of both into one of them, and delete the other",
        Connector::Heartbeat => "one is enough, delete the other",
    };
    format!(
        "{first} is the {connector} of {id} already, and this version runs one of a kind for a pair of aliases: {what}"
    )
}

#[cfg(test)]
mod tests {
    use topology::{ConfigProviders, Properties};

    use super::super::records::ConfigRecord;
    use super::*;

    fn worker() -> ConnectWorker {
        let file = b"bootstrap.servers = b:1\ngroup.id = g\noffset.storage.topic = o\nconfig.storage.topic = c\nstatus.storage.topic = s\n";
        ConnectWorker::read(Properties::parse(file).unwrap(), ConfigProviders::default()).unwrap()
    }

    /// Connectors as `name class more`, where `more` is `key=value`.
    fn configs(connectors: &[&str]) -> Configs {
        let mut configs = Configs::default();
        for connector in connectors {
            let mut words = connector.split(' ');
            let (name, class) = (words.next().unwrap(), words.next().unwrap());
            let base = [
                ("name", name),
                ("connector.class", class),
                ("source.cluster.alias", "a"),
                ("target.cluster.alias", "b"),
                ("source.cluster.bootstrap.servers", "a:1"),
            ];
            let more = words.map(|word| word.split_once('=').unwrap());
            let settings = base.into_iter().chain(more);
            let settings = settings
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect();
            configs.apply(ConfigRecord::Connector(name.to_owned(), Some(settings)));
        }
        configs
    }

    fn planned(connectors: &[&str]) -> Plan {
        plan(&worker(), &configs(connectors))
    }

    fn trace<'a>(plan: &'a Plan, name: &str) -> &'a str {
        &plan.idle.get(name).unwrap().trace
    }

    #[test]
    fn three_connectors_of_a_pair_are_one_flow() {
        let plan = planned(&["s MirrorSource", "c MirrorCheckpoint", "h MirrorHeartbeat"]);
        assert!(plan.idle.is_empty());
        let flow = plan.flows.values().next().unwrap();
        assert_eq!(plan.flows.len(), 1);
        assert_eq!(flow.names.values().collect::<Vec<_>>(), ["s", "c", "h"]);
        assert!(flow.config.replication_enabled);
        assert!(flow.config.offsets.emit_checkpoints.is_some());
    }

    #[test]
    fn a_heartbeat_connector_alone_is_a_flow_that_copies_nothing() {
        let plan = planned(&["h MirrorHeartbeat"]);
        let flow = plan.flows.values().next().unwrap();
        assert!(!flow.config.replication_enabled && flow.config.emit_heartbeats_interval.is_some());
    }

    #[test]
    fn a_checkpoint_connector_alone_waits() {
        let plan = planned(&["c MirrorCheckpoint"]);
        assert!(plan.flows.is_empty() && !plan.idle.get("c").unwrap().failed);
        assert!(trace(&plan, "c").starts_with("waits for a MirrorSourceConnector of a->b"));
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_what_to_do() {
        let two = planned(&["s1 MirrorSource", "s2 MirrorSource"]);
        assert_eq!(two.flows.len(), 1);
        assert!(trace(&two, "s2").starts_with("s1 is the MirrorSourceConnector of a->b already"));
        let targets = planned(&["s1 MirrorSource", "s2 MirrorSource target.cluster.alias=c"]);
        assert!(trace(&targets, "s2").contains("copies from cluster a already"));
        let identity =
            "replication.policy.class=org.apache.kafka.connect.mirror.IdentityReplicationPolicy";
        let back =
            format!("s2 MirrorSource source.cluster.alias=b target.cluster.alias=a {identity}");
        let both = planned(&[&format!("s1 MirrorSource {identity}"), &back]);
        assert!(trace(&both, "s2").contains("round and round"), "{both:?}");
    }

    #[test]
    fn a_newcomer_takes_nothing_from_another() {
        let mut configs = configs(&["first MirrorSource", "a-newcomer MirrorSource"]);
        configs.apply(ConfigRecord::Commit("first".to_owned(), 0));
        let plan = plan(&worker(), &configs);
        let flow = plan.flows.values().next().unwrap();
        assert_eq!(flow.names.values().collect::<Vec<_>>(), ["first"]);
        assert!(plan.idle.contains_key("a-newcomer"));
    }

    #[test]
    fn what_is_wrong_with_one_leaves_the_others_running() {
        let plan = planned(&[
            "s MirrorSource",
            "c MirrorCheckpoint groups=a[",
            "h MirrorHeartbeat emit.heartbeats.interval.seconds=x",
            "x com.example.Sink",
        ]);
        let flow = plan.flows.values().next().unwrap();
        assert_eq!(flow.names.values().collect::<Vec<_>>(), ["s"]);
        assert!(trace(&plan, "c").starts_with("groups: `a[`"), "{plan:?}");
        assert!(trace(&plan, "h").starts_with("emit.heartbeats.interval.seconds"));
        assert!(
            trace(&plan, "x").starts_with("Failed to find any class that implements Connector")
        );
        assert!(plan.idle.values().all(|idle| idle.failed));
        // What cannot run keeps no other from running.
        let plan = planned(&["a MirrorSource topics=a[", "s MirrorSource"]);
        assert!(trace(&plan, "a").starts_with("topics: ") && plan.idle.len() == 1);
        // A source that cannot run: its checkpoints wait, heartbeats go on.
        let plan = planned(&[
            "s MirrorSource topics=a[",
            "c MirrorCheckpoint",
            "h MirrorHeartbeat",
        ]);
        assert_eq!(plan.flows.values().next().unwrap().names.len(), 1);
        assert!(!plan.idle.get("c").unwrap().failed && plan.idle.get("s").unwrap().failed);
    }
}
