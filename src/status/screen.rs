//! The same on the whole terminal, drawn anew after each look.

use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Text};

pub(super) use crate::demo::screen::is_possible;
use crate::demo::screen::{Taken, is_stop_key, keys};

use super::ask::Server;
use super::view::{self, Health};

/// How long a key may have to wait. A look may take longer.
const KEYS_MS: u16 = 120;

/// Until a key means to stop; the health of the last look.
///
/// # Errors
/// The terminal is gone.
pub(super) fn watch(server: &Server, pause: Duration) -> anyhow::Result<Health> {
    let mut taken = Taken::new()?;
    loop {
        let (lines, health) = match super::look(server) {
            Ok(flows) => (view::lines(&flows), view::health(&flows)),
            Err(error) => (vec![format!("{error:#}")], Health::Unreachable),
        };
        let next = Instant::now() + pause;
        while Instant::now() < next {
            (taken.terminal).draw(|frame| draw(frame, server, &lines, health))?;
            if is_stop_key(&keys(KEYS_MS)?) {
                return Ok(health);
            }
        }
    }
}

fn draw(frame: &mut Frame<'_>, server: &Server, lines: &[String], health: Health) {
    let (said, color) = match health {
        Health::Well => ("well", Color::Green),
        Health::Unwell => ("needs a person", Color::Red),
        Health::Unreachable => ("does not answer", Color::Red),
    };
    let head = Line::from(vec![
        format!("crosscurrent at {server}: ").into(),
        said.to_owned().fg(color).bold(),
        "   q ends".to_owned().dim(),
    ]);
    let styled = lines.iter().map(|line| {
        let style = match line.starts_with(' ') {
            true => Style::new(),
            false => Style::new().bold(),
        };
        Line::styled(line.clone(), style)
    });
    let all: Vec<Line<'_>> = [head, Line::default()].into_iter().chain(styled).collect();
    frame.render_widget(Text::from(all), frame.area());
}
