//! What a process has used, from `/proc/<pid>`.

use std::path::PathBuf;

use anyhow::Context;

use crate::number::float;

/// What a process has used since it started.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Usage {
    /// User and system time of all its threads, also of those that ended.
    pub cpu_seconds: f64,
    /// Its resident memory now.
    pub rss_bytes: u64,
    /// The most that was ever resident.
    pub peak_rss_bytes: u64,
}

/// Reads what the process `pid` has used.
///
/// # Errors
/// When there is no such process, or it has ended.
pub(crate) fn usage(pid: u32) -> anyhow::Result<Usage> {
    let dir = PathBuf::from(format!("/proc/{pid}"));
    let read = |name: &str| {
        let path = dir.join(name);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let ticks = cpu_ticks(&read("stat")?).context("cannot understand the process's stat")?;
    let status = read("status")?;
    let memory = |field| kibibytes(&status, field).context("process has no memory: it has ended");
    Ok(Usage {
        cpu_seconds: float(ticks) / float(rustix::param::clock_ticks_per_second()),
        rss_bytes: memory("VmRSS")?,
        peak_rss_bytes: memory("VmHWM")?,
    })
}

/// User plus system time of `/proc/<pid>/stat`, in clock ticks.
fn cpu_ticks(stat: &str) -> Option<u64> {
    // The second field is the program's name in parentheses, and may hold both blanks and
    // parentheses; the 14th and 15th are the times.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

/// A field of `/proc/<pid>/status` that is given in kB, in bytes.
fn kibibytes(status: &str, field: &str) -> Option<u64> {
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    value
        .trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}

/// The machine, for the head of a report: CPU model, CPUs, kernel.
pub(crate) fn machine() -> String {
    let cpu_info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu_info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("CPU of unknown model", |(_, model)| model);
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cpus} CPUs, Linux {}", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_program_name() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 2 3 4 250 17 5 6 20 0 1 0 9 10 11 12";
        assert_eq!(cpu_ticks(stat), Some(267));
        assert_eq!(cpu_ticks("7 (a) S 1 2"), None);
        assert_eq!(cpu_ticks(""), None);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\ta\nVmHWMx:\t1 kB\nVmHWM:\t   2048 kB\nVmRSS:\t1024 kB\nThreads:\t1\n";
        assert_eq!(kibibytes(status, "VmHWM"), Some(2 << 20));
        assert_eq!(kibibytes(status, "VmRSS"), Some(1 << 20));
        assert_eq!(kibibytes(status, "VmSwap"), None);
        assert_eq!(kibibytes(status, "Threads"), None);
    }

    #[test]
    fn a_running_process_has_a_usage() {
        let usage = usage(std::process::id()).unwrap();
        assert!(usage.rss_bytes > 0 && usage.peak_rss_bytes >= usage.rss_bytes);
        assert!(usage.cpu_seconds >= 0.0);
    }
}
