//! The entries that Kafka 4.3.1 knows, and which values it takes.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::OnceLock;

/// A value's type; the numbers are the protocol's (DescribeConfigs v3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
    Class = 8,
    Password = 9,
}

/// One configuration entry.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// `None`: null.
    pub(crate) default: Option<&'static str>,
    /// The broker property that is a topic's or group's default.
    pub(crate) broker: Option<&'static str>,
    /// A broker property that may change while the broker runs.
    pub(crate) dynamic: bool,
    /// Described even if nobody set it.
    pub(crate) shown: bool,
    /// Which values are valid: `1..`, `1..9`, `a|b`, or a word of its own; `-` is any.
    rule: &'static str,
    /// Kafka's own text; kept for topics only.
    pub(crate) documentation: &'static str,
}

/// Topic entries, by name. Columns: name, type, default, broker property, rule, documentation; `\N` is null.
pub(crate) fn topics() -> &'static [Entry] {
    static ENTRIES: OnceLock<Vec<Entry>> = OnceLock::new();
    ENTRIES.get_or_init(|| read(include_str!("topics.tsv"), false))
}

/// Group entries (KIP-848, KIP-932, KIP-1071), by name. Columns as for topics.
pub(crate) fn groups() -> &'static [Entry] {
    static ENTRIES: OnceLock<Vec<Entry>> = OnceLock::new();
    ENTRIES.get_or_init(|| read(include_str!("groups.tsv"), false))
}

/// Broker properties, by name. Columns: name, type, default, `dynamic`, `quota` (dynamic, shown when set) or `-`, rule.
pub(crate) fn brokers() -> &'static [Entry] {
    static ENTRIES: OnceLock<Vec<Entry>> = OnceLock::new();
    ENTRIES.get_or_init(|| read(include_str!("brokers.tsv"), true))
}

/// Entries of client metrics subscriptions (KIP-714).
pub(crate) const SUBSCRIPTIONS: &[Entry] = &[
    Entry::of_subscription("interval.ms", Kind::Int, "300000"),
    Entry::of_subscription("match", Kind::List, ""),
    Entry::of_subscription("metrics", Kind::List, ""),
];

/// The entry called `name` in a table that is sorted by name.
pub(crate) fn find(table: &'static [Entry], name: &str) -> Option<&'static Entry> {
    let at = table.binary_search_by(|entry| entry.name.cmp(name)).ok()?;
    table.get(at)
}

fn read(table: &'static str, brokers: bool) -> Vec<Entry> {
    let mut entries: Vec<Entry> = table
        .lines()
        .filter_map(|line| {
            let mut cells = line.split('\t');
            let (name, kind, default) = (cells.next()?, Kind::parse(cells.next()?)?, cells.next()?);
            let (fourth, rule) = (cells.next()?, cells.next()?);
            Some(Entry {
                name,
                kind,
                default: (default != "\\N").then_some(default),
                broker: (!brokers && fourth != "-").then_some(fourth),
                dynamic: brokers && fourth != "-",
                shown: fourth != "quota",
                rule,
                documentation: cells.next().unwrap_or_default(),
            })
        })
        .collect();
    entries.sort_by_key(|entry| entry.name);
    entries
}

impl Kind {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "BOOLEAN" => Self::Boolean,
            "STRING" => Self::String,
            "INT" => Self::Int,
            "SHORT" => Self::Short,
            "LONG" => Self::Long,
            "DOUBLE" => Self::Double,
            "LIST" => Self::List,
            "CLASS" => Self::Class,
            "PASSWORD" => Self::Password,
            _ => return None,
        })
    }
}

// === impl Entry ===

impl Entry {
    const fn of_subscription(name: &'static str, kind: Kind, default: &'static str) -> Self {
        Self {
            name,
            kind,
            default: Some(default),
            broker: None,
            dynamic: true,
            shown: true,
            rule: "-",
            documentation: "",
        }
    }

    /// Whether `value` can be this entry's.
    ///
    /// # Errors
    /// What is wrong with it, in Kafka's words.
    pub(crate) fn check(&self, value: &str) -> Result<(), String> {
        match self.kind {
            Kind::Boolean if matches!(value.trim().to_lowercase().as_str(), "true" | "false") => {
                Ok(())
            }
            Kind::Boolean => Err(self.problem(value, "Expected value to be either true or false")),
            Kind::Int => self.number::<i32>(value, "INT"),
            Kind::Short => self.number::<i16>(value, "SHORT"),
            Kind::Long => self.number::<i64>(value, "LONG"),
            Kind::Double => self.number::<f64>(value, "DOUBLE"),
            Kind::List if self.rule == "replicas" => self.replicas(value),
            Kind::List => items(value).try_for_each(|item| self.one_of(item)),
            Kind::String => self.one_of(value.trim()),
            Kind::Class | Kind::Password => Ok(()),
        }
    }

    fn problem(&self, value: &str, reason: &str) -> String {
        format!(
            "Invalid value {value} for configuration {}: {reason}",
            self.name
        )
    }

    fn number<T: FromStr + PartialOrd + std::fmt::Debug>(
        &self,
        value: &str,
        kind: &str,
    ) -> Result<(), String> {
        let Ok(number) = value.trim().parse::<T>() else {
            return Err(self.problem(value, &format!("Not a number of type {kind}")));
        };
        // As Java prints numbers: a double always with a point.
        let shown = format!("{number:?}");
        if self.rule == "gzip" {
            return match shown.parse() {
                Ok(-1 | 1..=9) => Ok(()),
                _ => Err(self.problem(&shown, "Value must be between 1 and 9 or equal to -1")),
            };
        }
        let (min, max) = self.rule.split_once("..").unwrap_or_default();
        let outside = |reason: &str, bound: &dyn Display| {
            Err(self.problem(&shown, &format!("Value must be {reason} {bound}")))
        };
        match (min.parse::<T>(), max.parse::<T>()) {
            (Ok(least), _) if number < least => outside("at least", &min),
            (_, Ok(most)) if number > most => outside("no more than", &max),
            _ => Ok(()),
        }
    }

    fn one_of(&self, value: &str) -> Result<(), String> {
        if !self.rule.contains('|') || self.rule.split('|').any(|valid| valid == value) {
            return Ok(());
        }
        let valid = self.rule.replace('|', ", ");
        Err(self.problem(value, &format!("String must be one of: {valid}")))
    }

    /// `*`, or pairs of partition and broker.
    fn replicas(&self, value: &str) -> Result<(), String> {
        let number =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty();
        let pair = |item: &str| {
            item.split_once(':')
                .is_some_and(|(partition, broker)| number(partition) && number(broker))
        };
        if value.trim() == "*" || items(value).all(pair) {
            return Ok(());
        }
        let shown = items(value).collect::<Vec<_>>().join(", ");
        Err(self.problem(
            &format!("[{shown}]"),
            &format!(
                "{} must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
                self.name
            ),
        ))
    }
}

/// The items of a list, without the blanks around them.
pub(crate) fn items(list: &str) -> impl Iterator<Item = &str> {
    let empty = list.trim().is_empty();
    list.split(',').map(str::trim).filter(move |_| !empty)
}
