//! The live picture: two clusters, what flows between them, and how it fares. Drawing only; see [`super::screen`].

use actors::PartitionState;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};

use super::lines::{first, left, millis, states};
use super::sample::{ClusterSample, FlowSample, Sample};

/// Height of the picture of the clusters, frame included.
const CLUSTERS_HEIGHT: u16 = 7;
/// Width of a cluster, frame included.
const CLUSTER_WIDTH: u16 = 26;
/// Height of the table of flows: frame, head and two flows.
const FLOWS_HEIGHT: u16 = 5;
/// Log lines that are shown.
const LOG_LINES: u16 = 3;

/// Draws everything. `tick` moves what moves.
pub(crate) fn draw(frame: &mut Frame<'_>, sample: &Sample, log: &[String], tick: usize) {
    let [head, clusters, flows, topics, logs, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(CLUSTERS_HEIGHT),
        Constraint::Length(FLOWS_HEIGHT),
        Constraint::Min(3),
        Constraint::Length(if log.is_empty() { 0 } else { LOG_LINES + 2 }),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(header(sample), head);
    draw_clusters(frame, clusters, sample, tick);
    frame.render_widget(flow_table(sample), flows);
    frame.render_widget(topic_table(sample, topics.height), topics);
    let newest = log.len().saturating_sub(usize::from(LOG_LINES));
    let lines: Vec<Line<'_>> = log.iter().skip(newest).map(Line::raw).collect();
    frame.render_widget(
        Paragraph::new(lines).block(Block::bordered().title(" log ")),
        logs,
    );
    frame.render_widget(footer(sample), foot);
}

fn header(sample: &Sample) -> Line<'static> {
    Line::from(vec![
        " crosscurrent demo ".bold().reversed(),
        format!("  {}  ", left(sample)).bold(),
        format!("{:.0} s  {}", sample.elapsed.as_secs_f64(), first(sample)).into(),
    ])
}

fn draw_clusters(frame: &mut Frame<'_>, area: Rect, sample: &Sample, tick: usize) {
    let [east, between, west] = Layout::horizontal([
        Constraint::Length(CLUSTER_WIDTH),
        Constraint::Min(10),
        Constraint::Length(CLUSTER_WIDTH),
    ])
    .areas(area);
    let [here, there] = &sample.clusters;
    frame.render_widget(cluster(here), east);
    frame.render_widget(cluster(there), west);
    let [forth, back] = &sample.flows;
    let width = usize::from(between.width).saturating_sub(2);
    let text = Text::from(vec![
        Line::raw(""),
        Line::from(rates(forth)).centered(),
        arrow(width, tick, forth.records_rate > 0.0, true)
            .cyan()
            .centered(),
        Line::raw(""),
        arrow(width, tick, back.records_rate > 0.0, false)
            .magenta()
            .centered(),
        Line::from(rates(back)).centered(),
    ]);
    frame.render_widget(text, between);
}

fn cluster(of: &ClusterSample) -> Paragraph<'static> {
    let figures = [
        of.bootstrap.clone(),
        format!("written {:>14}", grouped(of.written)),
        format!("        {:>12}/s", grouped(whole(of.written_rate))),
        format!("read    {:>14}", grouped(of.read)),
        format!("        {:>12}/s", grouped(whole(of.read_rate))),
    ];
    let lines: Vec<Line<'_>> = figures.into_iter().map(Line::raw).collect();
    Paragraph::new(lines).block(Block::bordered().title(format!(" {} ", of.alias).bold()))
}

fn rates(flow: &FlowSample) -> String {
    format!(
        "{} records/s  {:.1} MB/s",
        grouped(whole(flow.records_rate)),
        flow.bytes_rate / 1e6
    )
}

/// `──────●───────▶` while records flow, with marks that wander.
fn arrow(width: usize, tick: usize, flows: bool, forth: bool) -> Line<'static> {
    /// Columns between two marks.
    const STEP: usize = 12;
    let shaft = width.saturating_sub(1);
    let mut text: String = (0..shaft)
        .map(|column| {
            let from_tail = if forth { column } else { shaft - column };
            if flows && (from_tail + STEP - tick % STEP).is_multiple_of(STEP) {
                '●'
            } else {
                '─'
            }
        })
        .collect();
    if forth {
        text.push('▶');
    } else {
        text.insert(0, '◀');
    }
    Line::raw(text)
}

fn flow_table(sample: &Sample) -> Table<'static> {
    let rows = sample.flows.iter().map(|flow| {
        let latency = flow.latency;
        let trouble = flow.trouble.as_ref();
        let states = trouble.map_or_else(|| states(&flow.states), |why| format!("waiting: {why}"));
        Row::new([
            Cell::from(flow.label.to_string().bold()),
            right(grouped(flow.records)),
            right(grouped(whole(flow.records_rate))),
            right(format!("{:.1}", flow.bytes_rate / 1e6)),
            right(grouped(flow.lag)),
            right(millis(latency.p50_us)),
            right(millis(latency.p99_us)),
            right(millis(latency.max_us)),
            Cell::from(states).style(colour(&flow.states)),
        ])
    });
    let widths = [12, 13, 10, 7, 9, 8, 8, 8].map(Constraint::Length);
    let widths = widths.into_iter().chain([Constraint::Min(12)]);
    let names = [
        "records",
        "records/s",
        "MB/s",
        "lag",
        "p50 ms",
        "p99 ms",
        "max ms",
    ];
    let head = [Cell::from("flow")]
        .into_iter()
        .chain(names.map(|name| right(name.to_owned())))
        .chain([Cell::from("partitions")]);
    Table::new(rows, widths)
        .header(Row::new(head).style(Modifier::DIM))
        .block(
            Block::bordered()
                .title(" flows: latency is from producer to consumer on the other side "),
        )
}

fn topic_table(sample: &Sample, height: u16) -> Table<'static> {
    // Frame and head.
    let room = usize::from(height.saturating_sub(3));
    let hidden = sample.topics.len().saturating_sub(room);
    let title = if hidden > 0 {
        format!(" topics: {hidden} more, troubled ones first ")
    } else {
        " topics ".to_owned()
    };
    let mut topics: Vec<_> = sample.topics.iter().collect();
    topics.sort_by_key(|topic| topic.reason.is_none()); // stable: else by flow and name
    let rows = topics.into_iter().take(room).map(|topic| {
        Row::new([
            Cell::from(topic.flow.to_string()),
            Cell::from(topic.topic.to_string()),
            right(grouped(topic.records)),
            right(grouped(topic.lag)),
            Cell::from(states(&topic.states)).style(colour(&topic.states)),
            Cell::from(topic.reason.clone().unwrap_or_default()),
        ])
    });
    let widths = [
        Constraint::Length(12),
        Constraint::Length(20),
        Constraint::Length(13),
        Constraint::Length(9),
        Constraint::Length(22),
        Constraint::Min(10),
    ];
    let head = [
        Cell::from("flow"),
        Cell::from("topic"),
        right("records".to_owned()),
        right("lag".to_owned()),
        Cell::from("partitions"),
        Cell::from("reason"),
    ];
    Table::new(rows, widths)
        .header(Row::new(head).style(Modifier::DIM))
        .block(Block::bordered().title(title))
}

fn footer(sample: &Sample) -> Line<'static> {
    let faults = Span::raw(format!(" so far: {}", sample.faults));
    let faults = if sample.faults.total() == 0 {
        faults.green()
    } else {
        faults.red().bold()
    };
    Line::from(vec![faults, "   q or Ctrl-C: stop and prove".dim()])
}

fn colour(counts: &[u64; 5]) -> Style {
    let has = |state| {
        let mut of = PartitionState::ALL.iter().zip(counts);
        of.any(|(one, count)| *one == state && *count > 0)
    };
    if has(PartitionState::Halted) {
        Style::new().fg(Color::Red)
    } else if has(PartitionState::Waiting) {
        Style::new().fg(Color::Yellow)
    } else {
        Style::new().fg(Color::Green)
    }
}

fn right(text: String) -> Cell<'static> {
    Cell::from(Text::from(text).right_aligned())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people; casts of floats saturate"
)]
fn whole(rate: f64) -> u64 {
    rate.round() as u64
}

/// `1,234,567`.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::ledger::Faults;
    use super::super::reader::Latency;
    use super::super::sample::{Phase, TopicSample};
    use super::*;

    fn sample() -> Sample {
        let mut sample = Sample {
            phase: Phase::Running,
            elapsed: Duration::from_secs(8),
            left: Some(Duration::from_secs(12)),
            ..Sample::default()
        };
        let [east, west] = &mut sample.clusters;
        (east.alias, west.alias) = ("east", "west");
        (east.bootstrap, east.written) = ("127.0.0.1:9092".to_owned(), 1_234_567);
        sample.flows[0] = FlowSample {
            label: "east->west".into(),
            records: 80_000,
            records_rate: 10_003.4,
            bytes_rate: 5.24e6,
            lag: 12,
            latency: Latency {
                p50_us: 2_100,
                p99_us: 14_000,
                max_us: 31_000,
            },
            first_crossing: Some(Duration::from_millis(412)),
            states: [0, 5, 0, 0, 0],
            ..FlowSample::default()
        };
        sample.topics = vec![
            topic("heartbeats", [0, 1, 0, 0, 0], None),
            topic("orders", [0, 2, 0, 1, 0], Some("2: too large")),
        ];
        sample
    }

    fn topic(name: &str, states: [u64; 5], reason: Option<&str>) -> TopicSample {
        TopicSample {
            flow: "east->west".into(),
            topic: name.into(),
            records: 8,
            lag: 0,
            states,
            reason: reason.map(ToOwned::to_owned),
        }
    }

    /// What a screen of this size shows, line by line.
    fn screen(width: u16, height: u16, sample: &Sample, log: &[String]) -> Vec<String> {
        let mut terminal =
            Terminal::new(TestBackend::new(width, height)).expect("no input or output");
        terminal
            .draw(|frame| draw(frame, sample, log, 3))
            .expect("no input or output");
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        (0..height).map(line).collect()
    }

    #[track_caller]
    fn shows(lines: &[String], needed: &[&str]) {
        let found = lines
            .iter()
            .any(|line| needed.iter().all(|one| line.contains(one)));
        assert!(found, "no line with {needed:?} in\n{}", lines.join("\n"));
    }

    #[test]
    fn everything_is_on_a_screen_of_100_by_30() {
        let lines = screen(100, 30, &sample(), &["WARN a line".to_owned()]);
        shows(
            &lines,
            &[
                "crosscurrent demo",
                "12 s left",
                "first record crossed after 0.41 s",
            ],
        );
        shows(&lines, &[" east ", " west "]);
        shows(&lines, &["127.0.0.1:9092", "10,003 records/s  5.2 MB/s"]);
        shows(&lines, &["written", "1,234,567"]);
        shows(&lines, &["──●──", "▶"]);
        shows(&lines, &["◀──"]);
        shows(
            &lines,
            &[
                "east->west",
                "80,000",
                "10,003",
                "5.2",
                "12",
                "2.1",
                "14",
                "31",
                "5 running",
            ],
        );
        shows(&lines, &["orders", "2 running, 1 halted", "2: too large"]);
        shows(&lines, &["WARN a line"]);
        shows(
            &lines,
            &["so far: 0 lost, 0 doubled, 0 out of order, 0 foreign"],
        );
    }

    #[test]
    fn troubled_topics_are_shown_when_not_all_are() {
        let mut sample = sample();
        for index in 0..40 {
            sample
                .topics
                .insert(0, topic(&format!("a-{index}"), [0, 1, 0, 0, 0], None));
        }
        let lines = screen(100, 24, &sample, &[]);
        shows(&lines, &["more, troubled ones first"]);
        shows(&lines, &["orders", "2: too large"]);
    }

    #[test]
    fn a_fault_is_red_and_a_halted_partition_too() {
        let mut sample = sample();
        sample.faults = Faults {
            doubled: 1,
            ..Faults::default()
        };
        let mut terminal = Terminal::new(TestBackend::new(100, 24)).expect("no input or output");
        terminal
            .draw(|frame| draw(frame, &sample, &[], 0))
            .expect("no input or output");
        let buffer = terminal.backend().buffer();
        assert_eq!(buffer[(1, 23)].fg, Color::Red);
        let red = buffer
            .content()
            .iter()
            .filter(|cell| cell.fg == Color::Red)
            .count();
        assert!(red > "so far: 0 lost, 1 doubled, 0 out of order, 0 foreign".len());
    }

    #[test]
    fn no_size_of_screen_is_too_small() {
        for (width, height) in [(1, 1), (10, 3), (20, 60), (300, 5)] {
            screen(width, height, &sample(), &["a line".to_owned()]);
        }
    }

    #[test]
    fn figures_are_grouped() {
        let all = [0, 12, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(all, ["0", "12", "999", "1,000", "1,234,567"]);
    }
}
