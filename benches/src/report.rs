//! Figures, for people or for a program.

use serde_json::{Map, Value, json};

/// The figures of one bench, in the order in which they were added.
#[derive(Debug)]
pub struct Report {
    bench: &'static str,
    figures: Vec<Figure>,
}

#[derive(Debug)]
struct Figure {
    /// With its unit last, as metrics are named.
    name: String,
    value: f64,
    promise: Option<Promise>,
}

#[derive(Clone, Copy, Debug)]
enum Promise {
    AtMost(f64),
    AtLeast(f64),
}

impl Promise {
    fn judge(self, value: f64) -> String {
        let (words, limit, kept) = match self {
            Self::AtMost(limit) => ("at most", limit, value <= limit),
            Self::AtLeast(limit) => ("at least", limit, value >= limit),
        };
        let kept = if kept { "kept" } else { "BROKEN" };
        format!("   {words} {limit}: {kept}")
    }
}

impl Report {
    /// An empty report.
    pub fn new(bench: &'static str) -> Self {
        Self {
            bench,
            figures: Vec::new(),
        }
    }

    /// Adds a figure. The name ends in the unit.
    pub fn add(&mut self, name: impl Into<String>, value: f64) {
        self.figures.push(Figure {
            name: name.into(),
            value,
            promise: None,
        });
    }

    /// Adds a figure that this project has promised to keep at or below `at_most`.
    pub fn promise(&mut self, name: impl Into<String>, value: f64, at_most: f64) {
        self.add(name, value);
        if let Some(figure) = self.figures.last_mut() {
            figure.promise = Some(Promise::AtMost(at_most));
        }
    }

    /// Adds a figure that this project has promised to keep at or above `at_least`.
    pub fn promise_at_least(&mut self, name: impl Into<String>, value: f64, at_least: f64) {
        self.add(name, value);
        if let Some(figure) = self.figures.last_mut() {
            figure.promise = Some(Promise::AtLeast(at_least));
        }
    }

    /// Prints to standard output: lines of text, or one JSON object.
    pub fn print(&self, json: bool) {
        if json {
            println!("{}", self.to_json());
        } else {
            println!("{}", self.bench);
            for figure in &self.figures {
                let judge = |promise: Promise| promise.judge(figure.value);
                let promise = figure.promise.map_or_else(String::new, judge);
                println!("  {:<42} {:>14}{promise}", figure.name, shown(figure.value));
            }
        }
    }

    fn to_json(&self) -> Value {
        let mut figures = Map::new();
        for figure in &self.figures {
            figures.insert(figure.name.clone(), json!(figure.value));
        }
        json!({ "bench": self.bench, "figures": figures })
    }
}

/// Three digits behind the point where they mean something.
fn shown(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_holds_every_figure() {
        let mut report = Report::new("b");
        report.add("records", 5.0);
        report.promise("drain_seconds", 1.25, 2.0);
        let expected = json!({"bench": "b", "figures": {"records": 5.0, "drain_seconds": 1.25}});
        assert_eq!(report.to_json(), expected);
        assert_eq!((shown(5.0), shown(1.0 / 3.0)), ("5".into(), "0.333".into()));
    }
}
