//! Did every record arrive exactly once and in order, and did none come home?

use std::collections::BTreeSet;
use std::fmt;

use super::ledger::Faults;
use super::settings::ALIASES;

/// What was found in one topic of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// `east.orders on west`.
    pub(crate) what: String,
    /// Written where the topic comes from.
    pub(crate) written: u64,
    /// Different records of these that were read here.
    pub(crate) read: u64,
    /// Offsets in the topic, removed records included: as many as were written, or something is lost or doubled.
    pub(crate) stored: u64,
    pub(crate) faults: Faults,
}

impl Finding {
    /// Everything there once, and nothing else.
    pub(crate) fn is_exact(&self) -> bool {
        self.written > 0
            && self.read == self.written
            && self.stored == self.written
            && self.faults == Faults::default()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            written,
            read,
            stored,
            faults,
        } = self;
        write!(
            f,
            "{what}: {written} written, {stored} stored, {read} read; {faults}"
        )
    }
}

/// All that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) findings: Vec<Finding>,
    /// Topics whose names do not belong: a copy of a copy that came home, or a copy of nothing.
    pub(crate) strays: Vec<String>,
    /// Whether crosscurrent stopped with everything acknowledged and its positions stored.
    pub(crate) stopped_cleanly: bool,
}

impl Proof {
    /// Nothing is wrong.
    pub(crate) fn holds(&self) -> bool {
        !self.findings.is_empty()
            && self.findings.iter().all(Finding::is_exact)
            && self.strays.is_empty()
            && self.stopped_cleanly
    }
}

/// Topics that should not be there, as `TOPIC on CLUSTER`, given the topics of each cluster in the order of [`ALIASES`].
///
/// The list is closed under naming: `east.x` is on west if and only if `x` is on east and was written there. Heartbeats may
/// make one more hop: they show how far a path reaches (docs/spec/mm2.md 4.2).
pub(crate) fn strays(topics: &[BTreeSet<String>; 2]) -> Vec<String> {
    let mut strays = Vec::new();
    for (here, alias) in ALIASES.iter().enumerate() {
        let (Some(ours), Some(theirs), Some(other)) = (
            topics.get(here),
            topics.get(1 - here),
            ALIASES.get(1 - here),
        ) else {
            continue;
        };
        let strange = |topic: &str| match hop(topic) {
            None => false,
            // Their own topic's copy; ours, if it is a copy of its copy.
            Some((source, upstream)) => {
                source != *other || !theirs.contains(upstream) || hop(upstream).is_some()
            }
        };
        let found = ours.iter().filter(|topic| strange(topic));
        strays.extend(found.map(|topic| format!("{topic} on {alias}")));
    }
    strays
}

/// The alias in front, and what is behind; none for internal topics and for those written where they are.
fn hop(topic: &str) -> Option<(&str, &str)> {
    let (alias, rest) = topic.split_once('.')?;
    let internal = topic.ends_with(".internal");
    (ALIASES.contains(&alias) && !internal).then_some((alias, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(topics: &[&str]) -> BTreeSet<String> {
        topics.iter().map(|topic| (*topic).to_owned()).collect()
    }

    #[test]
    fn a_closed_list_has_no_strays() {
        let internal = [
            "__consumer_offsets",
            "mm2-offsets.west.internal",
            "west.checkpoints.internal",
        ];
        let east = of(&[
            &[
                "orders",
                "west.orders",
                "heartbeats",
                "west.heartbeats",
                "a.b",
            ][..],
            &internal,
        ]
        .concat());
        let west = of(&[
            "orders",
            "east.orders",
            "heartbeats",
            "east.heartbeats",
            "east.a.b",
        ]);
        assert_eq!(strays(&[east, west]), [""; 0]);
    }

    #[test]
    fn what_came_home_or_from_nowhere_is_named() {
        let west = of(&["orders", "east.orders", "east.west.orders", "west.orders"]);
        let east = of(&[
            "orders",
            "west.orders",
            "west.payments",
            "west.east.orders",
            "east.orders",
        ]);
        assert_eq!(
            strays(&[east, west]),
            [
                "east.orders on east",
                "west.east.orders on east",
                "west.payments on east",
                "east.west.orders on west",
                "west.orders on west"
            ]
        );
    }

    #[test]
    fn only_an_exact_copy_proves_anything() {
        let exact = Finding {
            what: "east.orders on west".to_owned(),
            written: 7,
            read: 7,
            stored: 7,
            faults: Faults::default(),
        };
        let of = |finding: Finding| Proof {
            findings: vec![finding],
            strays: Vec::new(),
            stopped_cleanly: true,
        };
        assert!(of(exact.clone()).holds());
        assert!(
            !Proof {
                stopped_cleanly: true,
                ..Proof::default()
            }
            .holds(),
            "nothing looked at"
        );
        assert!(
            !Proof {
                stopped_cleanly: false,
                ..of(exact.clone())
            }
            .holds()
        );
        assert!(
            !Proof {
                strays: vec!["x".to_owned()],
                ..of(exact.clone())
            }
            .holds()
        );
        for broken in [
            Finding {
                written: 0,
                read: 0,
                stored: 0,
                ..exact.clone()
            },
            Finding {
                read: 6,
                ..exact.clone()
            },
            Finding {
                stored: 8,
                ..exact.clone()
            },
            Finding {
                faults: Faults {
                    lost: 1,
                    ..Faults::default()
                },
                ..exact.clone()
            },
        ] {
            assert!(!of(broken.clone()).holds(), "{broken}");
        }
    }
}
