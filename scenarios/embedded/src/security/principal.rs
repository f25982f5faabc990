//! Principals from certificates: the subject's distinguished name as Java writes it, and `ssl.principal.mapping.rules`.

use fancy_regex::Regex;

/// Attribute types with names of their own in RFC 2253, by the bytes of their object identifiers.
const KEYWORDS: [(&[u8], &str); 9] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25],
        "DC",
    ),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1],
        "UID",
    ),
];

const SEQUENCE: u8 = 0x30;
const EXPLICIT_VERSION: u8 = 0xa0;

/// Tags of strings whose bytes are read as UTF-8: UTF8String, PrintableString, T61String, IA5String.
const STRINGS: [u8; 4] = [0x0c, 0x13, 0x14, 0x16];

/// Splits DER into its elements.
struct Der<'a>(&'a [u8]);

/// One element: its tag, its contents, and both with the length in between.
struct Element<'a> {
    tag: u8,
    contents: &'a [u8],
    whole: &'a [u8],
}

impl<'a> Iterator for Der<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (tag, first) = (*self.0.first()?, *self.0.get(1)?);
        let (length, header) = match first {
            short @ 0..=0x7f => (usize::from(short), 2),
            long => {
                let bytes = usize::from(long & 0x7f);
                if !(1..=4).contains(&bytes) {
                    return None;
                }
                let digits = self.0.get(2..2 + bytes)?;
                let length = digits
                    .iter()
                    .fold(0, |sum, digit| sum << 8 | usize::from(*digit));
                (length, 2 + bytes)
            }
        };
        let end = header.checked_add(length)?;
        let (whole, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        Some(Element {
            tag,
            contents: whole.get(header..)?,
            whole,
        })
    }
}

impl<'a> Der<'a> {
    /// The next element's elements.
    fn enter(&mut self, tag: u8) -> Option<Der<'a>> {
        self.next()
            .filter(|element| element.tag == tag)
            .map(|element| Der(element.contents))
    }
}

/// The subject of a certificate, as `X500Principal.getName()` writes it: `CN=client,OU=tests,O=Example`; the last part first. None if the
/// certificate cannot be read.
pub(crate) fn distinguished_name(certificate: &[u8]) -> Option<String> {
    let mut fields = Der(certificate).enter(SEQUENCE)?.enter(SEQUENCE)?;
    // Version (if given), serial number, algorithm, issuer, validity, subject.
    let first = fields.next()?;
    let skip = if first.tag == EXPLICIT_VERSION { 4 } else { 3 };
    let subject = fields.nth(skip).filter(|element| element.tag == SEQUENCE)?;
    let mut parts = Vec::new();
    for set in Der(subject.contents) {
        let values = Der(set.contents).map(|pair| attribute(pair.contents));
        parts.push(values.collect::<Option<Vec<String>>>()?.join("+"));
    }
    parts.reverse();
    Some(parts.join(","))
}

fn attribute(pair: &[u8]) -> Option<String> {
    let mut pair = Der(pair);
    let (kind, value) = (pair.next()?, pair.next()?);
    let keyword = KEYWORDS.iter().find(|(id, _)| *id == kind.contents);
    match keyword {
        Some((_, keyword)) if STRINGS.contains(&value.tag) => {
            let text = String::from_utf8_lossy(value.contents);
            Some(format!("{keyword}={}", escaped(&text)))
        }
        _ => {
            let hex = value.whole.iter().map(|byte| format!("{byte:02x}"));
            let kind =
                keyword.map_or_else(|| dotted(kind.contents), |(_, name)| (*name).to_owned());
            Some(format!("{kind}=#{}", hex.collect::<String>()))
        }
    }
}

fn escaped(text: &str) -> String {
    let trimmed = text.trim_matches(' ');
    let start = text.len() - text.trim_start_matches(' ').len();
    let mut escaped = String::with_capacity(text.len() + 2);
    for (at, c) in text.char_indices() {
        let edge = c == ' ' && (at < start || at >= start + trimmed.len());
        if edge || ",=+<>#;\"\\".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// `1.2.840.113549.1.9.1`
fn dotted(id: &[u8]) -> String {
    let mut numbers = Vec::new();
    let mut number = 0_u64;
    for byte in id {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.push(first);
                number -= first * 40;
            }
            numbers.push(number);
            number = 0;
        }
    }
    numbers
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(".")
}

/// `ssl.principal.mapping.rules`: the first rule that matches makes the name.
#[derive(Debug)]
pub(crate) struct MappingRules(Vec<Rule>);

impl Default for MappingRules {
    /// The distinguished name as it is.
    fn default() -> Self {
        Self(vec![Rule::Default])
    }
}

#[derive(Debug)]
enum Rule {
    /// The distinguished name as it is.
    Default,
    Replace {
        pattern: Regex,
        replacement: String,
        case: Option<char>,
    },
}

impl MappingRules {
    /// Reads rules: `DEFAULT`, or `RULE:pattern/replacement/` with `L` (lower) or `U` (upper case) behind it, separated by commas.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut rules = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            rest = match rest.strip_prefix("DEFAULT") {
                Some(rest) => {
                    rules.push(Rule::Default);
                    rest
                }
                None => {
                    let (rule, rest) = rule(rest)?;
                    rules.push(rule);
                    rest
                }
            };
            rest = rest.trim_start();
            if !rest.is_empty() {
                rest = rest
                    .strip_prefix(',')
                    .ok_or("rules are separated by commas")?
                    .trim_start();
            }
        }
        Ok(if rules.is_empty() {
            Self::default()
        } else {
            Self(rules)
        })
    }

    /// The name for this distinguished name; None if no rule matches: such a client is refused.
    pub(crate) fn apply(&self, name: &str) -> Option<String> {
        self.0.iter().find_map(|rule| match rule {
            Rule::Default => Some(name.to_owned()),
            Rule::Replace {
                pattern,
                replacement,
                case,
            } => {
                let groups = pattern.captures(name).ok()??;
                let mut result = String::new();
                let mut characters = replacement.chars().peekable();
                while let Some(c) = characters.next() {
                    match (c, characters.peek().copied()) {
                        ('\\', Some(next)) => {
                            result.push(next);
                            characters.next();
                        }
                        ('$', Some(digit)) if digit.is_ascii_digit() => {
                            let group = digit
                                .to_digit(10)
                                .and_then(|group| groups.get(group as usize));
                            result.push_str(group.map_or("", |group| group.as_str()));
                            characters.next();
                        }
                        _ => result.push(c),
                    }
                }
                Some(match case {
                    Some('L') => result.to_lowercase(),
                    Some(_) => result.to_uppercase(),
                    None => result,
                })
            }
        })
    }
}

fn rule(text: &str) -> Result<(Rule, &str), String> {
    let text = text
        .strip_prefix("RULE:")
        .ok_or_else(|| format!("{text} is neither DEFAULT nor RULE:"))?;
    let (pattern, text) = until_slash(text).ok_or("a rule is RULE:pattern/replacement/")?;
    let (replacement, text) = until_slash(text).ok_or("a rule is RULE:pattern/replacement/")?;
    let (case, text) = match text.chars().next() {
        Some(case @ ('L' | 'U')) => (Some(case), &text[1..]),
        _ => (None, text),
    };
    let rule = Rule::Replace {
        pattern: Regex::new(&format!(r"\A(?:{pattern})\z")).map_err(|error| error.to_string())?,
        replacement: replacement.to_owned(),
        case,
    };
    Ok((rule, text))
}

/// What is before and behind the first slash without a backslash.
fn until_slash(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    let slash = text.char_indices().find(|(_, c)| {
        let found = *c == '/' && !escaped;
        escaped = *c == '\\' && !escaped;
        found
    });
    slash.map(|(at, _)| (&text[..at], &text[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(rules: &str, name: &str) -> Option<String> {
        MappingRules::parse(rules).unwrap().apply(name)
    }

    /// The examples of Kafka's documentation, and the rule of docs/spec/real-kafka.md 10.
    #[test]
    fn mapping_rules() {
        let documented = "RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/, RULE:^CN=(.*?),OU=(.*?),O=(.*?),L=(.*?),ST=(.*?),C=(.*?)$/$1@$2/L,\
                          RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/L,DEFAULT";
        for (rules, name, expected) in [
            ("", "CN=client", "CN=client"),
            ("DEFAULT", "CN=client", "CN=client"),
            ("RULE:^CN=(.*?)$/$1/,DEFAULT", "CN=client", "client"),
            ("RULE:^CN=(.*?)$/$1/,DEFAULT", "O=x", "O=x"),
            ("RULE:^CN=(.*?)$/a\\/$1/U", "CN=client", "A/CLIENT"),
            (
                documented,
                "CN=serviceuser,OU=ServiceUsers,O=Unknown,C=Unknown",
                "serviceuser",
            ),
            (
                documented,
                "CN=adminUser,OU=Admin,O=Unknown,L=Unknown,ST=Unknown,C=Unknown",
                "adminuser@admin",
            ),
            (documented, "OU=x,CN=Kafka.Broker,O=y", "kafka.broker"),
        ] {
            assert_eq!(
                mapped(rules, name).as_deref(),
                Some(expected),
                "{rules} {name}"
            );
        }
        assert_eq!(mapped("RULE:^CN=(.*?)$/$1/", "O=x"), None);
        for wrong in ["RULE:a/b", "DEFAULT DEFAULT", "x", "RULE:(/x/"] {
            assert!(MappingRules::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_are_written_as_java_does() {
        assert_eq!(escaped("a,b+c=d"), "a\\,b\\+c\\=d");
        assert_eq!(escaped(" a b "), "\\ a b\\ ");
        assert_eq!(
            dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1]),
            "1.2.840.113549.1.9.1"
        );
        assert_eq!(dotted(&[0x88, 0x37, 1]), "2.999.1");
    }

    proptest::proptest! {
        /// Certificates are verified before their names are read, but nothing here relies on it.
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64)) {
            distinguished_name(&bytes);
            dotted(&bytes);
        }
    }
}
