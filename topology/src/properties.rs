//! Java's `.properties` syntax, as `java.util.Properties.load` reads it.
//!
//! MM2's dedicated file is such a file (docs/spec/mm2.md 1.1, item 1). The table in the tests was
//! recorded from JDK 17.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use crate::config::is_secret;

/// Where a value was written: the key as it stands in the file, and its line.
///
/// A derived map (`source.cluster.bootstrap.servers`) keeps the origin of each value
/// (`A.bootstrap.servers`, line 3), so that an error names what the user can change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The key as written in the file, unescaped.
    pub key: Arc<str>,
    /// The line on which the key starts. Unit: lines, counted from 1.
    pub line: usize,
}

#[derive(Clone, PartialEq, Eq)]
struct Property {
    value: String,
    origin: Option<Origin>,
}

/// String keys and values, sorted by key, each with its [`Origin`] if it came from a file.
///
/// `Debug` hides the values of password-like keys.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties {
    entries: BTreeMap<String, Property>,
}

/// Why a file is not a properties file. Java accepts every text but a malformed `\u` escape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PropertiesError {
    /// `\u` is not followed by four hexadecimal digits.
    #[error(
        "line {line}: malformed \\u escape; write \\u and four hexadecimal digits, \
         or double the backslash"
    )]
    MalformedEscape {
        /// The line on which the key starts, from 1.
        line: usize,
    },
    /// Half of a surrogate pair. Java accepts it, but it is no text and no client could send it.
    #[error("line {line}: \\u escape of half a surrogate pair; write both halves")]
    UnpairedSurrogate {
        /// The line on which the key starts, from 1.
        line: usize,
    },
}

impl Properties {
    /// Reads a file's bytes.
    ///
    /// The bytes are taken as UTF-8 if they are valid UTF-8 (a leading byte order mark is
    /// dropped), otherwise as ISO-8859-1. Java always takes ISO-8859-1; the difference shows only
    /// in a file with text outside ASCII that was saved as UTF-8, which Java would garble.
    /// Otherwise exactly `java.util.Properties.load`: the last of duplicate keys wins, white space
    /// at the end of a value is kept, the empty key is allowed.
    ///
    /// # Errors
    /// A malformed `\u` escape, or one that stands for half a surrogate pair.
    pub fn parse(bytes: &[u8]) -> Result<Self, PropertiesError> {
        let text: Vec<char> = match std::str::from_utf8(bytes) {
            Ok(text) => text.trim_start_matches('\u{feff}').chars().collect(),
            Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
        };
        let mut properties = Self::default();
        let mut lines = LogicalLines {
            chars: text.into_iter().peekable(),
            line: 1,
        };
        while let Some((line, text)) = lines.next_line() {
            let (key, value) = split_key(&text);
            let (key, value) = (unescape(key, line)?, unescape(value, line)?);
            let origin = Some(Origin {
                key: key.as_str().into(),
                line,
            });
            properties.entries.insert(key, Property { value, origin });
        }
        Ok(properties)
    }

    /// The value of `key`, white space at its end included.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries
            .get(key)
            .map(|property| property.value.as_str())
    }

    /// Where the value of `key` was written; `None` for an absent key and for a derived default.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.entries.get(key)?.origin.as_ref()
    }

    /// Whether `key` is present, be its value empty.
    pub fn contains(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// All keys and values, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries
            .iter()
            .map(|(key, property)| (key.as_str(), property.value.as_str()))
    }

    /// Sets `key`; the entry has no origin.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let property = Property {
            value: value.into(),
            origin: None,
        };
        self.entries.insert(key.into(), property);
    }

    /// Sets `key` only if it is absent.
    pub(crate) fn insert_default(&mut self, key: &str, value: impl Into<String>) {
        if !self.contains(key) {
            self.insert(key, value);
        }
    }

    /// Copies `from`'s value and origin of `from_key` to `key`; an existing value is replaced.
    pub(crate) fn copy(&mut self, key: impl Into<String>, from: &Self, from_key: &str) {
        if let Some(property) = from.entries.get(from_key) {
            self.entries.insert(key.into(), property.clone());
        }
    }

    /// The entries whose keys start with `prefix`.
    fn prefixed(&self, prefix: &str) -> impl Iterator<Item = (&String, &Property)> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        self.entries
            .range::<str, _>(from)
            .take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// The entries whose keys start with `prefix`, without it.
    pub(crate) fn stripped(&self, prefix: &str) -> Self {
        let strip = |(key, property): (&String, &Property)| {
            key.strip_prefix(prefix)
                .map(|rest| (rest.to_owned(), property.clone()))
        };
        Self {
            entries: self.prefixed(prefix).filter_map(strip).collect(),
        }
    }

    /// Overlays the entries of `from` whose keys start with `prefix`.
    pub(crate) fn copy_prefixed(&mut self, from: &Self, prefix: &str) {
        let entries = from
            .prefixed(prefix)
            .map(|(key, property)| (key.clone(), property.clone()));
        self.entries.extend(entries);
    }

    /// The entries whose keys `keep` takes.
    pub(crate) fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        let entries = self.entries.iter().filter(|(key, _)| keep(key));
        Self {
            entries: entries
                .map(|(key, property)| (key.clone(), property.clone()))
                .collect(),
        }
    }

    /// Overlays all entries of `other`.
    pub(crate) fn extend(&mut self, other: Self) {
        self.entries.extend(other.entries);
    }

    /// Replaces each value by `change` of it; origins stay.
    pub(crate) fn map_values(&mut self, change: impl Fn(&str) -> String) {
        for property in self.entries.values_mut() {
            property.value = change(&property.value);
        }
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Properties {
    /// Entries without origin; the last of duplicate keys wins.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut properties = Self::default();
        for (key, value) in pairs {
            properties.insert(key, value);
        }
        properties
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self
            .iter()
            .map(|(key, value)| (key, if is_secret(key) { "[hidden]" } else { value }));
        f.debug_map().entries(shown).finish()
    }
}

/// Joins continued lines and drops comments and blank lines: Java's `LineReader`.
struct LogicalLines {
    chars: std::iter::Peekable<std::vec::IntoIter<char>>,
    line: usize,
}

impl LogicalLines {
    /// The next logical line without leading white space, and the number of its first line.
    fn next_line(&mut self) -> Option<(usize, Vec<char>)> {
        let mut text = Vec::new();
        let mut start = self.line;
        let (mut skip_blanks, mut continued, mut after_backslash) = (true, false, false);
        while let Some(c) = self.next_char() {
            let line_end = matches!(c, '\n' | '\r');
            if skip_blanks {
                if is_blank(c) || (line_end && !continued) {
                    continue;
                }
                (skip_blanks, continued) = (false, false);
            }
            if text.is_empty() && matches!(c, '#' | '!') {
                // A backslash does not continue a comment.
                while self.next_char().is_some_and(|c| !matches!(c, '\n' | '\r')) {}
                skip_blanks = true;
            } else if !line_end {
                if text.is_empty() {
                    start = self.line;
                }
                text.push(c);
                after_backslash = c == '\\' && !after_backslash;
            } else if text.is_empty() {
                skip_blanks = true;
            } else if after_backslash {
                text.pop();
                (skip_blanks, continued, after_backslash) = (true, true, false);
                if self.chars.peek().is_none() {
                    return Some((start, text)); // Java makes an entry even of an empty rest
                }
                if c == '\r' && self.chars.peek() == Some(&'\n') {
                    self.next_char();
                }
            } else {
                return Some((start, text));
            }
        }
        if text.is_empty() {
            return None;
        }
        if after_backslash {
            text.pop();
        }
        Some((start, text))
    }

    /// The next character. A line is counted when its end was read, `\r\n` at its `\n`.
    fn next_char(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        if c == '\n' || (c == '\r' && self.chars.peek() != Some(&'\n')) {
            self.line += 1;
        }
        Some(c)
    }
}

/// White space in the sense of this format: not every white space of Unicode.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Splits at the first separator that no backslash escapes: `=`, `:` or white space, with white
/// space around one `=` or `:`.
fn split_key(line: &[char]) -> (&[char], &[char]) {
    let mut escaped = false;
    let key_end = line.iter().position(|&c| {
        let separates = !escaped && (matches!(c, '=' | ':') || is_blank(c));
        escaped = c == '\\' && !escaped;
        separates
    });
    let (key, rest) = line.split_at(key_end.unwrap_or(line.len()));
    let rest = trim_start(rest);
    match rest.split_first() {
        Some(('=' | ':', value)) => (key, trim_start(value)),
        _ => (key, rest),
    }
}

fn trim_start(text: &[char]) -> &[char] {
    let blanks = text.iter().take_while(|&&c| is_blank(c)).count();
    text.split_at(blanks).1
}

/// Resolves backslash escapes: Java's `loadConvert`. Works on UTF-16 units as Java does, because
/// two escapes can make one character.
fn unescape(text: &[char], line: usize) -> Result<String, PropertiesError> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.iter().copied();
    while let Some(c) = chars.next() {
        let c = match if c == '\\' { chars.next() } else { None } {
            None => c,
            Some('t') => '\t',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('f') => '\u{c}',
            Some('u') => {
                units.push(hex_unit(&mut chars).ok_or(PropertiesError::MalformedEscape { line })?);
                continue;
            }
            Some(other) => other,
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16(&units).map_err(|_| PropertiesError::UnpairedSurrogate { line })
}

/// Four hexadecimal digits, as one UTF-16 unit.
fn hex_unit(chars: &mut impl Iterator<Item = char>) -> Option<u16> {
    (0..4).try_fold(0, |unit, _| {
        let digit = chars.next()?.to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Expected = Option<&'static [(&'static str, &'static str)]>;

    /// Files (as ISO-8859-1) and what JDK 17.0.15's `java.util.Properties.load` made of them;
    /// `None` is its IllegalArgumentException.
    #[rustfmt::skip]
    const JDK: &[(&str, Expected)] = &[
        ("\\\u{d}\u{a}", Some(&[])),
        ("\\\u{a}", Some(&[("", "")])),
        ("\\\u{d}", Some(&[("", "")])),
        ("a=b", Some(&[("a", "b")])),
        ("a = b ", Some(&[("a", "b ")])),
        ("a:b", Some(&[("a", "b")])),
        ("a b", Some(&[("a", "b")])),
        ("a\u{9}b", Some(&[("a", "b")])),
        ("a\u{c}b", Some(&[("a", "b")])),
        ("a   =   b", Some(&[("a", "b")])),
        ("a : = b", Some(&[("a", "= b")])),
        ("a==b", Some(&[("a", "=b")])),
        ("a=:b", Some(&[("a", ":b")])),
        ("a :b:c", Some(&[("a", "b:c")])),
        ("a", Some(&[("a", "")])),
        ("a=", Some(&[("a", "")])),
        ("a ", Some(&[("a", "")])),
        ("=b", Some(&[("", "b")])),
        (":b", Some(&[("", "b")])),
        ("= b", Some(&[("", "b")])),
        (" = b", Some(&[("", "b")])),
        ("   a=b", Some(&[("a", "b")])),
        ("# c\u{a}a=b", Some(&[("a", "b")])),
        ("! c\u{a}a=b", Some(&[("a", "b")])),
        ("  # c\u{a}a=b", Some(&[("a", "b")])),
        ("a=b # not", Some(&[("a", "b # not")])),
        ("# c \\\u{a}a=b", Some(&[("a", "b")])),
        ("#\\\u{d}\u{a}a=b", Some(&[("a", "b")])),
        ("a=#b", Some(&[("a", "#b")])),
        ("a#b=c", Some(&[("a#b", "c")])),
        ("a=b\\\u{a}c", Some(&[("a", "bc")])),
        ("a=b\\\u{a}   c", Some(&[("a", "bc")])),
        ("a=b\\\u{d}\u{a}\u{9} c", Some(&[("a", "bc")])),
        ("a=b\\\u{d}c", Some(&[("a", "bc")])),
        ("a=b\\\\\u{a}c=d", Some(&[("a", "b\\"), ("c", "d")])),
        ("a=b\\\\\\\u{a}c", Some(&[("a", "b\\c")])),
        ("a=b\\", Some(&[("a", "b")])),
        ("a\\\u{a}b=c", Some(&[("ab", "c")])),
        ("a\\\u{a}  b=c", Some(&[("ab", "c")])),
        ("a=b\\\u{a}\u{a}c=d", Some(&[("a", "b"), ("c", "d")])),
        ("a=b\\\u{a}\\\u{a}c", Some(&[("a", "bc")])),
        ("a=\\\u{a}  b", Some(&[("a", "b")])),
        ("a=b\\\u{a}#c", Some(&[("a", "b#c")])),
        ("a=b\\\u{a}  !c\u{a}d=e", Some(&[("a", "b!c"), ("d", "e")])),
        ("a\\\u{a}=b", Some(&[("a", "b")])),
        ("a\\\u{a} = b", Some(&[("a", "b")])),
        ("a=b\u{a}c=d", Some(&[("a", "b"), ("c", "d")])),
        ("a=b\u{d}\u{a}c=d", Some(&[("a", "b"), ("c", "d")])),
        ("a=b\u{d}c=d", Some(&[("a", "b"), ("c", "d")])),
        ("a=b\u{a}\u{a}\u{a}c=d", Some(&[("a", "b"), ("c", "d")])),
        ("a=b\u{a}\u{d}\u{a}c=d", Some(&[("a", "b"), ("c", "d")])),
        ("\u{a}\u{a}a=b", Some(&[("a", "b")])),
        (" \u{a} \u{9}\u{c}\u{a}a=b", Some(&[("a", "b")])),
        ("a=\\t\\n\\r\\f\\\\", Some(&[("a", "\u{9}\u{a}\u{d}\u{c}\\")])),
        ("a=\\:\\=\\#\\!\\ \\q\\b\\\"\\'", Some(&[("a", ":=#! qb\"'")])),
        ("a\\:b=c", Some(&[("a:b", "c")])),
        ("a\\=b=c", Some(&[("a=b", "c")])),
        ("a\\ b=c", Some(&[("a b", "c")])),
        ("a\\\\=c", Some(&[("a\\", "c")])),
        ("a\\\\b c", Some(&[("a\\b", "c")])),
        ("\\#a=b", Some(&[("#a", "b")])),
        ("\\ a=b", Some(&[(" a", "b")])),
        ("a=\\ b", Some(&[("a", " b")])),
        ("a= \\ b", Some(&[("a", " b")])),
        ("a=b\\ ", Some(&[("a", "b ")])),
        ("a=b\\t", Some(&[("a", "b\u{9}")])),
        ("a=\\u0041", Some(&[("a", "A")])),
        ("a=\\u00e9\\u00E9", Some(&[("a", "\u{e9}\u{e9}")])),
        ("\\u0061=b", Some(&[("a", "b")])),
        ("a=\\uuu0041", None),
        ("a=\\u004", None),
        ("a=\\u00g1", None),
        ("a=\\u", None),
        ("a=\\u00\\\u{a}41", Some(&[("a", "A")])),
        ("a=\\u0041bc", Some(&[("a", "Abc")])),
        ("x=y\u{a}a=\\u12\u{a}b=c", None),
        ("a\\u003db=c", Some(&[("a=b", "c")])),
        ("a=\\U0041", Some(&[("a", "U0041")])),
        ("a=\\u 041", None),
        ("a=1\u{a}a=2", Some(&[("a", "2")])),
        ("a=1\u{a}b=2\u{a}a=3", Some(&[("a", "3"), ("b", "2")])),
        ("a", Some(&[("a", "")])),
        ("a\u{a}", Some(&[("a", "")])),
        ("a\u{a}b", Some(&[("a", ""), ("b", "")])),
        ("a=\\\u{a}", Some(&[("a", "")])),
        ("a=\\\u{a}\u{a}b=c", Some(&[("a", ""), ("b", "c")])),
        ("a=b\\\u{a}   \u{a}c=d", Some(&[("a", "b"), ("c", "d")])),
        ("\\\u{a}a=b", Some(&[("a", "b")])),
        ("  \\\u{a}  a=b", Some(&[("a", "b")])),
        ("\\\u{a}#a=b", Some(&[])),
        ("\\\u{a}\u{a}a=b", Some(&[("a", "b")])),
        ("a=b\\\u{d}\u{a}\u{d}\u{a}c=d", Some(&[("a", "b"), ("c", "d")])),
        ("a\u{e9}=\u{fc}", Some(&[("a\u{e9}", "\u{fc}")])),
        ("a=b\u{0}c", Some(&[("a", "b\u{0}c")])),
        ("\u{0}=\u{1}", Some(&[("\u{0}", "\u{1}")])),
        ("\u{b}a=b", Some(&[("\u{b}a", "b")])),
        ("\u{a0}a=b", Some(&[("\u{a0}a", "b")])),
        ("a\u{a0}b=c", Some(&[("a\u{a0}b", "c")])),
        ("a=\u{85}b", Some(&[("a", "\u{85}b")])),
        ("a:\\\u{a}:b", Some(&[("a", ":b")])),
        ("a \\\u{a}= b", Some(&[("a", "b")])),
        ("a =\\\u{a} = b", Some(&[("a", "= b")])),
        ("a\\", Some(&[("a", "")])),
        ("\\", Some(&[("", "")])),
        ("\\\\", Some(&[("\\", "")])),
        ("\\\\=\\\\", Some(&[("\\", "\\")])),
        ("a = \\\u{a}\\\u{a}\\\u{a} b", Some(&[("a", "b")])),
        ("a= b\\\u{a}  c\\\u{a}  d  ", Some(&[("a", "bcd  ")])),
        ("a.b->c.d=e", Some(&[("a.b->c.d", "e")])),
        ("a->b.topics = t\\\\.x, y[^,]", Some(&[("a->b.topics", "t\\.x, y[^,]")])),
        ("key with space=v", Some(&[("key", "with space=v")])),
        ("a\u{d}\u{d}\u{a}b", Some(&[("a", ""), ("b", "")])),
        ("#a\u{d}b=c", Some(&[("b", "c")])),
        ("#a\u{d}\u{a}b=c", Some(&[("b", "c")])),
        ("#a\\\u{a}b=c", Some(&[("b", "c")])),
        ("!", Some(&[])),
        ("#", Some(&[])),
        ("a=b\u{a}#", Some(&[("a", "b")])),
        ("a=b\u{a}  \\", Some(&[("", ""), ("a", "b")])),
        ("a=\\u005c\u{a}b=c", Some(&[("a", "\\"), ("b", "c")])),
        ("\\=b=c", Some(&[("=b", "c")])),
        ("a=\\\u{9} b", Some(&[("a", "\u{9} b")])),
        ("a=b\u{c}", Some(&[("a", "b\u{c}")])),
        ("\u{c}a=b", Some(&[("a", "b")])),
        ("a=\u{c}b", Some(&[("a", "b")])),
        ("a=b\u{9}\u{9}c", Some(&[("a", "b\u{9}\u{9}c")])),
        ("==", Some(&[("", "=")])),
        (":=a", Some(&[("", "=a")])),
        (" : : a", Some(&[("", ": a")])),
    ];

    fn latin1(text: &str) -> Vec<u8> {
        text.chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap())
            .collect()
    }

    #[test]
    fn reads_what_java_reads() {
        for (text, expected) in JDK {
            let parsed = Properties::parse(&latin1(text)).ok();
            let pairs = parsed
                .as_ref()
                .map(|parsed| parsed.iter().collect::<Vec<_>>());
            assert_eq!(pairs, expected.map(<[_]>::to_vec), "file {text:?}");
        }
    }

    #[test]
    fn escapes_make_surrogate_pairs_but_not_halves() {
        let parsed = Properties::parse(br"a=\ud83d\ude00").unwrap();
        assert_eq!(parsed.get("a"), Some("\u{1f600}"));
        for half in ["\na=\\ud83d", "\na=\\ude00x", "\na=\\ud83d\\u0041"] {
            let error = Properties::parse(half.as_bytes());
            assert_eq!(
                error,
                Err(PropertiesError::UnpairedSurrogate { line: 2 }),
                "{half:?}"
            );
        }
    }

    #[test]
    fn malformed_escape_names_its_line() {
        let error = Properties::parse(b"x=y\n# c\r\na=\\u12\nb=c").unwrap_err();
        assert_eq!(error, PropertiesError::MalformedEscape { line: 3 });
        assert!(error.to_string().starts_with("line 3: "));
    }

    #[test]
    fn utf8_is_read_as_utf8_and_anything_else_as_latin1() {
        assert_eq!(
            Properties::parse("a=ü".as_bytes()).unwrap().get("a"),
            Some("ü")
        );
        assert_eq!(Properties::parse(b"a=\xfc").unwrap().get("a"), Some("ü"));
        assert_eq!(
            Properties::parse(b"\xef\xbb\xbfa=b").unwrap().get("a"),
            Some("b")
        );
    }

    #[test]
    fn lines_are_those_on_which_keys_start() {
        let text = "a=1\r\n# c\r\n\r\nb=\\\r\n  2\rc=3\n\n\n  \\\n d=4\na=5";
        let parsed = Properties::parse(text.as_bytes()).unwrap();
        let line = |key| parsed.origin(key).map(|origin| origin.line);
        assert_eq!(line("b"), Some(4));
        assert_eq!(line("c"), Some(6));
        assert_eq!(line("d"), Some(10));
        assert_eq!((line("a"), parsed.get("a")), (Some(11), Some("5")));
        assert_eq!(line("e"), None);
    }

    #[test]
    fn debug_hides_secrets() {
        let parsed = Properties::parse(b"b.ssl.key.password=hunter2\na=1").unwrap();
        let debug = format!("{parsed:?}");
        assert!(
            !debug.contains("hunter2") && debug.contains("[hidden]"),
            "{debug}"
        );
    }

    /// `java.util.Properties.store`'s escaping.
    fn escape(text: &str, key: bool) -> String {
        let mut escaped = String::new();
        for (at, c) in text.chars().enumerate() {
            match c {
                ' ' if key || at == 0 => escaped.push_str("\\ "),
                '\t' => escaped.push_str("\\t"),
                '\n' => escaped.push_str("\\n"),
                '\r' => escaped.push_str("\\r"),
                '\u{c}' => escaped.push_str("\\f"),
                '=' | ':' | '#' | '!' | '\\' => escaped.extend(['\\', c]),
                ' '..='~' => escaped.push(c),
                _ => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        escaped.push_str(&format!("\\u{unit:04X}"));
                    }
                }
            }
        }
        escaped
    }

    proptest! {
        #[test]
        fn what_java_stores_is_read_back(
            pairs in proptest::collection::btree_map("[ -~\\t\\n]{0,12}|.{0,6}", "[ -~]{0,20}|.{0,9}", 0..6),
            line_end in "\n|\r|\r\n",
        ) {
            let file: String = pairs
                .iter()
                .map(|(key, value)| format!("{}={}{line_end}", escape(key, true), escape(value, false)))
                .collect();
            let parsed = Properties::parse(file.as_bytes()).unwrap();
            let read: BTreeMap<_, _> =
                parsed.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            prop_assert_eq!(read, pairs);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(Properties::parse(&bytes));
        }
    }
}
