//! What the system says of this process, under the names that every client of Prometheus uses.

use super::exposition::{Exposition, Kind};

/// Units of the times in `/proc/self/stat`. Source: `proc_pid_stat(5)`; Linux shows 100 a second to
/// programs on every architecture that this agent is built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Fields of `/proc/self/stat`, counted from 0 behind the name of the program, which may hold anything.
/// Source: `proc_pid_stat(5)`, where the first of these is field 3.
mod field {
    pub(super) const UTIME: usize = 11;
    pub(super) const STIME: usize = 12;
    pub(super) const START_TIME: usize = 19;
    pub(super) const VIRTUAL_BYTES: usize = 20;
    pub(super) const RESIDENT_PAGES: usize = 21;
}

/// Writes what is known; what the system does not tell is left out.
pub(super) fn put(out: &mut Exposition) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let boot = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    put_stat(out, &stat, boot_seconds(&boot));
    let open = std::fs::read_dir("/proc/self/fd").map(Iterator::count);
    // The one that lists them is not counted.
    let open = open.ok().map(|count| count.saturating_sub(1) as u64);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let counts = [
        ("process_open_fds", "Number of open file descriptors.", open),
        (
            "process_max_fds",
            "Maximum number of open file descriptors.",
            limit,
        ),
    ];
    for (name, help, value) in counts {
        if let Some(value) = value {
            out.family(name, Kind::Gauge, help);
            out.count(name, &[], value);
        }
    }
}

fn put_stat(out: &mut Exposition, stat: &str, boot_seconds: Option<f64>) {
    let Some((_, fields)) = stat.rsplit_once(") ") else {
        return;
    };
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let field = |index: usize| fields.get(index)?.parse::<f64>().ok();
    let ticks = |index: usize| Some(field(index)? / TICKS_PER_SECOND);
    let cpu = ticks(field::UTIME).zip(ticks(field::STIME));
    let started = ticks(field::START_TIME).zip(boot_seconds);
    let page_bytes = super::float(rustix::param::page_size() as u64);
    let resident = field(field::RESIDENT_PAGES).map(|pages| pages * page_bytes);
    let values = [
        (
            "process_cpu_seconds_total",
            Kind::Counter,
            "Total user and system CPU time spent in seconds.",
            cpu.map(|(user, system)| user + system),
        ),
        (
            "process_resident_memory_bytes",
            Kind::Gauge,
            "Resident memory size in bytes.",
            resident,
        ),
        (
            "process_virtual_memory_bytes",
            Kind::Gauge,
            "Virtual memory size in bytes.",
            field(field::VIRTUAL_BYTES),
        ),
        (
            "process_start_time_seconds",
            Kind::Gauge,
            "Start time of the process since unix epoch in seconds.",
            started.map(|(after_boot, boot)| after_boot + boot),
        ),
    ];
    for (name, kind, help, value) in values {
        if let Some(value) = value {
            out.family(name, kind, help);
            out.sample(name, &[], value);
        }
    }
}

/// Reads when the system was started.
fn boot_seconds(stat: &str) -> Option<f64> {
    let mut lines = stat.lines();
    lines
        .find_map(|line| line.strip_prefix("btime "))?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_behind_a_name_that_looks_like_fields() {
        let stat = "7 (a) b) 1 2) S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 15 16 17 18 1000 4096 3 0";
        let mut out = Exposition::default();
        put_stat(&mut out, stat, boot_seconds("cpu 1\nbtime 1700000000\n"));
        let text = out.into_text();
        assert!(text.contains("process_cpu_seconds_total 3\n"), "{text}");
        assert!(text.contains("process_virtual_memory_bytes 4096\n"));
        assert!(text.contains("process_start_time_seconds 1700000010\n"));
        assert!(text.contains("process_resident_memory_bytes "));
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let mut out = Exposition::default();
        put_stat(&mut out, "", None);
        put_stat(&mut out, "1 (a) S 1", None);
        assert_eq!(out.into_text(), "");
    }
}
