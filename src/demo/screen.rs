//! The terminal while the live view is on it: a thread that draws and listens to keys, and that gives the terminal back.

use std::io::{self, IsTerminal, stdin, stdout};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{DefaultTerminal, Terminal};
use tokio::sync::Notify;

use super::sample::Sample;
use super::view;
use crate::logging::recent::Recent;

/// Time between two pictures.
const FRAME: Duration = Duration::from_millis(120);

/// Whether there is a terminal to draw on and to listen to.
pub(crate) fn is_possible() -> bool {
    stdout().is_terminal() && stdin().is_terminal()
}

/// The live view. The terminal is as before when this is dropped, on every way out.
pub(crate) struct Screen {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    latest: Mutex<Sample>,
    end: AtomicBool,
    /// Somebody wants to stop: `q`, Escape or Ctrl-C, which is no signal in this mode.
    stop_wanted: Notify,
    log: Recent,
}

impl Screen {
    /// Takes the terminal. Log lines come from `log`.
    ///
    /// # Errors
    /// The terminal cannot do it, or the system gives no threads.
    pub(crate) fn open(log: Recent) -> io::Result<Self> {
        let terminal = Taken::new()?;
        let shared = Arc::new(Shared {
            latest: Mutex::default(),
            end: AtomicBool::new(false),
            stop_wanted: Notify::new(),
            log,
        });
        let its = shared.clone();
        let thread = std::thread::Builder::new()
            .name("view".to_owned())
            // A terminal that cannot be drawn on any more is no reason to stop the demo.
            .spawn(move || drop(its.draw_until_the_end(terminal)))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Shows this from now on.
    pub(crate) fn show(&self, sample: &Sample) {
        let mut latest = self
            .shared
            .latest
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        latest.clone_from(sample);
    }

    /// Waits for a key that means to stop.
    pub(crate) async fn stop_wanted(&self) {
        self.shared.stop_wanted.notified().await;
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.shared.end.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of it has been logged, and has given the terminal back.
            thread.join().ok();
        }
    }
}

impl Shared {
    fn draw_until_the_end(&self, mut taken: Taken) -> io::Result<()> {
        let mut tick = 0;
        while !self.end.load(Relaxed) {
            let sample = self
                .latest
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            let log = self.log.lines();
            taken
                .terminal
                .draw(|frame| view::draw(frame, &sample, &log, tick))?;
            tick = tick.wrapping_add(1);
            if event::poll(FRAME)?
                && let Event::Key(key) = event::read()?
                && key.kind == KeyEventKind::Press
            {
                let interrupt =
                    key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                if interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                    self.stop_wanted.notify_one();
                }
            }
        }
        Ok(())
    }
}

/// The terminal in raw mode, on its other screen; gives it back when dropped, by a panic too.
struct Taken {
    terminal: DefaultTerminal,
}

impl Taken {
    fn new() -> io::Result<Self> {
        enable_raw_mode()?;
        let taken = execute!(stdout(), EnterAlternateScreen)
            .and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        match taken {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    // What fails is a terminal that is gone.
    _ = disable_raw_mode();
    _ = execute!(stdout(), LeaveAlternateScreen, Show);
}
