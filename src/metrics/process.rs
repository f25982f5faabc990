//! What the system says of this process, under the names that every Prometheus client uses.

use std::fs;

use super::table as t;
use super::text::Text;

/// Linux counts processor time for programs in these, on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// Where the system does not say it, there is no series.
pub(super) fn write(text: &mut Text) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ticks = |place| field(&stat, place);
    let bytes = |name| Some(number(&status, name)? * 1024.0);
    let cpu = (|| Some((ticks(14)? + ticks(15)?) / TICKS_PER_SECOND))();
    let booted = || number(&fs::read_to_string("/proc/stat").ok()?, "btime");
    let start = (|| Some(booted()? + ticks(22)? / TICKS_PER_SECOND))();
    let open = fs::read_dir("/proc/self/fd").ok();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    for (metric, value) in [
        (&t::CPU, cpu),
        (&t::RESIDENT, bytes("VmRSS:")),
        (&t::VIRTUAL, bytes("VmSize:")),
        (&t::OPEN_FDS, open.map(|open| open.count() as f64)),
        (&t::MAX_FDS, number(&limits, "Max open files")),
        (&t::THREADS, number(&status, "Threads:")),
        (&t::START_TIME, start),
    ] {
        text.family(metric);
        if let Some(value) = value {
            text.series(metric, "", value);
        }
    }
}

/// A field of `/proc/self/stat`, counted from 1 as in proc(5).
fn field(stat: &str, place: usize) -> Option<f64> {
    // The second one is a name, and may hold anything.
    let (_, behind) = stat.rsplit_once(')')?;
    behind
        .split_whitespace()
        .nth(place.checked_sub(3)?)?
        .parse()
        .ok()
}

/// The first number on the line that begins so.
fn number(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_do_not_move_fields() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 3 0 999 1";
        assert_eq!(
            (field(stat, 14), field(stat, 15), field(stat, 22)),
            (Some(250.0), Some(50.0), Some(999.0))
        );
        assert_eq!(
            (field(stat, 90), field("", 14), field(stat, 1)),
            (None, None, None)
        );
        assert_eq!(
            number("Threads:\t12\nVmRSS:\t  3 kB\n", "VmRSS:"),
            Some(3.0)
        );
    }
}
