//! Running a list on two clusters, finding the first answer that differs, and making the list short.

use std::collections::HashSet;
use std::env;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::contents::{clean_up, contents};
use crate::list::{Step, name};
use crate::world::World;

/// Most time spent on making a failing list shorter.
const SHRINK_PATIENCE: Duration = Duration::from_secs(90);
/// Lines of an answer that a report shows around those that differ.
const CONTEXT_LINES: usize = 3;
/// Most lines of a difference that a report shows.
const LINES_MAX: usize = 200;

/// A cluster to be compared: what it is, and the address of one of its brokers.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    pub(crate) name: &'static str,
    pub(crate) address: String,
}

/// The first answer on which two clusters differ.
#[derive(Debug)]
pub(crate) struct Difference {
    seed: u64,
    /// Number of the operation, from 0; that of the last + 1 means the contents afterwards.
    pub(crate) at: usize,
    /// Number of the first of `operations`.
    first: usize,
    operations: Vec<Step>,
    names: [&'static str; 2],
    answers: [String; 2],
}

/// Runs `steps` on both clusters at the same time and gives the first difference of each kind of operation.
pub(crate) fn compare_all(sides: &[Side; 2], seed: u64, steps: &[Step]) -> Vec<Difference> {
    let both = run_both(sides, seed, steps);
    let mut kinds = HashSet::new();
    let differing = (0..both[0].len()).filter(|at| both[0][*at] != both[1][*at]);
    differing
        .filter(|at| kinds.insert(steps.get(*at).map(name)))
        .map(|at| Difference {
            seed,
            at,
            first: 0,
            operations: steps[..steps.len().min(at + 1)].to_vec(),
            names: sides.each_ref().map(|side| side.name),
            answers: both.each_ref().map(|all| all[at].clone()),
        })
        .collect()
}

/// [`compare_all`], but only the very first.
pub(crate) fn compare(sides: &[Side; 2], seed: u64, steps: &[Step]) -> Option<Difference> {
    compare_all(sides, seed, steps).into_iter().next()
}

fn run_both(sides: &[Side; 2], seed: u64, steps: &[Step]) -> [Vec<String>; 2] {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let start_ms = i64::try_from(now.as_millis()).unwrap_or_default();
    let prefix = format!("twin{seed}r{run:04}");
    let both = thread::scope(|scope| {
        sides
            .each_ref()
            .map(|side| scope.spawn(|| answers(side, &prefix, start_ms, steps)))
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
    });
    if env::var_os("TWIN_SHOW").is_some() {
        for (number, answer) in both[0].iter().enumerate() {
            eprintln!("{number:>4} {:?}\n{answer}", steps.get(number));
        }
    }
    both
}

fn answers(side: &Side, prefix: &str, start_ms: i64, steps: &[Step]) -> Vec<String> {
    let mut world = World::new(&side.address, prefix, start_ms).expect("a broker that listens");
    let mut all: Vec<String> = steps.iter().map(|step| step.run(&mut world)).collect();
    all.push(contents(&mut world));
    clean_up(&mut world);
    all
}

/// Drops operations as long as some difference stays, first in large pieces, then one by one.
pub(crate) fn shrink(sides: &[Side; 2], mut found: Difference) -> Difference {
    let end = Instant::now() + SHRINK_PATIENCE;
    let mut piece = found.operations.len() / 2;
    while piece > 0 {
        let mut from = 0;
        while from < found.operations.len() {
            if Instant::now() > end {
                return found;
            }
            let mut fewer = found.operations.clone();
            fewer.drain(from..(from + piece).min(found.operations.len()));
            match compare(sides, found.seed, &fewer) {
                Some(smaller) => found = smaller,
                None => from += piece,
            }
        }
        piece /= 2;
    }
    found
}

impl Difference {
    /// Shows the operation that differs without those before it.
    pub(crate) fn without_those_before(mut self) -> Self {
        self.first = self.at.min(self.operations.len());
        self.operations.drain(..self.first);
        self
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: {} and {} differ at operation {}",
            self.seed, self.names[0], self.names[1], self.at
        )?;
        for (number, operation) in (self.first..).zip(&self.operations) {
            writeln!(f, "{number:>4} {operation:?}")?;
        }
        if self.at >= self.first + self.operations.len() {
            writeln!(f, "{:>4} what is there afterwards", self.at)?;
        }
        let [left, right] = self
            .answers
            .each_ref()
            .map(|answer| answer.lines().collect::<Vec<_>>());
        f.write_str(&difference(&left, &right, self.names))
    }
}

/// The lines of two answers from a little before the first that differs to a little behind the last.
fn difference(left: &[&str], right: &[&str], names: [&str; 2]) -> String {
    let same = left.iter().zip(right).take_while(|(l, r)| l == r).count();
    let rest = (left.len() - same).min(right.len() - same);
    let same_end = (0..rest)
        .take_while(|k| left[left.len() - 1 - k] == right[right.len() - 1 - k])
        .count();
    let from = same.saturating_sub(CONTEXT_LINES);
    let mut out = String::new();
    // Lines that stand further out tell what it is that differs.
    let mut indent = usize::MAX;
    let mut path: Vec<&str> = Vec::new();
    for line in left[..from].iter().rev() {
        let own = line.len() - line.trim_start().len();
        if own < indent {
            indent = own;
            path.push(line);
        }
    }
    for line in path.iter().rev() {
        _ = writeln!(out, "  {line}");
    }
    for line in &left[from..same] {
        _ = writeln!(out, "  {line}");
    }
    for (sign, name, lines) in [('-', names[0], left), ('+', names[1], right)] {
        let differing = &lines[same..lines.len() - same_end];
        _ = writeln!(out, "{sign} {name}:");
        for line in differing.iter().take(LINES_MAX) {
            _ = writeln!(out, "{sign} {line}");
        }
        if differing.len() > LINES_MAX {
            _ = writeln!(out, "{sign} and {} lines more", differing.len() - LINES_MAX);
        }
    }
    for line in left[left.len() - same_end..].iter().take(CONTEXT_LINES) {
        _ = writeln!(out, "  {line}");
    }
    out
}
