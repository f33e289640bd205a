//! How fast a source may be read.

use std::time::Duration;

use crate::setup::{assert_dropped_exactly, end, rig_with, wait_read, wait_settled};

fn limit(when_exceeded: &str) -> String {
    format!("    rate_limit: {{ lines_per_second: 500, when_exceeded: {when_exceeded} }}\n")
}

/// Three seconds' worth of lines at once: the first second's pass, the others wait for theirs. The
/// timestamps are the times of reading.
#[test]
fn a_source_over_its_rate_is_read_later_and_loses_nothing() {
    let rig = rig_with(&limit("block"), "", &[]);
    let agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(1500).unwrap();
    let written = [writer.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact();
    let took = rig.sink.inspect(|state| {
        let stamps = state.entries().iter().map(|entry| entry.timestamp_ns);
        stamps.clone().max().unwrap() - stamps.min().unwrap()
    });
    let took = Duration::from_nanos(u64::try_from(took).unwrap());
    assert!(took >= Duration::from_millis(1900), "read in {took:?}");
    end(agent);
}

#[test]
fn a_source_over_its_rate_drops_what_is_more_and_counts_it() {
    let rig = rig_with(&limit("drop"), "", &[]);
    let agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(5000).unwrap();
    let written = [writer.written()];
    wait_read(&agent, &written);
    wait_settled(&agent);
    let missing = assert_dropped_exactly(&rig, &agent, "rate_limited", &written).concat();
    assert!(missing[0] >= 500, "a second's worth was not let through");
    end(agent);
}

#[test]
fn bytes_are_limited_as_lines_are() {
    let keys = "    rate_limit: { bytes_per_second: 100KiB, when_exceeded: block }\n";
    let rig = rig_with(keys, "", &[]);
    let agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(1500).unwrap();
    let written = [writer.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact();
    let (bytes, took) = rig.sink.inspect(|state| {
        let entries = state.entries();
        let stamps = entries.iter().map(|entry| entry.timestamp_ns);
        let took = stamps.clone().max().unwrap() - stamps.min().unwrap();
        (
            entries.iter().map(|entry| entry.line.len()).sum::<usize>(),
            took,
        )
    });
    let seconds = u64::try_from(bytes).unwrap() * 1000 / (100 << 10);
    let took = Duration::from_nanos(u64::try_from(took).unwrap());
    // The first second's worth passes at once, and a line may be longer than what is left.
    let least = Duration::from_millis(seconds.saturating_sub(1100));
    assert!(took >= least, "{bytes} bytes were read in {took:?}");
    end(agent);
}
