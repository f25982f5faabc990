//! Which names a list of regexes accepts (docs/spec/mm2.md 1.1, item 4).

mod overlap;

pub(crate) use overlap::Names;

use fancy_regex::{Regex, RegexBuilder};

use crate::config::value;

/// Steps that one match may take before it is given up. Java has no such bound and would hang.
pub const BACKTRACK_LIMIT: usize = 1_000_000;

/// MM2's regex list: the items, joined with `|`, must match an *entire* name.
///
/// Java's `Pattern` syntax as far as `fancy-regex` knows it, look-around, back references,
/// possessive quantifiers and `\Q...\E` included. The empty list matches nothing.
#[derive(Clone, Debug, Default)]
pub struct PatternList {
    items: Vec<String>,
    regex: Option<Regex>,
}

/// An item of a regex list that is no regex.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{item}` is no regular expression: {reason}")]
pub struct PatternError {
    /// The item, or the whole list if each item alone is a regex but their alternation is not.
    pub item: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A match took more than [`BACKTRACK_LIMIT`] steps, so there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("regular expression gave up after {BACKTRACK_LIMIT} steps")]
pub struct Undecided;

impl PartialEq for PatternList {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items
    }
}

impl PatternList {
    /// Reads a list as Kafka reads a LIST value: trimmed, split at commas. So no item can contain
    /// a comma, while a group may stand around one: `(a, b)` becomes `(a|b)`, as in MM2.
    ///
    /// # Errors
    /// Names the first item that is no regex.
    pub fn parse(list: &str) -> Result<Self, PatternError> {
        Self::new(value::list(list).map(str::to_owned).collect())
    }

    /// A list of these items.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn new(items: Vec<String>) -> Result<Self, PatternError> {
        if items.is_empty() {
            return Ok(Self { items, regex: None });
        }
        let joined = to_rust(&items.join("|"));
        // Compiled bare first: with the group around it, `a)|(b` would pass. `\z` and not `$`,
        // which could also stand before a last line feed.
        let regex = compile(&joined).and_then(|_| compile(&format!(r"\A(?:{joined})\z")));
        match regex {
            Ok(regex) => Ok(Self {
                items,
                regex: Some(regex),
            }),
            Err(error) => Err(blame(&items, &error)),
        }
    }

    /// Whether one of the items matches the whole name.
    ///
    /// # Errors
    /// [`Undecided`] on a pattern with catastrophic backtracking.
    pub fn matches(&self, name: &str) -> Result<bool, Undecided> {
        match &self.regex {
            Some(regex) => regex.is_match(name).map_err(|_| Undecided),
            None => Ok(false),
        }
    }

    /// The items as written.
    pub fn items(&self) -> &[String] {
        &self.items
    }
}

fn compile(pattern: &str) -> Result<Regex, fancy_regex::Error> {
    RegexBuilder::new(pattern)
        .backtrack_limit(BACKTRACK_LIMIT)
        .build()
}

fn blame(items: &[String], error: &fancy_regex::Error) -> PatternError {
    let broken = items
        .iter()
        .find_map(|item| Some((item, compile(&to_rust(item)).err()?)));
    match broken {
        Some((item, error)) => PatternError {
            item: item.clone(),
            reason: one_line(&error),
        },
        None => PatternError {
            item: items.join(", "),
            reason: one_line(error),
        },
    }
}

/// The last line of the parser's report; those above draw a picture of the pattern.
fn one_line(error: &fancy_regex::Error) -> String {
    let text = error.to_string();
    text.lines()
        .next_back()
        .unwrap_or_default()
        .trim_start_matches("error: ")
        .to_owned()
}

/// Writes what only Java knows in other words: `\Q...\E` quotation (an open end quotes the rest),
/// and `\h`, horizontal white space, which other dialects read as a hexadecimal digit.
fn to_rust(pattern: &str) -> String {
    let mut plain = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('Q') => {
                let rest = chars.as_str();
                let (quoted, after) = rest.split_once(r"\E").unwrap_or((rest, ""));
                plain.push_str(&fancy_regex::escape(quoted));
                chars = after.chars();
            }
            Some('h') => plain.push_str(r"[ \t]"),
            Some('H') => plain.push_str(r"[^ \t]"),
            Some(escaped) => plain.extend(['\\', escaped]),
            None => plain.push('\\'),
        }
    }
    plain
}

/// Why a topic is replicated, or why not. Shown in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicVerdict {
    /// Replicated: an item of `topics` matches and none of `topics.exclude`.
    Included,
    /// Replicated although the lists refuse it: a heartbeats topic (KIP-1089).
    Heartbeats,
    /// Not replicated: no item of `topics` matches.
    NotIncluded,
    /// Not replicated: an item of `topics.exclude` matches.
    Excluded,
    /// Not replicated: MM2's or Kafka's own topic.
    Internal,
    /// Not replicated: the records come from the target.
    Cycle,
    /// Not replicated: a regex is too expensive to decide ([`BACKTRACK_LIMIT`]). Neither guess is
    /// right; this one copies nothing that an operator may have excluded, and can be seen.
    Undecided,
}

impl TopicVerdict {
    /// Whether the topic is replicated.
    pub fn is_replicated(self) -> bool {
        matches!(self, Self::Included | Self::Heartbeats)
    }
}

impl std::fmt::Display for TopicVerdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Included => "included by topics",
            Self::Heartbeats => "heartbeats",
            Self::NotIncluded => "not in topics",
            Self::Excluded => "in topics.exclude",
            Self::Internal => "internal topic",
            Self::Cycle => "comes from the target",
            Self::Undecided => "regular expression too expensive",
        })
    }
}

/// The default topic filter: an include and an exclude list; exclude wins. Only names are looked
/// at; internal topics and cycles are the caller's ([`FlowConfig::verdict`]).
///
/// [`FlowConfig::verdict`]: crate::FlowConfig::verdict
#[derive(Clone, Debug, PartialEq)]
pub struct TopicFilter {
    /// MM2: `topics`, default `.*`.
    pub include: PatternList,
    /// MM2: `topics.exclude`, default `mm2.*\.internal, .*\.replica, __.*`.
    pub exclude: PatternList,
}

impl TopicFilter {
    /// One of `Included`, `NotIncluded`, `Excluded` and `Undecided`.
    pub fn verdict(&self, topic: &str) -> TopicVerdict {
        match (self.include.matches(topic), self.exclude.matches(topic)) {
            (_, Ok(true)) => TopicVerdict::Excluded,
            (Ok(false), _) => TopicVerdict::NotIncluded,
            (Ok(true), Ok(false)) => TopicVerdict::Included,
            (Err(Undecided), _) | (_, Err(Undecided)) => TopicVerdict::Undecided,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(list: &str, name: &str) -> bool {
        PatternList::parse(list).unwrap().matches(name).unwrap()
    }

    #[test]
    fn sc_02_topic_matching() {
        assert!(matches("topic1", "topic1"));
        assert!(!matches("topic1", "topic2"));
    }

    #[test]
    fn sc_04_no_topics() {
        for name in ["topic1", "topic2", ""] {
            assert!(!matches("", name));
            assert!(!matches("  ", name));
        }
    }

    #[test]
    fn sc_05_sc_06_all_topics_and_lists() {
        assert!(matches(".*", "topic1") && matches(".*", "topic2"));
        let list = "topic1, topic2";
        assert!(matches(list, "topic1") && matches(list, "topic2") && !matches(list, "topic3"));
    }

    #[test]
    fn the_whole_name_must_match() {
        for (list, name) in [
            ("a|ab", "ab"),
            ("^a.*$", "abc"),
            ("a.*, ^b$", "b"),
            ("(topic1, topic2)", "topic2"),
            ("(?i)ORDERS, x", "orders"),
            ("(?i)a, ORDERS", "orders"),
            (r"\Qa.b\E.*", "a.bc"),
            (r"\Qa.b", "a.b"),
            (r"orders(?!\.internal).*", "orders.eu"),
            (r"(?<!x)y.*+", "yes"),
            (r"[\-\.]internal", "-internal"),
            (r"[a-z&&[^b]]+", "ac"),
            (r"\p{Alpha}+\d*", "abc12"),
        ] {
            assert!(matches(list, name), "{list} should match {name}");
        }
        for (list, name) in [
            ("a", "ab"),
            ("a, b", "ab"),
            ("b", "ab"),
            ("a$", "a\n"),
            (r"\Qa.b\E", "axb"),
            (r"\h[\h]", "ab"),
            (r"orders(?!\.internal).*", "orders.internal"),
            ("a*+a", "aaa"),
        ] {
            assert!(!matches(list, name), "{list} should not match {name:?}");
        }
    }

    #[test]
    fn a_bad_regex_names_its_item() {
        let item = |list| PatternList::parse(list).unwrap_err().item;
        assert_eq!(item("ok, a["), "a[");
        assert_eq!(item("*"), "*");
        assert_eq!(item("a)|(b"), "a)|(b");
        // Bounded by the parser's depth and by size, not by the stack or the memory.
        assert!(PatternList::parse(&"(".repeat(100_000)).is_err());
        assert!(PatternList::parse("((a{999}){999}){999}").is_err());
    }

    #[test]
    fn a_catastrophic_regex_gives_up_and_replicates_nothing() {
        let name = "ab".repeat(60);
        let slow = PatternList::parse("(a|b|ab)*(?=c)").unwrap();
        let all = PatternList::parse(".*").unwrap();
        assert_eq!(slow.matches(&name), Err(Undecided));
        let as_include = TopicFilter {
            include: slow.clone(),
            exclude: all.clone(),
        };
        assert_eq!(as_include.verdict(&name), TopicVerdict::Excluded);
        let as_exclude = TopicFilter {
            include: all,
            exclude: slow,
        };
        assert_eq!(as_exclude.verdict(&name), TopicVerdict::Undecided);
        assert!(!as_exclude.verdict(&name).is_replicated());
    }

    proptest! {
        #[test]
        fn a_quoted_name_matches_itself_and_nothing_else(
            name in "[a-zA-Z0-9._-]{1,12}", other in "[a-zA-Z0-9._-]{0,12}",
        ) {
            let list = PatternList::new(vec![format!(r"\Q{name}\E")]).unwrap();
            prop_assert_eq!(list.matches(&name), Ok(true));
            prop_assert_eq!(list.matches(&other), Ok(name == other));
        }

        #[test]
        fn no_pattern_panics(list in "[ -~]{0,24}", name in "[a-z.]{0,8}") {
            if let Ok(list) = PatternList::parse(&list) {
                prop_assert_eq!(list.matches(&name), list.matches(&name));
            }
        }
    }
}
