//! Java's login configuration, as far as Kafka's clients use it (`sasl.jaas.config`, KIP-85).

use std::collections::BTreeMap;

/// One login module with its options.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginModule {
    /// Its class.
    pub class: String,
    /// Its options. There are secrets among them.
    pub options: BTreeMap<String, String>,
}

impl std::fmt::Debug for LoginModule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.class)
    }
}

impl LoginModule {
    /// Reads `CLASS FLAG name="value" ...;`.
    ///
    /// # Errors
    /// What is wrong with the text, without repeating it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];
        let words = words(text);
        let mut words = words.iter().map(String::as_str);
        let class = words
            .next()
            .filter(|class| !["{", "}", ";", "="].contains(class))
            .ok_or("is empty; write CLASS required name=\"value\";")?
            .to_owned();
        if !words
            .next()
            .is_some_and(|word| FLAGS.iter().any(|flag| flag.eq_ignore_ascii_case(word)))
        {
            return Err("has no `required` behind its class");
        }
        let mut options = BTreeMap::new();
        loop {
            match (words.next(), words.next(), words.next()) {
                (Some(";"), None, _) => return Ok(Self { class, options }),
                (Some(";"), ..) => {
                    return Err("has more than one login module; write the one that counts");
                }
                (Some(name), Some("="), Some(value)) if ![";", "="].contains(&name) => {
                    options.insert(name.to_owned(), value.to_owned());
                }
                (None, ..) => return Err("does not end with a semicolon"),
                _ => return Err("has an option that is not name=\"value\""),
            }
        }
    }

    /// The class without its package.
    pub fn simple_class(&self) -> &str {
        self.class.rsplit('.').next().unwrap_or_default()
    }
}

/// Words, quoted texts and the signs `{ } ; =`; comments are left out.
pub fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(first) = chars.next() {
        match first {
            '/' if chars.peek() == Some(&'/') => {
                chars.by_ref().find(|&c| c == '\n');
            }
            '/' if chars.peek() == Some(&'*') => {
                let mut last = ' ';
                chars
                    .by_ref()
                    .find(|&c| std::mem::replace(&mut last, c) == '*' && c == '/');
            }
            '"' | '\'' => words.push(quoted(&mut chars, first)),
            '{' | '}' | ';' | '=' => words.push(first.to_string()),
            _ if first.is_whitespace() => {}
            _ => {
                let mut word = first.to_string();
                let ends = |c: &char| c.is_whitespace() || "{};=\"'".contains(*c);
                while let Some(next) = chars.next_if(|c| !ends(c)) {
                    word.push(next);
                }
                words.push(word);
            }
        }
    }
    words
}

/// The text up to `end`, with the escapes of Java's `StreamTokenizer` but for octal ones.
fn quoted(chars: &mut impl Iterator<Item = char>, end: char) -> String {
    let mut text = String::new();
    while let Some(next) = chars.next() {
        match next {
            _ if next == end => break,
            '\\' => text.extend(chars.next().map(|escaped| match escaped {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                other => other,
            })),
            _ => text.push(next),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_login_module_is_read_as_by_java() {
        let text = "org.apache.kafka.common.security.plain.PlainLoginModule required\n username=\"al ice\" password='p;=\"\\\\';";
        let module = LoginModule::parse(text).unwrap();
        assert_eq!(module.simple_class(), "PlainLoginModule");
        assert_eq!(module.options["username"], "al ice");
        assert_eq!(module.options["password"], "p;=\"\\");
        assert!(!format!("{module:?}").contains("al ice"));
        for (bad, said) in [
            ("", "is empty"),
            (";", "is empty"),
            ("X", "no `required`"),
            ("X required", "semicolon"),
            ("X required a=\"b\"", "semicolon"),
            ("X required a;", "name=\"value\""),
            ("X required a=b; Y required;", "more than one"),
        ] {
            let error = LoginModule::parse(bad).unwrap_err();
            assert!(error.contains(said), "{bad}: {error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_or_refused(text in ".{0,60}") {
            drop(LoginModule::parse(&text));
        }
    }
}
