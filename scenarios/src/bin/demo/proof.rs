//! Did every record arrive exactly once, unchanged and in order, and did none come home?

use std::time::Duration;

use scenarios::client::{Isolation, compare, tally};
use scenarios::{Error, KafkaClient};

use crate::flow::{Flow, TOPIC};

/// How long reading a topic may take.
const READ_PATIENCE: Duration = Duration::from_secs(120);

/// Prints the findings.
///
/// # Errors
/// [`Error::Differs`] if there is any fault.
pub(crate) fn show(flows: &[Flow; 2]) -> Result<(), Error> {
    let mut faults = Vec::new();
    for flow in flows {
        let remote = flow.remote_topic();
        let source = flow
            .source
            .read_all(TOPIC, Isolation::ReadCommitted, READ_PATIENCE)?;
        let target = flow
            .target
            .read_all(&remote, Isolation::ReadCommitted, READ_PATIENCE)?;
        let count = tally(&target, 0..flow.produced());
        println!("{} on {}: {count}", remote, flow.target_alias);
        if let Err(error) = compare(&source, &target) {
            faults.push(format!("{remote} on {}: {error}", flow.target_alias));
        }
        if !count.is_exact() || count.found == 0 {
            faults.push(format!("{remote} on {}: {count}", flow.target_alias));
        }
    }
    let aliases = flows.each_ref().map(|flow| flow.source_alias.as_str());
    for flow in flows {
        for topic in came_home(&flow.source, aliases)? {
            faults.push(format!("{topic} on {} went in a circle", flow.source_alias));
        }
    }
    if !faults.is_empty() {
        return Err(Error::Differs(faults.join("\n")));
    }
    println!(
        "proved: each side holds every record of the other exactly once, in order and unchanged,"
    );
    println!("        and no topic went in a circle");
    Ok(())
}

/// Topics whose name carries two aliases. Heartbeats may: they show how far a path reaches.
fn came_home(client: &KafkaClient, aliases: [&str; 2]) -> Result<Vec<String>, Error> {
    let topics = client.topics()?.into_iter();
    Ok(topics
        .filter(|topic| hops(topic, aliases) > 1 && !topic.ends_with(".heartbeats"))
        .collect())
}

/// How many aliases stand before the topic's own name.
fn hops(topic: &str, aliases: [&str; 2]) -> usize {
    let parts: Vec<&str> = topic.split('.').collect();
    let prefixes = parts.iter().take(parts.len().saturating_sub(1));
    prefixes.take_while(|part| aliases.contains(part)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_aliases_in_front() {
        for (topic, count) in [
            ("orders", 0),
            ("east.orders", 1),
            ("east.west.orders", 2),
            ("east.east", 1),
            ("mm2-offset-syncs.east.internal", 0),
            ("east.checkpoints.internal", 1),
        ] {
            assert_eq!(hops(topic, ["east", "west"]), count, "{topic}");
        }
    }
}
