//! Small files that stand for huge ones.

use std::fs;
use std::process::Command;

use rustix::process::Signal;
use tailwater_testkit::wait;

use crate::rig::{DEADLINE, Rig, Running, pack};

/// Address space that the command may have.
const LIMIT_BYTES: u64 = 1 << 30;

/// Memory that it may really use. A debug build, with its stacks and the batches of one sink.
const MAX_PEAK_BYTES: u64 = 160 << 20;

/// Makes an archive of so many times 16 MiB of one byte.
fn bomb(rig: &Rig, byte: u8, times: usize) -> u64 {
    let part = rig.write("part", &vec![byte; 16 << 20]);
    pack("gzip", &[], &part);
    let member = fs::read(rig.log("part.gz")).unwrap();
    fs::remove_file(rig.log("part.gz")).unwrap();
    let bomb = rig.write("bomb.log.gz", &member.repeat(times));
    fs::metadata(bomb).unwrap().len()
}

/// Starts it under a limit of memory.
fn start(rig: &Rig) -> Running {
    let mut command = Command::new("bash");
    let limited = format!("ulimit -v {}; exec \"$0\" \"$@\"", LIMIT_BYTES / 1024);
    let (url, data_dir) = (rig.sink.url(), rig.data_dir());
    command
        .args(["-c", &limited, env!("CARGO_BIN_EXE_tailwater")])
        .args(["backfill", "--to", &url, "--json", "--data-dir"])
        .arg(data_dir)
        .arg(rig.log("bomb.log.gz"));
    Running::start(command, rig.directory.path())
}

/// Waits until a condition holds or it has ended; returns the most memory that it has used.
fn watch(running: &mut Running, mut is_over: impl FnMut() -> bool) -> u64 {
    let mut peak = 0;
    wait::until(DEADLINE, "it has come so far", || {
        peak = running.peak_bytes().max(peak);
        running.has_ended() || is_over()
    })
    .unwrap();
    peak
}

#[test]
fn a_line_of_a_gigabyte_is_cut_and_takes_no_memory() {
    let rig = Rig::new();
    let len = bomb(&rig, b'a', 64);
    assert!(len < 2 << 20, "{len}");
    let mut running = start(&rig);
    let peak = watch(&mut running, || false);
    let report = running.wait().assert_complete();
    assert_eq!(report["bytes_read"], 1_u64 << 30);
    assert_eq!(report["sinks"][0]["truncated_lines"], 1, "{report}");
    assert_eq!(rig.stored(), 1);
    assert!(peak < MAX_PEAK_BYTES, "{peak}");
}

/// A thousand million lines would take minutes: it is stopped among them, and knows how many are left.
#[test]
fn empty_lines_without_end_take_no_memory_and_are_counted() {
    let rig = Rig::counting();
    bomb(&rig, b'\n', 64);
    let mut running = start(&rig);
    let peak = watch(&mut running, || rig.stored() > 500_000);
    running.signal(Signal::TERM);
    let peak = watch(&mut running, || false).max(peak);
    let report = running.wait().assert_incomplete();
    let sink = &report["sinks"][0];
    let delivered = sink["delivered"].as_u64().unwrap();
    assert!(delivered > 500_000, "{report}");
    assert_eq!(sink["undelivered"], (1_u64 << 30) - delivered, "{report}");
    assert!(peak < MAX_PEAK_BYTES, "{peak}");
}
