//! Flows in words.

use serde_json::Value;

use crate::first_copy::words;

/// As [`STATES`], of groups.
const GROUP_STATES: [&str; 5] = ["synced", "ahead", "due", "behind", "excluded"];

/// In the order in which states are said.
const STATES: [&str; 5] = ["running", "starting", "waiting", "halted", "stopped"];

/// What the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// Everything runs, or tries by itself.
    Well,
    /// An operator has to decide.
    Unwell,
    /// Nobody answers.
    Unreachable,
}

/// Unwell if a partition is halted or a flow was taken over.
pub(super) fn health(flows: &[Value]) -> Health {
    let unwell = |flow: &Value| number(flow, "/states/halted") > 0 || flow["taken_over"] == true;
    if flows.iter().any(unwell) {
        Health::Unwell
    } else {
        Health::Well
    }
}

fn number(of: &Value, pointer: &str) -> u64 {
    of.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

fn float(of: &Value, pointer: &str) -> f64 {
    of.pointer(pointer).and_then(Value::as_f64).unwrap_or(0.0)
}

/// What another process says is shown without what could move the cursor.
fn text<'a>(of: &'a Value, member: &str) -> std::borrow::Cow<'a, str> {
    let text = of[member].as_str().unwrap_or_default();
    if text.contains(char::is_control) {
        text.replace(char::is_control, " ").into()
    } else {
        text.into()
    }
}

/// A few lines per flow.
pub(super) fn lines(flows: &[Value]) -> Vec<String> {
    let (copying, others): (Vec<_>, Vec<_>) =
        (flows.iter()).partition(|flow| flow["replication"] == true);
    let mut lines: Vec<String> = copying.into_iter().flat_map(flow).collect();
    for flow in others {
        lines.push(format!("{}  heartbeats only", text(flow, "flow")));
    }
    if lines.is_empty() {
        lines.push("no flows".to_owned());
    }
    lines
}

fn flow(of: &Value) -> Vec<String> {
    let states = counted(of, "/states", STATES);
    let wanted = match &*text(of, "wanted") {
        "RUNNING" => String::new(),
        other => format!("  {}", other.to_lowercase()),
    };
    let mut lines = vec![format!(
        "{}{wanted}  {} partitions: {}",
        text(of, "flow"),
        number(of, "/partitions"),
        if states.is_empty() { "none" } else { &states },
    )];
    let latency = match of["latency"].is_object() {
        true => format!(
            "p50 {}, p99 {}",
            span_ms(number(of, "/latency/p50")),
            span_ms(number(of, "/latency/p99"))
        ),
        false => "none of late".to_owned(),
    };
    lines.push(format!(
        "  {:.0} records/s  {:.1} MB/s  lag {}  latency {latency}",
        float(of, "/records_per_second"),
        float(of, "/bytes_per_second") / 1e6,
        number(of, "/lag_records"),
    ));
    let copy = &of["first_copy"];
    if copy["done"] == false {
        let said = words(
            copy["percent"].as_f64(),
            copy["seconds_left"].as_u64(),
            number(copy, "/unseen_partitions"),
        );
        let rate = float(copy, "/offsets_per_second");
        lines.push(format!("  first copy {said}, {rate:.0} offsets/s"));
    }
    if of["taken_over"] == true {
        lines.push("  taken over by another process".to_owned());
    }
    if of["trouble"].is_string() {
        lines.push(format!("  waiting: {}", text(of, "trouble")));
    }
    for reason in of["reasons"].as_array().into_iter().flatten() {
        lines.push(format!(
            "  {} {}: {} (as {})",
            number(reason, "/partitions"),
            text(reason, "state"),
            text(reason, "reason"),
            text(reason, "example"),
        ));
    }
    lines.extend(groups(of));
    lines
}

/// How many there are of each state, but for those without any.
fn counted(of: &Value, pointer: &str, states: [&str; 5]) -> String {
    let counts = states.map(|state| (state, number(of, &format!("{pointer}/{state}"))));
    let some = counts.iter().filter(|(_, count)| *count > 0);
    let said: Vec<_> = some
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    said.join(", ")
}

/// Its consumer groups, and the first of the reasons why they are not synced: the most frequent of the most pressing state.
fn groups(of: &Value) -> Option<String> {
    let counts = counted(of, "/group_states", GROUP_STATES);
    if counts.is_empty() {
        return None;
    }
    let why = of["group_reasons"].get(0).map(|reason| {
        format!(
            "; {} {}: {} (as {})",
            number(reason, "/groups"),
            text(reason, "state"),
            text(reason, "message"),
            text(reason, "example"),
        )
    });
    Some(format!("  groups: {counts}{}", why.unwrap_or_default()))
}

/// `12 ms`, `3.4 s`, `5 min`.
fn span_ms(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..90_000 => format!("{:.1} s", ms as f64 / 1e3),
        _ => crate::first_copy::span(ms / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn example() -> Value {
        json!({
            "flow": "a->b", "replication": true, "wanted": "RUNNING", "trouble": null, "taken_over": false,
            "partitions": 12,
            "states": {"starting": 0, "running": 10, "waiting": 2, "halted": 0, "stopped": 0},
            "lag_records": 500, "records_per_second": 1234.5, "bytes_per_second": 2_500_000.0,
            "latency": {"p50": 12, "p99": 3_400, "max": 9_000, "batches": 7},
            "first_copy": {
                "done": false, "percent": 43.19, "offsets": 1_000, "copied_offsets": 431,
                "offsets_per_second": 2.0, "seconds_left": 285, "unseen_partitions": 0,
            },
            "reasons": [{"state": "waiting", "reason": "broker 3\u{1b}[2J is away", "partitions": 2, "example": "orders-0"}],
            "group_states": {"synced": 7, "ahead": 0, "due": 0, "behind": 3, "excluded": 1},
            "group_reasons": [
                {"state": "behind", "reason": "active-on-target", "message": "the group has members on the target", "groups": 2, "example": "billing"},
                {"state": "behind", "reason": "below-map", "message": "copied by another program", "groups": 1, "example": "audit"},
            ],
        })
    }

    #[test]
    fn a_flow_is_said_in_full() {
        assert_eq!(
            lines(&[example(), json!({"flow": "b->a", "replication": false})]),
            [
                "a->b  12 partitions: 10 running, 2 waiting",
                "  1234 records/s  2.5 MB/s  lag 500  latency p50 12 ms, p99 3.4 s",
                "  first copy 43.1 %, 5 min left, 2 offsets/s",
                "  2 waiting: broker 3 [2J is away (as orders-0)",
                "  groups: 7 synced, 3 behind, 1 excluded; 2 behind: the group has members on the target (as billing)",
                "b->a  heartbeats only",
            ]
        );
    }

    #[test]
    fn what_needs_a_person_is_unwell() {
        assert_eq!(health(&[example()]), Health::Well, "waiting is tried again");
        let mut halted = example();
        halted["states"]["halted"] = json!(1);
        assert_eq!(health(&[example(), halted]), Health::Unwell);
        let mut taken = example();
        taken["taken_over"] = json!(true);
        assert_eq!(health(&[taken]), Health::Unwell);
    }

    #[test]
    fn an_odd_answer_does_no_harm() {
        let odd = [
            json!({}),
            json!(null),
            json!({"replication": true, "reasons": [1], "latency": {}}),
        ];
        assert_eq!(lines(&odd).len(), 2 + 1 + 1 + 1);
        assert_eq!(lines(&[]), ["no flows"]);
    }
}
