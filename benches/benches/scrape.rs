//! What looking costs: `/metrics` and `/v1/partitions` with 10,000 partitions, and what a scrape every second takes from
//! copying. Both clusters live in this process, the product in one of its own. `--topics N`, `--records N` (of one round),
//! `--rounds N`.
//!
//! The scrape's own thread is known by its work while nothing is copied: what the others use for the same load, with and
//! without scrapes in turn, is what copying pays.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use crosscurrent_benches::{Args, RECORD_BYTES, Report, Running, load};
use embedded::{EmbeddedCluster, Settings};
use scenarios::KafkaClient;
use scenarios::client::Codec;

const PARTITIONS: i32 = 100;
const LOAD_PARTITIONS: u64 = 8;
const BATCH_RECORDS: u32 = 100;
const PATIENCE: Duration = Duration::from_secs(600);
const SCRAPES: usize = 21;
/// What this project promises.
const SCRAPE_MS_MAX: f64 = 300.0;

fn main() -> Result<()> {
    let args = Args::read();
    let topics: usize = args.number("--topics", 100, 1)?;
    let records: u64 = args.number("--records", 1_000_000, 2_000)?;
    let rounds: usize = args.number("--rounds", 3, 1)?;
    let program = args.program()?;
    let start = || EmbeddedCluster::start_with(Settings::default());
    let (east, west) = (start()?, start()?);
    let client = |cluster: &EmbeddedCluster| KafkaClient::connect(&cluster.bootstrap());
    let (source, target) = (client(&east).map_err(said)?, client(&west).map_err(said)?);
    for topic in 0..topics {
        let name = format!("scrape-{topic}");
        source
            .create_topic(&name, PARTITIONS, 1, &[])
            .map_err(said)?;
    }
    let loads: Vec<_> = (0..2 * rounds)
        .map(|at| (format!("scrape-load-{at}"), at % 2 == 1))
        .collect();
    for (name, _) in &loads {
        let partitions = i32::try_from(LOAD_PARTITIONS)?;
        // The records are of 2023.
        let keep = [("retention.ms", "-1")];
        source
            .create_topic(name, partitions, 1, &keep)
            .map_err(said)?;
    }
    let all =
        topics * usize::try_from(PARTITIONS)? + loads.len() * usize::try_from(LOAD_PARTITIONS)?;

    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let listen = format!("listeners = http://{address}\n");
    let mut product = Running::start_with(&source, &target, &program, "scrape-.*", &listen)?;
    // Heartbeats are copied as well.
    product.await_usage("all partitions running", PATIENCE, || {
        thread::sleep(Duration::from_millis(200));
        get(&address, "/v1/partitions?state=running&limit=1")
            .ok()
            .and_then(|page| {
                let (total, _) = page.strip_prefix("{\"total\":")?.split_once(',')?;
                total.parse::<usize>().ok()
            })
            .is_some_and(|total| total >= all)
    })?;

    let mut report = Report::new("scrape");
    report.add("partitions", all as f64);
    let before = product.usage()?;
    let threads_before = product.thread_cpu_seconds()?;
    let (ms, bytes) = timed(&address, "/metrics")?;
    let after = product.usage()?;
    let used = since(&threads_before, &product.thread_cpu_seconds()?);
    let busiest = used.iter().max_by(|a, b| a.1.total_cmp(b.1));
    let scraper = *busiest.context("a process without threads")?.0;
    // What the idle flow takes meanwhile is in it.
    let each = (after.cpu_seconds - before.cpu_seconds) * 1e3 / SCRAPES as f64;
    report.promise("metrics_ms_median", middle(&ms)?, SCRAPE_MS_MAX);
    report.promise(
        "metrics_ms_max",
        ms.last().copied().context("no scrape")?,
        SCRAPE_MS_MAX,
    );
    report.add("metrics_cpu_ms", each);
    report.add("metrics_mb", bytes as f64 / 1e6);
    let (ms, bytes) = timed(&address, "/v1/partitions?limit=1000&offset=500")?;
    report.add("partitions_page_of_1000_ms_median", middle(&ms)?);
    report.add("partitions_page_of_1000_mb", bytes as f64 / 1e6);
    let (ms, _) = timed(&address, "/v1/flows")?;
    report.add("flows_ms_median", middle(&ms)?);

    let gb = (records * u64::try_from(RECORD_BYTES)?) as f64 / 1e9;
    let mut per_gb: [Vec<f64>; 2] = Default::default();
    for (name, is_scraped) in &loads {
        let copy = format!("east.{name}");
        let copied = || -> u64 {
            let ends = target.end_offsets(&copy).unwrap_or_default();
            ends.iter()
                .map(|end| u64::try_from(*end).unwrap_or(0))
                .sum()
        };
        let over = AtomicBool::new(false);
        let (before, after, scrapes) = thread::scope(|scope| -> Result<_> {
            let scraping = scope.spawn(|| every_second(&address, *is_scraped, &over));
            let before = (product.usage()?, product.thread_cpu_seconds()?);
            let copied = (|| {
                load(
                    &source,
                    name,
                    records,
                    LOAD_PARTITIONS,
                    BATCH_RECORDS,
                    Codec::None,
                )?;
                product.await_usage("the last record", PATIENCE, || copied() >= records)?;
                Ok::<_, anyhow::Error>((product.usage()?, product.thread_cpu_seconds()?))
            })();
            over.store(true, Ordering::Relaxed);
            let scrapes = scraping
                .join()
                .map_err(|_| anyhow!("scraping panicked"))??;
            Ok((before, copied?, scrapes))
        })?;
        let what = if *is_scraped { "scraped" } else { "alone" };
        let used = since(&before.1, &after.1);
        let copying: f64 = (used.iter())
            .filter(|(thread, _)| **thread != scraper)
            .map(|(_, seconds)| seconds)
            .sum();
        per_gb[usize::from(*is_scraped)].push(copying / gb);
        report.add(
            format!("{what}_seconds"),
            after.0.seconds - before.0.seconds,
        );
        report.add(format!("{what}_copying_cpu_seconds_per_gb"), copying / gb);
        let scraping = used.get(&scraper).copied().unwrap_or(0.0);
        report.add(format!("{what}_scraping_cpu_seconds"), scraping);
        report.add(format!("{what}_scrapes"), scrapes as f64);
    }
    per_gb
        .iter_mut()
        .for_each(|all| all.sort_by(f64::total_cmp));
    let [alone, scraped] = &per_gb;
    report.add("scraped_to_alone_median", middle(scraped)? / middle(alone)?);
    report.add("rss_mb_peak", product.usage()?.rss_mb_peak);
    product.stop()?;
    report.print(args.json);
    Ok(())
}

/// Times in order, in milliseconds, and the last answer's bytes.
fn timed(address: &str, path: &str) -> Result<(Vec<f64>, usize)> {
    let (mut times, mut bytes) = (Vec::with_capacity(SCRAPES), 0);
    for _ in 0..SCRAPES {
        let since = Instant::now();
        bytes = get(address, path)?.len();
        times.push(since.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok((times, bytes))
}

fn middle(times: &[f64]) -> Result<f64> {
    times.get(times.len() / 2).copied().context("no times")
}

/// What each thread has used since, in seconds.
fn since(before: &BTreeMap<u32, f64>, now: &BTreeMap<u32, f64>) -> BTreeMap<u32, f64> {
    let used = now.iter().map(|(thread, seconds)| {
        let before = before.get(thread).copied().unwrap_or(0.0);
        (*thread, seconds - before)
    });
    used.collect()
}

fn every_second(address: &str, is_scraped: bool, over: &AtomicBool) -> Result<usize> {
    let mut scrapes = 0;
    while !over.load(Ordering::Relaxed) {
        if is_scraped {
            get(address, "/metrics")?;
            scrapes += 1;
        }
        thread::sleep(Duration::from_secs(1));
    }
    Ok(scrapes)
}

/// The body at a path.
fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
    let status = head.split(' ').nth(1);
    ensure!(status == Some("200"), "{path}: {head}");
    Ok(body.to_owned())
}

/// The scenarios' errors say everything in their `Debug` text.
fn said(error: scenarios::Error) -> anyhow::Error {
    anyhow!("{error:?}")
}
