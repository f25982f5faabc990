//! Why no record can travel in circles.

use std::collections::BTreeSet;
use std::fmt;

use crate::config::{ConfigError, FlowConfig};
use crate::filter::Names;
use crate::policy::PolicyKind;

/// Why a configuration is free of loops. Shown as a clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoopProof {
    /// No chain of flows leads back to a cluster.
    OneWay,
    /// Some do, but each has a cluster where records stop: topic names show that they were there
    /// before (the default policy), or no topic name passes both flows' filters (the identity
    /// policy).
    Stopped,
}

impl fmt::Display for LoopProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneWay => "no chain of flows leads back to a cluster",
            Self::Stopped => "records that would come back are stopped by their topic's name",
        })
    }
}

/// Looks for a chain of enabled flows that leads a record round without end.
///
/// # Errors
/// The flows of one loop; also where filters keep it apart with more than regular expressions, or
/// with three flows that only together have no topic in common.
pub(crate) fn prove_no_loops<'a>(
    flows: impl Iterator<Item = &'a FlowConfig>,
) -> Result<LoopProof, ConfigError> {
    let flows: Vec<_> = flows.filter(|flow| flow.replication_enabled).collect();
    let mut separators = flows.iter().map(|flow| flow.policy.separator());
    // With two separators an alias hides inside what the other flow takes for a topic's name.
    let one_separator = match separators.next() {
        Some(first) => separators.all(|separator| separator == first),
        None => true,
    };
    let follows = |from: &Hop, to: &Hop| from.flow.id.target == to.flow.id.source;
    let mut hops: Vec<_> = flows.iter().map(|flow| Hop { flow, names: None }).collect();
    if find_cycle(&arrows(&hops, follows)).is_none() {
        return Ok(LoopProof::OneWay);
    }
    for hop in hops
        .iter_mut()
        .filter(|hop| hop.flow.policy.kind() == PolicyKind::Identity)
    {
        hop.names = Names::of(&hop.flow.topic_filter);
    }
    let passes = |from: &Hop, to: &Hop| follows(from, to) && !stops(from, to, one_separator);
    match find_cycle(&arrows(&hops, passes)) {
        None => Ok(LoopProof::Stopped),
        Some(cycle) => {
            let ids = cycle
                .into_iter()
                .filter_map(|at| flows.get(at))
                .map(|flow| flow.id.clone());
            Err(ConfigError::Loop {
                flows: ids.collect(),
            })
        }
    }
}

/// A flow, and the names that it copies where these stay as they are and can be compared.
struct Hop<'a> {
    flow: &'a FlowConfig,
    names: Option<Names>,
}

/// Whether nothing goes round by coming in through `from` and leaving through `to` again.
fn stops(from: &Hop, to: &Hop, one_separator: bool) -> bool {
    // What gets the alias of `to`'s source into its name is refused by `from`. With the identity
    // policy that goes for heartbeats only; other names stay, so no name may be in both.
    let names_tell = one_separator && from.flow.policy.recognises(&to.flow.id.source);
    match (from.flow.policy.kind(), to.flow.policy.kind()) {
        (PolicyKind::Default, PolicyKind::Default) => names_tell,
        (PolicyKind::Identity, PolicyKind::Identity) => {
            let both = from.names.as_ref().zip(to.names.as_ref());
            names_tell && both.is_some_and(|(from, to)| from.is_disjoint(to))
        }
        _ => false,
    }
}

/// For each flow, by position, those that it leads to.
fn arrows(hops: &[Hop], leads_to: impl Fn(&Hop, &Hop) -> bool) -> Vec<Vec<usize>> {
    let from = |from: &Hop| {
        let led_to = hops.iter().enumerate().filter(|(_, to)| leads_to(from, to));
        led_to.map(|(at, _)| at).collect()
    };
    hops.iter().map(from).collect()
}

/// The positions of a cycle, if there is one. Takes away what leads nowhere until only cycles (and
/// what leads into them) are left. No recursion: the number of flows is the user's.
fn find_cycle(arrows: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut left: BTreeSet<usize> = (0..arrows.len()).collect();
    let next = |left: &BTreeSet<usize>, at: usize| {
        arrows.get(at)?.iter().copied().find(|to| left.contains(to))
    };
    loop {
        let before = left.clone();
        left.retain(|&at| next(&before, at).is_some());
        if left.len() == before.len() {
            break;
        }
    }
    // Whatever is left leads on to something left, so a walk must come back to where it was.
    let mut walk = vec![*left.first()?];
    loop {
        let at = next(&left, *walk.last()?)?;
        match walk.iter().position(|&known| known == at) {
            Some(start) => return Some(walk.split_off(start)),
            None => walk.push(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MirrorConfig;
    use crate::properties::Properties;

    /// The proof or the flows of the loop, for clusters a, b, c and these lines.
    fn prove(lines: &str) -> Result<LoopProof, String> {
        let file = format!(
            "clusters = a, b, c, x.y, z.w\na.bootstrap.servers = a:1\nb.bootstrap.servers = b:1\n\
             c.bootstrap.servers = c:1\nx.y.bootstrap.servers = x:1\nz.w.bootstrap.servers = z:1\n\
             emit.heartbeats.enabled = false\n{lines}"
        );
        let properties = Properties::parse(file.as_bytes()).unwrap();
        let config = MirrorConfig::read(properties, &[]).map_err(|errors| errors.to_string())?;
        Ok(config.loop_proof())
    }

    fn flows(flows: &[&str]) -> String {
        flows
            .iter()
            .map(|flow| format!("{flow}.enabled = true\n"))
            .collect()
    }

    const IDENTITY: &str =
        "replication.policy.class = org.apache.kafka.connect.mirror.IdentityReplicationPolicy\n";

    #[test]
    fn one_way_flows_need_no_names() {
        let fan = flows(&["a->b", "a->c", "b->c"]);
        assert_eq!(prove(&fan), Ok(LoopProof::OneWay));
        assert_eq!(prove(&(fan + IDENTITY)), Ok(LoopProof::OneWay));
    }

    #[test]
    fn aliases_in_names_stop_records() {
        assert_eq!(prove(&flows(&["a->b", "b->a"])), Ok(LoopProof::Stopped));
        assert_eq!(
            prove(&flows(&["a->b", "b->c", "c->a"])),
            Ok(LoopProof::Stopped)
        );
        // One recognisable cluster on the way is enough.
        assert_eq!(prove(&flows(&["a->x.y", "x.y->a"])), Ok(LoopProof::Stopped));
    }

    #[test]
    fn identity_both_ways_is_refused_with_both_flows() {
        let error = prove(&(flows(&["a->b", "b->a"]) + IDENTITY)).unwrap_err();
        assert!(error.contains("a->b and b->a"), "{error}");
        assert!(error.contains("DefaultReplicationPolicy"), "{error}");
        let ring = prove(&(flows(&["a->b", "b->c", "c->a"]) + IDENTITY)).unwrap_err();
        assert!(
            ["a->b", "b->c", "c->a"]
                .iter()
                .all(|flow| ring.contains(flow)),
            "{ring}"
        );
    }

    #[test]
    fn identity_with_disjoint_topics_is_fine() {
        let both = flows(&["a->b", "b->a"]) + IDENTITY;
        let topics = |a: &str, b: &str| format!("{both}a->b.topics = {a}\nb->a.topics = {b}\n");
        assert_eq!(
            prove(&topics("from-a, too", "from-b.*")),
            Ok(LoopProof::Stopped)
        );
        assert!(prove(&topics("from-a, from-b1", "from-b.*")).is_err());
        assert_eq!(
            prove(&topics("from-a.*", "from-b.*")),
            Ok(LoopProof::Stopped)
        );
        assert!(prove(&topics("from-a.*", "from.*")).is_err());
        assert!(
            prove(&topics("(?!b).*", "b.*")).is_err(),
            "true, but not to be proved"
        );
    }

    #[test]
    fn names_that_do_not_tell_are_refused() {
        // Both aliases have the separator in them: neither is ever recognised.
        assert!(prove(&flows(&["x.y->z.w", "z.w->x.y"])).is_err());
        let ring = flows(&["a->b", "b->a"]);
        let a_to_b = "a->b.replication.policy";
        // Records leave a without its alias.
        let class = IDENTITY.replacen("replication.policy", a_to_b, 1);
        assert!(prove(&(ring.clone() + &class)).is_err());
        assert!(prove(&format!("{ring}{a_to_b}.separator = _\n")).is_err());
        assert!(prove(&format!("{ring}replication.policy.separator =\n")).is_err());
    }

    #[test]
    fn a_cycle_is_found() {
        assert_eq!(find_cycle(&[vec![1], vec![2], vec![], vec![0]]), None);
        assert_eq!(
            find_cycle(&[vec![1], vec![2, 3], vec![], vec![1]]),
            Some(vec![1, 3])
        );
    }

    #[test]
    fn a_full_mesh_with_own_topics_is_proved() {
        let aliases: Vec<String> = (0..20).map(|at| format!("n{at}")).collect();
        let mut file = format!("clusters = {}\n{IDENTITY}", aliases.join(", "));
        for source in &aliases {
            file += &format!("{source}.bootstrap.servers = h:1\n");
            for target in &aliases {
                file += &format!("{source}->{target}.enabled = true\n");
                file += &format!("{source}->{target}.topics = {source}-.*\n");
            }
        }
        let properties = Properties::parse(file.as_bytes()).unwrap();
        let config = MirrorConfig::read(properties, &[]).unwrap();
        assert_eq!(
            (config.flows().len(), config.loop_proof()),
            (380, LoopProof::Stopped)
        );
    }

    #[test]
    fn flows_of_other_processes_count() {
        let file = flows(&["a->b", "b->a"])
            + IDENTITY
            + "clusters = a, b\n\
            a.bootstrap.servers = a:1\nb.bootstrap.servers = b:1\n";
        let properties = Properties::parse(file.as_bytes()).unwrap();
        assert!(MirrorConfig::read(properties, &["b".to_owned()]).is_err());
    }
}
