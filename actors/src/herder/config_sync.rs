//! Keeps the configs of remote topics as their source topics' (`docs/spec/mm2.md` 4.5).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{AsyncContext, Context, SpawnHandle};
use engine::cluster::{ClusterError, ConfigChange, ConfigEntry, ConfigSource};
use topology::PatternList;
use tracing::{info, warn};

use super::Herder;
use super::remote_topics::follows;
use crate::control::TargetState;
use crate::flow::Flow;
use crate::replicator::load_all_rules;

/// Topics that are compared at once. Each has some 35 entries on both sides, so this bounds what is in memory.
const TOPICS_AT_ONCE: usize = 200;

/// The herder's part in it.
#[derive(Default)]
pub(super) struct ConfigSync {
    /// The comparison that runs, or that is planned; none before the first one.
    next: Option<SpawnHandle>,
    /// It was said that configs cannot be synced.
    told: bool,
}

/// Topics whose configs could not be synced, and what was said about the first of them.
#[derive(Default)]
struct Refused {
    topics: usize,
    first: Option<(String, String)>,
}

impl Refused {
    fn add(&mut self, topic: &str, reason: &dyn ToString) {
        self.topics += 1;
        let what = || (topic.to_owned(), reason.to_string());
        self.first.get_or_insert_with(what);
    }
}

impl Herder {
    /// Begins with the first round that has found topics, then goes on for itself.
    pub(super) fn begin_config_sync(&mut self, ctx: &mut Context<Self>) {
        if self.config_sync.next.is_none() {
            self.sync_configs(ctx);
        }
    }

    fn sync_configs(&mut self, ctx: &mut Context<Self>) {
        let Some(interval) = self.flow.config.sync_topic_configs_interval else {
            return;
        };
        let flow = self.flow.clone();
        let topics = if self.obeyed == TargetState::Running {
            self.running
                .keys()
                .map(|(topic, _)| topic.clone())
                .collect()
        } else {
            BTreeSet::new() // as Connect, whose connector is not there then
        };
        let synced = wrap_future::<_, Self>(sync(flow, topics)).map(move |result, this, ctx| {
            this.tell_synced(result);
            this.config_sync.next = Some(ctx.run_later(interval, Self::sync_configs));
        });
        self.config_sync.next = Some(ctx.spawn(synced));
    }

    /// Says once that something cannot be synced, and when that is over.
    fn tell_synced(&mut self, result: Result<Refused, ClusterError>) {
        let flow = &self.flow.label;
        let told = &mut self.config_sync.told;
        match result {
            Ok(Refused { first: None, .. }) => {
                if std::mem::take(told) {
                    info!(%flow, "topic configs are synced again");
                }
            }
            _ if *told => {}
            Ok(Refused { topics, first }) => {
                *told = true;
                let (topic, reason) = first.unwrap_or_default();
                warn!(%flow, topics, topic, reason, "topic configs not synced; copying goes on, trying again");
            }
            Err(error) => {
                *told = true;
                warn!(%flow, %error, "topic configs not synced; copying goes on, trying again");
            }
        }
    }
}

/// Compares both sides, and changes on the target what differs.
async fn sync(flow: Arc<Flow>, topics: BTreeSet<String>) -> Result<Refused, ClusterError> {
    let mut refused = Refused::default();
    let topics: Vec<String> = topics.into_iter().collect();
    for chunk in topics.chunks(TOPICS_AT_ONCE) {
        if flow.lease.is_lost() || flow.drain.fired() {
            break; // another process' work, or nobody's
        }
        let remotes: Vec<String> = (chunk.iter())
            .map(|topic| flow.config.remote_topic(topic))
            .collect();
        let wanted = flow.source.topic_configs(chunk).await?;
        let mut present = flow.target.topic_configs(&remotes).await?;
        let mut all = Vec::new();
        for (topic, remote) in chunk.iter().zip(remotes) {
            match (wanted.get(topic), present.remove(&remote)) {
                (Some(Ok(wanted)), Some(Ok(present))) => {
                    let config = &flow.config;
                    let excluded = &config.config_properties_exclude;
                    let changes =
                        changes(wanted, present, excluded, config.use_defaults_from_source);
                    if !changes.is_empty() {
                        all.push((remote, changes));
                    }
                }
                (Some(Err(why)), _) => refused.add(topic, why),
                (_, Some(Err(why))) => refused.add(&remote, &why),
                _ => {}
            }
        }
        alter(&flow, all, &mut refused).await?;
    }
    Ok(refused)
}

async fn alter(
    flow: &Flow,
    all: Vec<(String, Vec<ConfigChange>)>,
    refused: &mut Refused,
) -> Result<(), ClusterError> {
    let mut altered = Vec::new();
    for (remote, refusal) in flow.target.alter_topic_configs(&all).await? {
        match refusal {
            None => altered.push(remote),
            Some(refusal) => refused.add(&remote, &refusal),
        }
    }
    for (remote, changes) in all.iter().filter(|(remote, _)| altered.contains(remote)) {
        let configs: Vec<&str> = changes.iter().map(|change| change.name.as_str()).collect();
        info!(flow = %flow.label, topic = remote, ?configs, "configs of the remote topic follow its source");
    }
    if !altered.is_empty() {
        load_all_rules(flow, &altered).await?; // what a batch may be, such as its size
    }
    Ok(())
}

/// What has to change on a remote topic: what is set on the source topic is set, what is not is not, and excluded names stay
/// as they are. MM2 writes everything in each round; nothing is written here that is so already.
fn changes(
    wanted: &[ConfigEntry],
    present: Vec<ConfigEntry>,
    excluded: &PatternList,
    defaults_too: bool,
) -> Vec<ConfigChange> {
    let present: HashMap<String, Option<String>> = (present.into_iter())
        .filter(|entry| entry.source == ConfigSource::Topic)
        .map(|entry| (entry.name, entry.value))
        .collect();
    let followed = wanted.iter().filter(|entry| follows(excluded, entry));
    let differing = followed.filter_map(|entry| {
        let of_its_own = present.get(&entry.name);
        let name = entry.name.clone();
        if entry.source == ConfigSource::Default && !defaults_too {
            return of_its_own.map(|_| ConfigChange { name, value: None });
        }
        let value = Some(entry.value.clone()?);
        (of_its_own != Some(&value)).then_some(ConfigChange { name, value })
    });
    differing.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, value: &str, source: ConfigSource) -> ConfigEntry {
        ConfigEntry {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            source,
            read_only: false,
            sensitive: false,
        }
    }

    fn changed(
        wanted: &[ConfigEntry],
        present: Vec<ConfigEntry>,
        defaults_too: bool,
    ) -> Vec<(String, Option<String>)> {
        let excluded = PatternList::parse("delete\\.retention\\..*").unwrap();
        changes(wanted, present, &excluded, defaults_too)
            .into_iter()
            .map(|change| (change.name, change.value))
            .collect()
    }

    fn set(name: &str, value: &str) -> (String, Option<String>) {
        (name.to_owned(), Some(value.to_owned()))
    }

    #[test]
    fn mm_4_5_what_is_set_is_set_and_what_is_not_is_removed() {
        let wanted = [
            entry("retention.bytes", "1000", ConfigSource::Topic),
            entry("segment.bytes", "7", ConfigSource::DynamicBroker),
            entry("retention.ms", "9", ConfigSource::StaticBroker),
            entry("cleanup.policy", "delete", ConfigSource::Default),
        ];
        let present = vec![
            entry("retention.bytes", "2000", ConfigSource::Topic),
            entry("retention.ms", "5", ConfigSource::Topic),
            entry("cleanup.policy", "compact", ConfigSource::Topic),
            entry("segment.bytes", "7", ConfigSource::Default),
        ];
        let removed = ("cleanup.policy".to_owned(), None);
        let expected = [set("retention.bytes", "1000"), set("segment.bytes", "7")];
        let changes = changed(&wanted, present, false);
        assert_eq!(changes[..2], expected);
        assert_eq!(changes[2..], [removed]);
    }

    #[test]
    fn mm_4_5_excluded_names_are_never_touched() {
        let wanted = [entry("delete.retention.ms", "1000", ConfigSource::Topic)];
        let present = vec![entry("delete.retention.ms", "2000", ConfigSource::Topic)];
        assert_eq!(changed(&wanted, present, true), []);
    }

    #[test]
    fn mm_4_5_defaults_of_the_source_are_written_when_asked_for() {
        let wanted = [entry("retention.bytes", "-1", ConfigSource::Default)];
        let present = vec![entry("retention.bytes", "2000", ConfigSource::Topic)];
        let expected = [set("retention.bytes", "-1")];
        assert_eq!(changed(&wanted, present, true), expected);
    }

    #[test]
    fn what_is_so_already_is_not_written() {
        let wanted = [
            entry("retention.bytes", "1000", ConfigSource::Topic),
            entry("cleanup.policy", "delete", ConfigSource::Default),
        ];
        let mut present = wanted.to_vec();
        assert_eq!(changed(&wanted, present.clone(), false), []);
        present[1].source = ConfigSource::Topic;
        assert_eq!(changed(&wanted, present, true), []);
    }
}
