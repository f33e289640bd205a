//! File systems that go away, fail or hang under the logs: the other sources go on.

use std::fs;

use tailwater_testkit::agent::Agent;
use tailwater_testkit::wait;
use tailwater_testkit::writer::{LogWriter, WriterOptions};

use crate::mount::{LostBlocks, Mount, ext4_image, forget_cached, signal};
use crate::rig::{DEADLINE, Rig, stop};

/// A rig with a second source below `mounted`, and what must be there of it.
fn rig_with_mount(close_idle: &str) -> Rig {
    let mut rig = Rig::new("", "");
    let mounted = rig.directory.path().join("mounted");
    let source = format!(
        "  mounted:\n    include: [\"{}/*.log\"]\n    labels: {{ job: mounted }}\nsinks:\n",
        mounted.display()
    );
    rig.config = rig.config.replace("sinks:\n", &source).replace(
        "poll_interval: 50ms",
        &format!("poll_interval: 50ms, rescan_interval: 300ms, close_idle: {close_idle}"),
    );
    rig
}

fn health(agent: &Agent) -> u16 {
    tailwater_testkit::client::get(agent.admin(), "/healthz")
        .unwrap()
        .status
}

/// Waits until the agent has noticed that the mount is not there, or that it is.
#[track_caller]
fn wait_files(agent: &Agent, what: &str, metric: &str, least: f64) {
    wait::until_ok(DEADLINE, what, || {
        Ok(agent.metrics()?.sum(metric, &[]) > least)
    })
    .unwrap();
}

/// Takes the mount away while its files are followed, brings it back, and asserts that each line
/// arrived once.
fn loses_a_mount_and_gets_it_back(close_idle: &str, is_closed: bool) {
    let rig = rig_with_mount(close_idle);
    let below = rig.directory.path().join("below");
    let path = rig.directory.path().join("mounted");
    fs::create_dir(&below).unwrap();
    let mut mount = Mount::bind(&below, &path);
    let mut agent = rig.start();
    let mut local = rig.writer("a.log", 1);
    let open = |file| {
        let path = below.join("b.log");
        LogWriter::open(path, file, WriterOptions::default()).unwrap()
    };
    let mut mounted = open(2);
    local.write_lines(500).unwrap();
    mounted.write_lines(500).unwrap();
    rig.settle(&agent, &[local.written(), mounted.written()]);
    if is_closed {
        wait::until_ok(DEADLINE, "the files are closed", || {
            Ok(agent.metrics()?.sum("tailwater_files_open", &[]) < 0.5)
        })
        .unwrap();
    }
    mount.detach();
    wait_files(
        &agent,
        "the mount is missed",
        "tailwater_files_rotated_total",
        0.5,
    );
    mounted.write_lines(500).unwrap();
    local.write_lines(500).unwrap();
    rig.settle(&agent, &[local.written()]);
    assert_eq!(health(&agent), 200);
    let _mount = Mount::bind(&below, &path);
    local.write_lines(100).unwrap();
    mounted.write_lines(100).unwrap();
    let written = [local.written(), mounted.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    stop(&mut agent);
    let mut agent = rig.start();
    mounted.write_lines(10).unwrap();
    let written = [local.written(), mounted.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    stop(&mut agent);
}

#[test]
fn a_mount_that_is_lost_while_followed_and_comes_back_costs_no_line_and_repeats_none() {
    loses_a_mount_and_gets_it_back("5m", false);
}

#[test]
fn a_mount_that_is_lost_while_its_files_are_closed_and_comes_back_repeats_none() {
    loses_a_mount_and_gets_it_back("100ms", true);
}

#[test]
fn a_file_whose_device_fails_is_counted_while_others_go_on_and_read_once_it_can_be() {
    const KEPT_BYTES: u64 = 1 << 20;
    let rig = rig_with_mount("5m");
    let image = rig.directory.path().join("disk.img");
    ext4_image(&image, 16 << 20);
    let mount = Mount::image(&image, &rig.directory.path().join("mounted"));
    let path = mount.path().join("b.log");
    let mut agent = rig.start();
    let mut local = rig.writer("a.log", 1);
    let mut failing = LogWriter::open(&path, 2, WriterOptions::default()).unwrap();
    local.write_lines(500).unwrap();
    failing.write_lines(500).unwrap();
    rig.settle(&agent, &[local.written(), failing.written()]);

    // Nothing is read while the disk is being broken.
    signal("-STOP", agent.id());
    failing.write_lines(500).unwrap();
    let failing_written = failing.written();
    drop(failing);
    forget_cached(&path);
    mount.remount("ro");
    let blocks = LostBlocks::take(&image, KEPT_BYTES);
    let error = fs::read(&path).unwrap_err();
    assert_eq!(
        error.raw_os_error(),
        Some(rustix::io::Errno::IO.raw_os_error()),
        "the disk is not broken: {error}"
    );
    signal("-CONT", agent.id());

    wait_files(
        &agent,
        "the error is counted",
        "tailwater_read_errors_total",
        2.5,
    );
    local.write_lines(500).unwrap();
    rig.settle(&agent, &[local.written()]);
    assert_eq!(health(&agent), 200);
    blocks.put_back();
    let written = [local.written(), failing_written];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    stop(&mut agent);
}
