//! The demo's course: start, run, drain, prove.

use std::future::pending;
use std::io::{Write, stdout};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::{Flow, FlowTotals, Registry, Worker};
use anyhow::{Context, anyhow, bail};
use tokio::time::sleep;
use topology::{MirrorConfig, Properties};

use super::load::Load;
use super::proof::Proof;
use super::record::Stamper;
use super::sample::{self, Phase, Rates, Sample};
use super::screen::Screen;
use super::sides::Sides;
use super::{DemoArgs, lines, settings};
use crate::logging::recent::Recent;
use crate::signals::Signals;

/// Time between two looks.
const TICK: Duration = Duration::from_millis(100);
/// Time between two lines or objects.
const LINE_INTERVAL: Duration = Duration::from_secs(1);
/// How long the first record may take to cross.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long the last records may take to cross.
const DRAIN_PATIENCE: Duration = Duration::from_secs(30);
/// How long crosscurrent may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(9);
/// How long readers may take to see the ends of the topics, and to leave their groups.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// How what happens is shown.
enum Output {
    Live(Screen),
    Lines,
    Json,
}

/// How a wait ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waited {
    Done,
    /// Somebody wants to stop.
    Stopped,
    Late,
}

struct Demo {
    started: Instant,
    sides: Sides,
    flows: Vec<Arc<Flow>>,
    registry: Registry,
    signals: Signals,
    output: Output,
    sample: Sample,
    rates: Rates,
    writing_until: Option<Instant>,
    next_line: Instant,
}

/// Runs the demo that began at `started`; true if it proved what it is to prove. The live view takes its log lines from `live`.
///
/// # Errors
/// What keeps the demo from running.
pub(crate) async fn run(
    args: &DemoArgs,
    live: Option<Recent>,
    started: Instant,
) -> anyhow::Result<bool> {
    let signals = Signals::new().context("cannot handle signals")?;
    let load = Load {
        rate: args.rate,
        record_bytes: args.record_bytes,
        partitions: args.partitions,
    };
    let mut sides = Sides::start(args.ports.0, load).await?;
    let [east, west] = sides.both.each_ref().map(|side| side.bootstrap.as_str());
    let text = settings::mm2_properties([east, west]);
    let config = MirrorConfig::read(Properties::parse(text.as_bytes())?, &[])
        .map_err(|errors| anyhow!("the demo's own configuration is refused: {errors}"))?;
    let run = started.elapsed().subsec_nanos() ^ std::process::id().rotate_left(16);
    let stamper = Arc::new(Stamper::new(run, started));
    sides.load(load, &stamper)?;
    let worker = Worker::start(config.flows()).context("cannot start threads")?;
    if args.show_config && !args.json {
        say(&text);
    }
    let output = match live {
        _ if args.json => Output::Json,
        None => Output::Lines,
        Some(log) => {
            Output::Live(Screen::open(log).context("cannot use the terminal; try --no-tty")?)
        }
    };
    let mut demo = Demo {
        started,
        sides,
        flows: worker.flows(),
        registry: worker.registry().clone(),
        signals,
        output,
        sample: Sample {
            run: stamper.run(),
            ..Sample::default()
        },
        rates: Rates::default(),
        writing_until: None,
        next_line: started + LINE_INTERVAL,
    };
    demo.look();
    match &demo.output {
        Output::Live(_) => {}
        Output::Lines => say(&lines::start(&demo.sample)),
        Output::Json => say(&lines::json_start(&demo.sample, &text).to_string()),
    }
    let outcome = demo.course(args, worker).await?;
    let Demo {
        output,
        sample,
        sides,
        ..
    } = demo;
    let json = matches!(output, Output::Json);
    let was_live = matches!(output, Output::Live(_));
    drop(output); // gives the terminal back
    if was_live {
        say(&lines::start(&sample));
    }
    let Some(proof) = outcome else {
        say(&stopped(json));
        return Ok(false);
    };
    say(&if json {
        lines::json_summary(&sample, &proof).to_string()
    } else {
        lines::summary(&sample, &proof)
    });
    drop(sides);
    Ok(proof.holds())
}

/// The end without a proof.
fn stopped(json: bool) -> String {
    let what = "stopped before anything was proved";
    if json {
        serde_json::json!({"type": "summary", "proved": false, "reason": what}).to_string()
    } else {
        what.to_owned()
    }
}

/// One line on standard output. With nobody to read it, the demo goes on to its exit code.
fn say(line: &str) {
    let mut out = stdout().lock();
    _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

impl Demo {
    /// From the first record to the proof; `None` if somebody did not want to wait for it.
    async fn course(&mut self, args: &DemoArgs, worker: Worker) -> anyhow::Result<Option<Proof>> {
        let partitions = args.partitions;
        match self
            .wait(Some(START_PATIENCE), |sides| sides.have_crossed(partitions))
            .await?
        {
            Waited::Done => {}
            Waited::Stopped => return Ok(None),
            Waited::Late => bail!(
                "no record crossed within {} s: {}",
                START_PATIENCE.as_secs(),
                self.troubles()
            ),
        }
        if let Output::Lines = self.output {
            say(&lines::first(&self.sample));
        }
        self.sides.go();
        self.sample.phase = Phase::Running;
        let time = (args.seconds > 0).then(|| Duration::from_secs(args.seconds));
        self.writing_until = time.map(|time| Instant::now() + time);
        self.wait(time, |_| false).await?;

        self.sample.phase = Phase::Draining;
        self.sides.stop_writing();
        for step in [Sides::have_written, Sides::have_arrived] {
            match self.wait(Some(DRAIN_PATIENCE), step).await? {
                // What has not arrived in time is lost; the proof says how much.
                Waited::Done | Waited::Late => {}
                Waited::Stopped => return Ok(None),
            }
        }
        if !self.sides.have_written() {
            bail!("a producer does not end");
        }

        self.sample.phase = Phase::Proving;
        self.look();
        let stopped_cleanly = worker.stop(STOP_LIMIT).await;
        // Nothing is written any more, so that these are the ends.
        let ends = self.sides.ends()?;
        let read = |sides: &Sides| sides.have_read_to(&ends);
        if self.wait(Some(END_PATIENCE), read).await? == Waited::Stopped {
            return Ok(None);
        }
        let proof = Proof {
            findings: self.sides.findings(&ends),
            strays: self.sides.strays()?,
            stopped_cleanly,
        };
        self.sides.stop_reading();
        self.wait(Some(END_PATIENCE), Sides::have_read).await?;
        Ok(Some(proof))
    }

    /// Looks and shows until `done`.
    async fn wait(
        &mut self,
        patience: Option<Duration>,
        done: impl Fn(&Sides) -> bool,
    ) -> anyhow::Result<Waited> {
        let end = patience.map(|patience| Instant::now() + patience);
        loop {
            self.sides.check()?;
            self.look();
            self.show();
            if done(&self.sides) {
                return Ok(Waited::Done);
            }
            if end.is_some_and(|end| Instant::now() >= end) {
                return Ok(Waited::Late);
            }
            tokio::select! {
                () = self.signals.next() => return Ok(Waited::Stopped),
                () = stop_wanted(&self.output) => return Ok(Waited::Stopped),
                () = sleep(TICK) => {}
            }
        }
    }

    /// Takes a new sample.
    fn look(&mut self) {
        let now = Instant::now();
        let sample = &mut self.sample;
        sample.elapsed = now.duration_since(self.started);
        sample.left = self
            .writing_until
            .map(|end| end.saturating_duration_since(now));
        sample.clusters = self.sides.sample(&mut self.rates, now);
        sample.topics = sample::topics(&self.registry);
        sample.faults = self.sides.faults_so_far();
        let totals = self.registry.flow_totals();
        for (index, (shown, side)) in sample.flows.iter_mut().zip(&self.sides.both).enumerate() {
            let mut from_here = self.flows.iter();
            let Some(flow) = from_here.find(|flow| flow.config.id.source.as_str() == side.alias)
            else {
                continue;
            };
            let none = FlowTotals::default();
            let total = totals.get(&flow.label).unwrap_or(&none);
            *shown = sample::flow(flow, total, (index, &mut self.rates, now));
            if let Some(copy) = self.sides.copy_of(index) {
                shown.latency = copy.latency();
                shown.first_crossing = copy.first();
            }
        }
    }

    fn show(&mut self) {
        match &self.output {
            Output::Live(screen) => screen.show(&self.sample),
            Output::Lines | Output::Json if Instant::now() < self.next_line => {}
            Output::Lines => say(&lines::progress(&self.sample)),
            Output::Json => say(&lines::json_progress(&self.sample).to_string()),
        }
        while self.next_line <= Instant::now() {
            self.next_line += LINE_INTERVAL;
        }
    }

    /// What the flows say of themselves, for an error.
    fn troubles(&self) -> String {
        let flows = self.sample.flows.iter();
        let mut all: Vec<String> = flows.filter_map(|flow| flow.trouble.clone()).collect();
        let topics = self.sample.topics.iter();
        all.extend(topics.filter_map(|topic| {
            let reason = topic.reason.as_ref()?;
            Some(format!("{} {}-{reason}", topic.flow, topic.topic))
        }));
        if all.is_empty() {
            "crosscurrent gives no reason".to_owned()
        } else {
            all.join("; ")
        }
    }
}

/// Waits for somebody at the live view to want to stop.
async fn stop_wanted(output: &Output) {
    match output {
        Output::Live(screen) => screen.stop_wanted().await,
        Output::Lines | Output::Json => pending().await,
    }
}
