//! What a connector's tasks are, as MM2 would make them.

use actors::{NotSynced, PartitionSnapshot};
use topology::Connector;

use super::records::Settings;
use crate::rest::{ConnectorView, of_task};

/// The configurations of a connector's tasks as MM2 would make them (docs/spec/mm2.md 4.7); none while that is not known.
pub(super) fn tasks_of(
    view: &ConnectorView,
    config: &Settings,
    partitions: &[PartitionSnapshot],
) -> Option<Vec<Settings>> {
    if !view.control().may_run() {
        return None;
    }
    let base = |number: usize| {
        let mut task = config.clone();
        let class = view.kind.class().replace("Connector", "Task");
        task.insert("task.class".to_owned(), class);
        if view.kind != Connector::Heartbeat {
            task.insert("task.index".to_owned(), number.to_string());
        }
        task
    };
    match view.kind {
        Connector::Source => {
            if partitions.is_empty() && view.flow.config.replication_enabled {
                return None; // not looked yet, or nothing to copy: what is written stays
            }
            let count = view.task_count(partitions.len());
            let task = |number| {
                let mut task = base(number);
                let assigned: Vec<_> = of_task(number, count, partitions)
                    .map(|at| format!("{}-{}", at.key.topic, at.key.partition))
                    .collect();
                task.insert("task.assigned.partitions".to_owned(), assigned.join(","));
                task
            };
            Some((0..count).map(task).collect())
        }
        Connector::Checkpoint => {
            let groups = view.flow.groups.snapshot();
            let followed: Vec<_> = (groups.iter())
                .filter(|(_, group)| {
                    group.why_not != Some(NotSynced::FilteredGroup) && !group.partitions.is_empty()
                })
                .map(|(name, _)| name.to_string())
                .collect();
            if followed.is_empty() {
                return None;
            }
            let count = followed
                .len()
                .min(view.tasks_max())
                .min(view.task_count(0) * followed.len());
            let task = |number| {
                let mut task = base(number);
                let assigned: Vec<_> = (followed.iter().skip(number).step_by(count.max(1)))
                    .map(String::as_str)
                    .collect();
                task.insert("task.assigned.groups".to_owned(), assigned.join(","));
                task
            };
            Some((0..count).map(task).collect())
        }
        Connector::Heartbeat => Some((0..view.task_count(0)).map(base).collect()),
    }
}
