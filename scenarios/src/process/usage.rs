//! What a process has used, as the kernel counts it (`proc(5)`).

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

use super::Process;
use crate::Error;

impl Process {
    /// The highest resident memory so far (`VmHWM`). Unit: bytes.
    ///
    /// # Errors
    /// [`Error::Io`] once the process has ended.
    pub fn rss_bytes_peak(&self) -> Result<u64, Error> {
        let kib = field(&self.proc_file("status")?, "VmHWM:").and_then(|text| text.parse().ok());
        kib.map(|kib: u64| kib * 1024)
            .ok_or_else(|| self.unreadable("status"))
    }

    /// Processor time so far, user and system, all threads.
    ///
    /// # Errors
    /// [`Error::Io`] once the process has ended.
    pub fn cpu_time(&self) -> Result<Duration, Error> {
        cpu_time(&self.proc_file("stat")?).ok_or_else(|| self.unreadable("stat"))
    }

    /// Processor time so far, user and system, of each thread that there is now, by the thread's number.
    ///
    /// # Errors
    /// [`Error::Io`] once the process has ended.
    pub fn thread_cpu_times(&self) -> Result<BTreeMap<u32, Duration>, Error> {
        let folder = format!("/proc/{}/task", self.id());
        let entries = fs::read_dir(&folder).map_err(|e| Error::io("read", folder.as_ref(), e))?;
        let of = |thread: u32| {
            // A thread may end meanwhile.
            let stat = self.proc_file(&format!("task/{thread}/stat")).ok()?;
            Some((thread, cpu_time(&stat)?))
        };
        let threads = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        Ok(threads.filter_map(of).collect())
    }

    fn proc_file(&self, file: &str) -> Result<String, Error> {
        let path = format!("/proc/{}/{file}", self.id());
        fs::read_to_string(&path).map_err(|e| Error::io("read", path.as_ref(), e))
    }

    fn unreadable(&self, file: &str) -> Error {
        let what = format!("find the usage of process {} in its {file} file", self.id());
        Error::Io {
            what,
            source: std::io::ErrorKind::InvalidData.into(),
        }
    }
}

/// The first word after `name` in a `status` file.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))?
        .split_whitespace()
        .next()
}

/// As [`cpu_ticks`].
fn cpu_time(stat: &str) -> Option<Duration> {
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    let per_second = u64::try_from(per_second).ok()?.max(1);
    Some(Duration::from_millis(cpu_ticks(stat)? * 1000 / per_second))
}

/// `utime` + `stime`, fields 14 and 15. Field 2, the name in brackets, may hold blanks and brackets.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_proc_files() {
        assert_eq!(
            field("VmPeak:\t 9 kB\nVmHWM:\t  1234 kB\n", "VmHWM:"),
            Some("1234")
        );
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 17 5 0 0 20 0 1 0 300 1 2";
        assert_eq!(cpu_ticks(stat), Some(22));
        assert_eq!(cpu_ticks("42 (a) S 1"), None);
    }
}
