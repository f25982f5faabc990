//! Which flows the connectors make, and which connectors make none, and why. Pure: the config topic in, a plan out.

use std::collections::{BTreeMap, BTreeSet};

use actors::TargetState;
use topology::connect_def::{ConfigFault, find_plugin};
use topology::{ConnectWorker, Connector, ConnectorSet, FlowConfig, FlowId, identify};

use super::configs::Configs;
use super::records::Settings;

/// A flow's aliases and its source connector; none copies nothing.
pub(crate) type FlowKey = (FlowId, Option<String>);

/// What shall run.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) flows: BTreeMap<FlowKey, PlannedFlow>,
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
/// newcomer takes nothing from another; then one that is not stopped; then the order of names decides. With which source connector
/// checkpoints and heartbeats go is decided likewise, but for `carriers`, which have some: they keep them, stopped or not.
pub(crate) fn plan(worker: &ConnectWorker, configs: &Configs, carriers: &BTreeSet<String>) -> Plan {
    let mut plan = Plan::default();
    let mut members: BTreeMap<FlowId, Members> = BTreeMap::new();
    let mut names: Vec<_> = configs.names().collect();
    let stopped = |name: &str| {
        configs
            .get(name)
            .is_some_and(|found| found.target == TargetState::Stopped)
    };
    names.sort_by_key(|name| {
        let carries = carriers.contains(*name);
        (!carries, !configs.has_had_tasks(name), stopped(name))
    });
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

    /// Adds a connector at a time: what is wrong with one leaves the others running, as in Connect. Each source connector is a
    /// flow; checkpoints and heartbeats go with the first one, and translate by the maps of all.
    fn add(&mut self, worker: &ConnectWorker, configs: &Configs, id: &FlowId, members: Members) {
        let mut planned: Vec<PlannedFlow> = Vec::new();
        // The source connectors first: the order of the variants.
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
                let first: Option<&PlannedFlow> = planned.first();
                first.and_then(|flow| flow.names.get(&other).cloned())
            };
            let is_source = connector == Connector::Source;
            if let Some(first) = has(connector).filter(|_| !is_source) {
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
            let joined = planned.first().filter(|_| !is_source);
            let (mut set, mut names) = joined.map_or_else(Default::default, |flow| {
                (flow.set.clone(), flow.names.clone())
            });
            *set.slot(connector) = Some(config);
            let read = worker.flow(id, &set).map_err(|errors| errors.to_string());
            let beside = planned.first().filter(|_| is_source);
            match read.and_then(|config| self.check(config, beside)) {
                Ok(config) => {
                    names.insert(connector, name);
                    let flow = PlannedFlow { config, set, names };
                    match planned.first_mut().filter(|_| !is_source) {
                        Some(first) => *first = flow,
                        None => planned.push(flow),
                    }
                }
                Err(trace) => self.refuse(&name, Some(connector), target, trace),
            }
        }
        for flow in planned {
            let source = flow.names.get(&Connector::Source).cloned();
            self.flows.insert((id.clone(), source), flow);
        }
    }

    /// What must hold between flows. `beside`: a flow of another source connector of the same pair.
    fn check(
        &self,
        config: FlowConfig,
        beside: Option<&PlannedFlow>,
    ) -> Result<FlowConfig, String> {
        let copying = || {
            self.flows
                .values()
                .map(|flow| &flow.config)
                .filter(|flow| flow.replication_enabled)
        };
        if config.replication_enabled {
            // Maps and the lease are named after the source, offset syncs and checkpoints after the pair.
            let same = copying().find(|other| other.id.source == config.id.source);
            if let Some(other) = same {
                return Err(format!(
                    "{} of flow {} copies from cluster {} already, and this version copies to one target alias from each: give both \
                     connectors the same target.cluster.alias, or the source another alias",
                    other.connector_names.source, other.id, config.id.source
                ));
            }
        }
        if let Some(other) = beside.map(|flow| &flow.config)
            && other.policy != config.policy
        {
            // One map for each source partition: its copy has one name.
            return Err(format!(
                "{} of {} names the copies of topics in another way: give both connectors the same replication.policy.* keys",
                other.connector_names.source, other.id
            ));
        }
        let all = copying().chain([&config]);
        ConnectWorker::check_loops(all).map_err(|error| error.to_string())?;
        Ok(config)
    }
}

fn only_one(first: &str, connector: Connector, id: &FlowId) -> String {
    let what = match connector {
        Connector::Checkpoint => "put the groups of both into one of them, and delete the other",
        Connector::Source | Connector::Heartbeat => "one is enough, delete the other",
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
        plan(&worker(), &configs(connectors), &BTreeSet::new())
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
        let two = planned(&[
            "s MirrorSource",
            "c1 MirrorCheckpoint",
            "c2 MirrorCheckpoint",
        ]);
        assert!(
            trace(&two, "c2").starts_with("c1 is the MirrorCheckpointConnector of a->b already")
        );
        let named = planned(&[
            "s1 MirrorSource",
            "s2 MirrorSource replication.policy.separator=_",
        ]);
        assert!(
            trace(&named, "s2").starts_with("s1 of a->b names the copies of topics in another")
        );
        let targets = planned(&["s1 MirrorSource", "s2 MirrorSource target.cluster.alias=c"]);
        assert!(trace(&targets, "s2").contains("copies from cluster a already"));
        let identity =
            "replication.policy.class=org.apache.kafka.connect.mirror.IdentityReplicationPolicy";
        let back =
            format!("s2 MirrorSource source.cluster.alias=b target.cluster.alias=a {identity}");
        let both = planned(&[&format!("s1 MirrorSource {identity}"), &back]);
        assert!(trace(&both, "s2").contains("round and round"), "{both:?}");
    }

    /// The flows' connectors.
    fn named(plan: &Plan) -> Vec<Vec<&str>> {
        (plan.flows.values())
            .map(|flow| flow.names.values().map(String::as_str).collect())
            .collect()
    }

    #[test]
    fn each_source_connector_of_a_pair_is_a_flow_and_the_first_carries_the_others() {
        let all = [
            "c MirrorCheckpoint",
            "s1 MirrorSource",
            "s2 MirrorSource",
            "h MirrorHeartbeat",
        ];
        let plan = planned(&all);
        assert!(plan.idle.is_empty(), "{plan:?}");
        assert_eq!(named(&plan), [vec!["s1", "c", "h"], vec!["s2"]]);
        let second = plan.flows.values().nth(1).unwrap();
        assert!(second.config.offsets.emit_checkpoints.is_none());
        assert!(second.config.emit_heartbeats_interval.is_none());
        // The first one is wrong, or gone: the second carries them.
        let plan = planned(&[
            "s1 MirrorSource topics=a[",
            "s2 MirrorSource",
            "c MirrorCheckpoint",
        ]);
        assert_eq!(named(&plan), [["s2", "c"]]);
    }

    #[test]
    fn a_newcomer_takes_nothing_from_another() {
        let connectors = [
            "first MirrorSource",
            "a-newcomer MirrorSource",
            "c MirrorCheckpoint",
        ];
        let mut configs = configs(&connectors);
        configs.apply(ConfigRecord::Commit("first".to_owned(), 0));
        let plan_with = |configs: &Configs, carriers: &[&str]| {
            let carriers = carriers.iter().map(ToString::to_string).collect();
            let plan = plan(&worker(), configs, &carriers);
            assert!(plan.idle.is_empty(), "{plan:?}");
            let flows = plan.flows.into_values();
            let carrier = flows.into_iter().find(|flow| flow.names.len() == 2);
            carrier.unwrap().names.into_values().next().unwrap()
        };
        assert_eq!(plan_with(&configs, &[]), "first");
        // Nor when it has tasks, too, or the first is stopped, while this process runs.
        configs.apply(ConfigRecord::Commit("a-newcomer".to_owned(), 0));
        assert_eq!(plan_with(&configs, &[]), "a-newcomer");
        assert_eq!(plan_with(&configs, &["first"]), "first");
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
