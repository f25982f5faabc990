//! Whether two topic filters can accept the same name, by walking their automata together.

use std::collections::HashSet;

use regex_automata::Anchored;
use regex_automata::dfa::Automaton;
use regex_automata::dfa::StartKind;
use regex_automata::dfa::dense::{Builder, Config, DFA};
use regex_automata::util::primitives::StateID;
use regex_automata::util::{start, syntax};

use super::{PatternList, TopicFilter};
use crate::alias::is_topic_byte;

/// Memory that one list's automaton may take, while and after it is made. Unit: bytes.
const AUTOMATON_BYTES_MAX: usize = 4 << 20;
/// Joint states that are looked at before the question is left open.
const JOINT_STATES_MAX: usize = 20_000;

/// A state of each automaton: two include and two exclude lists, include first.
type Joint = [StateID; 4];

/// A topic filter as automata, made once and compared with many.
pub(crate) struct Names {
    include: DFA<Vec<u32>>,
    exclude: DFA<Vec<u32>>,
}

impl Names {
    /// `None` for what is more than a regular language (look-around, back references, possessive
    /// quantifiers, Unicode classes), or too large.
    pub(crate) fn of(filter: &TopicFilter) -> Option<Self> {
        Some(Self {
            include: automaton(&filter.include)?,
            exclude: automaton(&filter.exclude)?,
        })
    }

    /// Whether it is certain that no topic name passes both filters; `false` also means that
    /// there were too many possibilities.
    pub(crate) fn is_disjoint(&self, other: &Self) -> bool {
        let automata = [&self.include, &other.include, &self.exclude, &other.exclude];
        share_no_name(automata).unwrap_or(false)
    }
}

/// Searches the joint states that legal topic names reach for one where both include lists match
/// and no exclude list does. `None` if there are too many.
fn share_no_name(automata: [&DFA<Vec<u32>>; 4]) -> Option<bool> {
    let anchored = start::Config::new().anchored(Anchored::Yes);
    let mut first = Joint::default();
    for (state, automaton) in first.iter_mut().zip(automata) {
        *state = automaton.start_state(&anchored).ok()?;
    }
    let (mut seen, mut next) = (HashSet::from([first]), vec![first]);
    while let Some(joint) = next.pop() {
        if accepts(automata, joint) {
            return Some(false);
        }
        for byte in (0..=u8::MAX).filter(|&byte| is_topic_byte(byte)) {
            let mut after = joint;
            for (state, automaton) in after.iter_mut().zip(automata) {
                *state = automaton.next_state(*state, byte);
            }
            let lost = after
                .iter()
                .zip(automata)
                .take(2)
                .any(|(&state, of)| of.is_dead_state(state));
            if !lost && seen.insert(after) {
                next.push(after);
            }
        }
        if seen.len() > JOINT_STATES_MAX {
            return None;
        }
    }
    Some(true)
}

fn accepts(automata: [&DFA<Vec<u32>>; 4], joint: Joint) -> bool {
    let matches = |(automaton, state): (&DFA<Vec<u32>>, StateID)| {
        automaton.is_match_state(automaton.next_eoi_state(state))
    };
    let mut matches = automata.into_iter().zip(joint).map(matches);
    matches.by_ref().take(2).all(|included| included) && !matches.any(|excluded| excluded)
}

/// The automaton of a list; `None` if it has none that says the same as the regex.
fn automaton(list: &PatternList) -> Option<DFA<Vec<u32>>> {
    let Some(pattern) = list.regex.as_ref().map(fancy_regex::Regex::as_str) else {
        return DFA::never_match().ok();
    };
    if !is_read_alike(pattern) {
        return None;
    }
    let limits = Config::new()
        .start_kind(StartKind::Anchored)
        .dfa_size_limit(Some(AUTOMATON_BYTES_MAX))
        .determinize_size_limit(Some(AUTOMATON_BYTES_MAX));
    // Topic names are ASCII: bytes say the same as characters and need far fewer states.
    let bytes = syntax::Config::new().unicode(false).utf8(false);
    Builder::new()
        .configure(limits)
        .syntax(bytes)
        .build(pattern)
        .ok()
}

/// Whether both engines understand the same by the pattern's quantifiers. A possessive one would
/// be read as a repeated repetition (`(a*)+`), which matches more, and a counter that has nothing
/// to repeat as text by one and as nothing by the other.
fn is_read_alike(pattern: &str) -> bool {
    let pairs = pattern.bytes().zip(pattern.bytes().skip(1));
    !pairs.into_iter().any(|pair| match pair {
        (b'*' | b'+' | b'?' | b'}', b'+') => true,
        (before, b'{') => !before.is_ascii_alphanumeric() && !matches!(before, b']' | b'.'),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_disjoint(a: &TopicFilter, b: &TopicFilter) -> bool {
        Names::of(a)
            .zip(Names::of(b))
            .is_some_and(|(a, b)| a.is_disjoint(&b))
    }

    fn filter(include: &str, exclude: &str) -> TopicFilter {
        let list = |text| PatternList::parse(text).unwrap();
        TopicFilter {
            include: list(include),
            exclude: list(exclude),
        }
    }

    #[test]
    fn disjoint_filters_are_recognised() {
        for (a, b) in [
            (("a-.*", ""), ("b-.*", "")),
            ((".*", "a.*"), ("a.*", "")),
            (("orders, users", ""), ("users2, .*x", "")),
            (("", ""), (".*", "")),
            ((r".*\.eu", ""), (".*[^u]", "")),
            (("(?i)AB.*", ""), ("(?i)ac.*", "")),
            (("a b", ""), (".*", "")), // no topic name has a blank
        ] {
            assert!(
                is_disjoint(&filter(a.0, a.1), &filter(b.0, b.1)),
                "{a:?} {b:?}"
            );
        }
    }

    #[test]
    fn overlaps_and_doubts_are_no_proof() {
        for (a, b) in [
            ((".*", ""), (".*", "")),
            (("a.*", "aa.*"), (".*b", "")),
            ((".*", "a+"), ("[ab]*", "")),
            (("(?!b).*", ""), ("b.*", "")),
            (("c", ""), (".*", "(c*+c|d)")),
            (("c", ""), (".*", r"\p{L}")),
            (("(.*a.{30}, b)", ""), ("c", "")), // exponential when made deterministic
        ] {
            assert!(
                !is_disjoint(&filter(a.0, a.1), &filter(b.0, b.1)),
                "{a:?} {b:?}"
            );
        }
    }

    proptest! {
        /// Whatever both engines read, they read alike; else a proof would prove nothing.
        #[test]
        fn a_name_that_passes_both_filters_refutes_the_proof(
            lists in prop::array::uniform4(
                prop::collection::vec(prop::sample::select(vec![
                    "a", "b", "\\.", "-", ".*", ".", ".+", "?", "*", "+", "|", "(", ")", "(?i)", "A",
                    "[ab]", "[^a]", "[a-z&&[^b]]", "\\d", "\\w", "\\Qa.", "\\E", "^", "$", "*+", ",",
                    "{2}", "\\b", "\\h", "(?x)", "(?:", "[\\-\\.]", "\\z", "\\A", "(?!a)", "\\<", "#",
                ]), 1..5),
            ),
            names in prop::collection::vec("[abA.0-]{1,4}", 1..20),
        ) {
            // What is no regex becomes the empty list.
            let mut parsed = lists
                .iter()
                .map(|pieces| PatternList::parse(&pieces.concat()).unwrap_or_default());
            let mut next = || parsed.next().unwrap();
            let a = TopicFilter { include: next(), exclude: next() };
            let b = TopicFilter { include: next(), exclude: next() };
            let passes =
                |name: &String| [&a, &b].iter().all(|f| f.verdict(name).is_replicated());
            prop_assert!(!(names.iter().any(passes) && is_disjoint(&a, &b)));
            for list in [&a.include, &a.exclude, &b.include, &b.exclude] {
                let Some(automaton) = automaton(list) else { continue };
                for name in &names {
                    let anchored = start::Config::new().anchored(Anchored::Yes);
                    let mut state = automaton.start_state(&anchored).unwrap();
                    for byte in name.bytes() {
                        state = automaton.next_state(state, byte);
                    }
                    let matches = automaton.is_match_state(automaton.next_eoi_state(state));
                    prop_assert_eq!(list.matches(name), Ok(matches), "{:?} on {}", list, name);
                }
            }
        }
    }
}
