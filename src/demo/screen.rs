//! The terminal while the live view is on it: a thread that draws and listens to keys, and that gives the terminal back.

use std::io::{self, IsTerminal, stdin, stdout};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::read;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
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
const FRAME_MS: u16 = 120;
/// Bytes of keys that are looked at in one go.
const KEYS_MAX: usize = 64;

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
            if is_stop_key(&keys(FRAME_MS)?) {
                self.stop_wanted.notify_one();
            }
        }
        Ok(())
    }
}

/// Waits up to `wait_ms` for keys, as the terminal sends them.
///
/// Read here and not by crossterm, which never comes back from a terminal that has hung up.
///
/// # Errors
/// The terminal is gone.
pub(crate) fn keys(wait_ms: u16) -> io::Result<Vec<u8>> {
    let stdin = stdin();
    let mut wait = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    match poll(&mut wait, PollTimeout::from(wait_ms)) {
        Ok(0) | Err(Errno::EINTR) => return Ok(Vec::new()),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    let mut bytes = vec![0; KEYS_MAX];
    let count = read(&stdin, &mut bytes)?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    bytes.truncate(count);
    Ok(bytes)
}

/// `q`, Escape alone (other keys begin with it), or Ctrl-C, which is no signal in this mode.
pub(crate) fn is_stop_key(keys: &[u8]) -> bool {
    const CTRL_C: u8 = 3;
    const ESCAPE: u8 = 0x1b;
    keys == [ESCAPE] || keys.contains(&CTRL_C) || (!keys.contains(&ESCAPE) && keys.contains(&b'q'))
}

/// The terminal in raw mode, on its other screen; gives it back when dropped, by a panic too.
pub(crate) struct Taken {
    pub(crate) terminal: DefaultTerminal,
}

impl Taken {
    /// # Errors
    /// The terminal cannot do it.
    pub(crate) fn new() -> io::Result<Self> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_keys_mean_to_stop() {
        for keys in [&b"q"[..], b"\x03", b"\x1b", b"xq"] {
            assert!(is_stop_key(keys), "{keys:?}");
        }
        for keys in [&b""[..], b"x", b"\x1b[A", b"\x1bq"] {
            assert!(!is_stop_key(keys), "{keys:?}");
        }
    }
}
