//! What documents and comments point to is there.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Every file below the project's folders with one of these endings.
fn files(endings: &[&str]) -> Vec<(PathBuf, String)> {
    let mut folders: Vec<PathBuf> = [
        "actors",
        "benches",
        "docs",
        "engine",
        "scenarios",
        "src",
        "tests",
        "topology",
    ]
    .iter()
    .map(|folder| Path::new(ROOT).join(folder))
    .collect();
    let mut paths: Vec<PathBuf> = std::fs::read_dir(ROOT)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let mut found = Vec::new();
    loop {
        for path in paths {
            let wanted = path
                .extension()
                .is_some_and(|ending| endings.iter().any(|one| ending == *one));
            if path.is_file() && wanted {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
        let Some(folder) = folders.pop() else {
            return found;
        };
        paths = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        folders.extend(paths.iter().filter(|path| path.is_dir()).cloned());
    }
}

/// The sections of a document: what stands before the first blank of its headings, without the full stop.
fn sections(document: &str) -> BTreeSet<String> {
    let headings = document.lines().filter_map(|line| line.strip_prefix('#'));
    headings
        .filter_map(|line| line.trim_start_matches('#').split_whitespace().next())
        .map(|number| number.trim_end_matches('.').to_owned())
        .collect()
}

/// Goal: `docs/spec/FILE.md 1.4` in code names a file and a section that exist.
#[test]
fn citations_of_the_specifications_resolve() {
    let mut checked = 0;
    for (path, text) in files(&["rs", "md"]) {
        for citation in text.split("docs/spec/").skip(1) {
            let Some((name, rest)) = citation.split_once(".md") else {
                continue;
            };
            if name.is_empty()
                || name
                    .contains(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && c != '-')
            {
                continue;
            }
            let file = Path::new(ROOT).join(format!("docs/spec/{name}.md"));
            let document = std::fs::read_to_string(&file)
                .unwrap_or_else(|_| panic!("{} cites docs/spec/{name}.md", path.display()));
            let section: String = rest
                .trim_start_matches(['`', ' '])
                .chars()
                .take_while(|c| c.is_ascii_digit() || *c == '.')
                .collect();
            let section = section.trim_end_matches('.');
            let known = section.is_empty() || sections(&document).contains(section);
            assert!(
                known,
                "{} cites docs/spec/{name}.md {section}",
                path.display()
            );
            checked += usize::from(!section.is_empty());
        }
    }
    assert!(checked > 50, "only {checked} citations found");
}

/// Goal: every test that ARCHITECTURE.md names as the guard of an invariant exists.
#[test]
fn guards_named_by_the_architecture_exist() {
    let sources: String = files(&["rs"]).into_iter().map(|(_, text)| text).collect();
    let architecture = std::fs::read_to_string(Path::new(ROOT).join("ARCHITECTURE.md")).unwrap();
    let mut guards = 0;
    for line in architecture
        .lines()
        .filter_map(|line| line.split_once("Guard: "))
        .map(|(_, guards)| guards)
    {
        for guard in line.split('`').skip(1).step_by(2) {
            assert!(sources.contains(&format!("fn {guard}(")), "no test {guard}");
            guards += 1;
        }
    }
    assert!(guards >= 10, "only {guards} guards named");
}
