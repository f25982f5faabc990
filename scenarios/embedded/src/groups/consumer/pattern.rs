//! A subscription by regular expression, in RE2's syntax, matched against whole topic names.

use kafka_protocol::protocol::StrBytes;
use regex_automata::nfa::thompson::{self, pikevm::PikeVM};
use regex_automata::util::syntax;

/// Most memory of one compiled expression. Matching takes time in proportion to it, never more.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// A compiled expression.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    pub(super) text: StrBytes,
    matcher: PikeVM,
}

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    /// What is wrong with it, in the compiler's words.
    pub(super) fn new(text: StrBytes) -> Result<Self, String> {
        // The bare one first: with the group around it, `a)|(b` would pass.
        compile(&text)?;
        let matcher = compile(&format!(r"\A(?:{text})\z"))?;
        Ok(Self { text, matcher })
    }

    /// The names that it matches.
    pub(super) fn find<'a>(
        &self,
        names: impl Iterator<Item = &'a String>,
    ) -> impl Iterator<Item = &'a String> {
        let mut cache = self.matcher.create_cache();
        names.filter(move |name| self.matcher.is_match(&mut cache, name.as_str()))
    }
}

fn compile(text: &str) -> Result<PikeVM, String> {
    // Topic names are ASCII, and so are RE2's classes (\d, \w).
    let syntax = syntax::Config::new().unicode(false).utf8(false);
    let limits = thompson::Config::new().nfa_size_limit(Some(COMPILED_BYTES_MAX));
    PikeVM::builder()
        .syntax(syntax)
        .thompson(limits)
        .build(text)
        .map_err(|error| {
            // The first line says that it is about the expression, the last what is wrong.
            let mut whole = error.to_string();
            let source = std::error::Error::source(&error).map(ToString::to_string);
            if let Some(source) = source {
                whole.push_str(": ");
                whole.push_str(&source);
            }
            whole
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(text: &str, name: &str) -> bool {
        let pattern = Pattern::new(StrBytes::from_string(text.to_owned())).unwrap();
        pattern.find([name.to_owned()].iter()).count() == 1
    }

    #[test]
    fn whole_names_are_matched() {
        assert!(matches("t.*", "t-1"));
        assert!(matches("^t.*$", "t-1"));
        assert!(!matches("t", "t-1"));
        assert!(matches("a|bc", "bc") && !matches("a|bc", "abc"));
        assert!(matches(r"\w+\.\d{2}", "a.12"));
    }

    #[test]
    fn what_re2_does_not_know_is_refused() {
        for text in ["(", "a)|(b", "(?=a)", r"(a)\1", "((a{1000}){1000}){1000}"] {
            let text = StrBytes::from_string(text.to_owned());
            assert!(Pattern::new(text.clone()).is_err(), "{text}");
        }
    }
}
