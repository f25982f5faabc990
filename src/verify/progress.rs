//! How far it is, on standard error: a bar at a terminal, else a line now and then.

use std::io::{IsTerminal, Write, stderr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};

use super::findings::{Findings, Place};

/// Between two lines, where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// Between two reports of a worker.
const TICK_INTERVAL: Duration = Duration::from_millis(200);
const STYLE: &str = "{bar:30} {percent}%  {elapsed_precise}, {eta} left  {msg}";

/// Of all partitions together.
pub(crate) struct Progress {
    started: Instant,
    bar: Option<ProgressBar>,
    /// When the last line was written; none: never.
    line: Option<Mutex<Instant>>,
    expected: AtomicU64,
    done: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    stop: AtomicBool,
}

impl Progress {
    /// `shown`: on standard error.
    pub(crate) fn new(shown: bool) -> Self {
        let bar = (shown && stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(0);
            if let Ok(style) = ProgressStyle::with_template(STYLE) {
                bar.set_style(style);
            }
            bar
        });
        Self {
            started: Instant::now(),
            line: (shown && bar.is_none()).then(|| Mutex::new(Instant::now())),
            bar,
            expected: AtomicU64::new(0),
            done: AtomicU64::new(0),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        }
    }

    /// Shows the state as of now.
    pub(crate) fn draw(&self) {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let (records, mb) = (load(&self.records), load(&self.bytes) as f64 / 1e6);
        let rate = mb / self.started.elapsed().as_secs_f64().max(0.001);
        let (done, expected) = (load(&self.done), load(&self.expected));
        if let Some(bar) = &self.bar {
            bar.set_length(expected);
            bar.set_position(done);
            bar.set_message(format!("{records} records equal, {rate:.0} MB/s"));
        }
        if let Some(last) = &self.line
            && let Ok(mut last) = last.lock()
            && last.elapsed() >= LINE_INTERVAL
        {
            *last = Instant::now();
            // With nobody to read it, the comparison goes on.
            _ = writeln!(
                stderr(),
                "{done} of {expected} offsets, {records} records equal, {rate:.0} MB/s"
            );
        }
    }

    /// Prints something else meanwhile.
    pub(crate) fn above<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Ends all comparisons soon.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Takes the bar away. Unit of the time since the start: seconds.
    pub(crate) fn finish(&self) -> f64 {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.started.elapsed().as_secs_f64()
    }
}

/// One partition's share of it.
pub(crate) struct Watch<'a> {
    progress: &'a Progress,
    /// Hears from time to time how far it is.
    note: &'a mut dyn FnMut(&Findings, Place),
    last: Option<(Findings, Place)>,
    told: Instant,
    at: i64,
    records: u64,
    bytes: u64,
}

impl<'a> Watch<'a> {
    /// Of a partition whose findings so far are `before`.
    pub(crate) fn new(
        progress: &'a Progress,
        before: &Findings,
        note: &'a mut dyn FnMut(&Findings, Place),
    ) -> Self {
        Self {
            progress,
            note,
            last: None,
            told: Instant::now(),
            at: 0,
            records: before.equal,
            bytes: before.bytes,
        }
    }

    /// These source offsets come next.
    pub(crate) fn begin(&mut self, from: i64, end: i64) {
        self.at = from;
        let offsets = end.saturating_sub(from).max(0).unsigned_abs();
        self.progress.expected.fetch_add(offsets, Ordering::Relaxed);
    }

    /// `next` is reached. `resumable`: another process can go on there, with the findings.
    ///
    /// # Errors
    /// It is to end.
    pub(crate) fn tick(
        &mut self,
        findings: &Findings,
        next: Place,
        resumable: bool,
    ) -> anyhow::Result<()> {
        let progress = self.progress;
        let add = |number: &AtomicU64, more: u64| _ = number.fetch_add(more, Ordering::Relaxed);
        add(
            &progress.done,
            next.source.saturating_sub(self.at).max(0).unsigned_abs(),
        );
        add(
            &progress.records,
            findings.equal.saturating_sub(self.records),
        );
        add(&progress.bytes, findings.bytes.saturating_sub(self.bytes));
        self.at = next.source.max(self.at);
        (self.records, self.bytes) = (findings.equal, findings.bytes);
        if resumable {
            self.last = Some((findings.clone(), next));
        }
        if self.told.elapsed() >= TICK_INTERVAL {
            self.told = Instant::now();
            self.tell();
        }
        if progress.stop.load(Ordering::Relaxed) {
            bail!("stopped");
        }
        Ok(())
    }

    /// Hands over how far it is.
    pub(crate) fn tell(&mut self) {
        if let Some((findings, next)) = self.last.take() {
            (self.note)(&findings, next);
        }
    }
}
