//! The demo at a terminal: it takes it, and gives it back.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use scenarios::await_that;

use crate::program::{PATIENCE, command};

/// Switches to the other screen, and back.
const TAKEN: &str = "\x1b[?1049h";
const GIVEN_BACK: &str = "\x1b[?1049l";

/// The demo on a terminal of its own.
struct AtTerminal {
    child: Child,
    /// Our end: keys go in.
    keys: File,
    /// Its end, whose settings are looked at.
    terminal: OwnedFd,
    seen: Arc<Mutex<Vec<u8>>>,
    watching: JoinHandle<()>,
    /// Ends the watching, with what it is watched by, at the next picture.
    look_away: Arc<AtomicBool>,
}

impl AtTerminal {
    fn start(arguments: &[&str]) -> Self {
        let size = Winsize {
            ws_row: 30,
            ws_col: 110,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = openpty(Some(&size), None).unwrap();
        let its_end = || Stdio::from(pair.slave.try_clone().unwrap());
        let mut command = command(&["demo", "--rate", "1000"]);
        command.args(arguments);
        command.stdin(its_end()).stdout(its_end()).stderr(its_end());
        let child = command.spawn().unwrap();
        drop(command); // holds its end open
        let keys = File::from(pair.master);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (mut screen, kept) = (keys.try_clone().unwrap(), seen.clone());
        let look_away = Arc::new(AtomicBool::new(false));
        let away = look_away.clone();
        let watching = std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            // Ends with an error when nobody has the other end open any more.
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                kept.lock().unwrap().extend_from_slice(&bytes[..count]);
                if away.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        Self {
            child,
            keys,
            terminal: pair.slave,
            seen,
            watching,
            look_away,
        }
    }

    fn output(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    fn await_text(&mut self, text: &str) {
        let seen = await_that(text, PATIENCE, || self.output().contains(text));
        if seen.is_err() {
            self.child.kill().unwrap();
        }
        assert!(seen.is_ok(), "no {text:?} in {}", self.output());
    }

    /// Whether keys are shown and gathered to lines, as a shell wants it.
    fn is_as_before(&self) -> bool {
        let flags = tcgetattr(&self.terminal).unwrap().local_flags;
        flags.contains(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG)
    }

    /// Waits for the end: exit code and what was written, after a look at the terminal.
    fn end(mut self) -> (Option<i32>, String) {
        let mut status = None;
        let ended = await_that("its end", PATIENCE, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        if ended.is_err() {
            self.child.kill().unwrap();
        }
        ended.unwrap();
        assert!(self.is_as_before(), "{}", self.output());
        drop(self.terminal); // the last one: whoever watches sees the end
        self.watching.join().unwrap();
        let output = self.seen.lock().unwrap();
        let output = String::from_utf8_lossy(&output).into_owned();
        (status.unwrap().code(), output)
    }
}

#[test]
fn the_terminal_is_given_back_after_a_key_and_the_proof_is_on_it() {
    let mut demo = AtTerminal::start(&["--seconds", "0"]);
    assert!(demo.is_as_before());
    demo.await_text("until"); // only what has changed is drawn: one word that is drawn whole
    assert!(!demo.is_as_before(), "in raw mode keys come at once");
    demo.keys.write_all(b"\x03").unwrap(); // Ctrl-C
    let (code, output) = demo.end();
    assert_eq!(code, Some(0), "{output}");
    let (view, after) = output.split_once(GIVEN_BACK).unwrap();
    assert!(
        view.contains(TAKEN) && !view.contains("proved:"),
        "{output}"
    );
    assert!(after.contains("proved: each side"), "{output}");
}

#[test]
fn the_terminal_is_given_back_after_a_signal_at_any_moment() {
    let mut demo = AtTerminal::start(&["--seconds", "0"]);
    demo.await_text(TAKEN);
    let pid = Pid::from_raw(demo.child.id().cast_signed());
    for _ in 0..2 {
        kill(pid, Signal::SIGTERM).unwrap();
    }
    let (code, output) = demo.end();
    assert!(output.contains(GIVEN_BACK), "{output}");
    assert!(code.is_some(), "ended by itself");
}

/// Goal: a window that is closed ends the demo, in order and with nothing that spins.
#[test]
fn a_terminal_that_hangs_up_ends_the_demo() {
    let mut demo = AtTerminal::start(&["--seconds", "0"]);
    demo.await_text("until");
    demo.look_away.store(true, Ordering::Relaxed);
    let AtTerminal {
        mut child,
        keys,
        terminal,
        watching,
        ..
    } = demo;
    watching.join().unwrap();
    let pid = Pid::from_raw(child.id().cast_signed());
    drop((keys, terminal));
    kill(pid, Signal::SIGHUP).unwrap(); // as the system does to those whose terminal it was
    let ended = await_that("its end", PATIENCE, || child.try_wait().unwrap().is_some());
    drop(child.kill()); // only has an effect if the wait was in vain
    ended.unwrap();
}
