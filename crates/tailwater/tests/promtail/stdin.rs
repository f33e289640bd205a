//! `-stdin`: lines of a pipe.

use std::io::Write as _;
use std::process::{Command, Stdio};

use tailwater_testkit::fault_sink::Mode;
use tailwater_testkit::line::{LineId, push_line};
use tailwater_testkit::wait;
use tailwater_testkit::writer::Written;

use crate::rig::{DEADLINE, Rig, labels, texts};

/// Lines that the oracle knows, as a stream.
fn numbered(lines: u64) -> Vec<u8> {
    let mut all = Vec::new();
    for seq in 0..lines {
        push_line(&mut all, LineId { file: 1, seq }, 100);
        all.push(b'\n');
    }
    all
}

fn written(lines: u64) -> [Written; 1] {
    [Written {
        file: 1,
        acked: lines,
        attempted: lines,
    }]
}

fn url(rig: &Rig) -> String {
    format!("-client.url={}", rig.sink.url())
}

#[test]
fn every_line_of_the_standard_input_is_delivered_before_the_end() {
    let rig = Rig::new();
    let flags = [
        "-stdin",
        "-server.disable",
        &url(&rig),
        "-client.batch-size-bytes=20000",
    ];
    let output = rig.output(&flags, Some(&numbered(20_000)));
    assert!(output.status.success(), "{output:?}");
    let written = written(20_000);
    rig.verdict(&written).assert_exact_by_timestamp();
    let first = rig.entries().first().map(labels).unwrap();
    assert!(first.starts_with("{hostname=\""), "{first}");
    assert!(first.ends_with("\", job=\"stdin\"}"), "{first}");
}

#[test]
fn the_first_job_gives_its_labels_and_stages_and_empty_lines_are_left_out() {
    let rig = Rig::new();
    rig.configure(
        "scrape_configs:\n\
         - job_name: first\n  \
           pipeline_stages:\n  \
           - multiline: { firstline: '^\\[' }\n  \
           - labeldrop: [gone]\n  \
           static_configs:\n  \
           - labels: { job: one, gone: x, __path__: /nowhere/*.log }\n  \
           - labels: { host: two }\n\
         - job_name: second\n  \
           static_configs: [{ labels: { job: other, __path__: /nowhere/*.log } }]\n",
    );
    let input = b"[1\r\n more\r\n\n\r\n[2\n[3 without end";
    let output = rig.output(&["-stdin", "-config.file=promtail.yaml"], Some(input));
    assert!(output.status.success(), "{output:?}");
    let entries = rig.entries();
    assert_eq!(texts(&entries), ["[1\n more", "[2", "[3 without end"]);
    for entry in &entries {
        assert_eq!(labels(entry), r#"{host="two", job="one"}"#);
    }
    assert!(!rig.path("positions.yaml.tailwater").exists());
}

#[test]
fn a_dry_run_of_the_standard_input_prints_it() {
    let rig = Rig::new();
    let flags = ["--stdin", "--dry-run", "-server.disable", &url(&rig)];
    let output = rig.output(&flags, Some(b"one\n\ntwo"));
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.first(), Some(&"Clients configured:"));
    let ends: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.split_once("job=\"stdin\"}\t"))
        .map(|(_, line)| line)
        .collect();
    assert_eq!(ends, ["one", "two"], "{printed}");
    assert!(rig.entries().is_empty());
}

#[test]
fn a_sink_that_comes_late_gets_every_line_and_the_writer_waits_for_it() {
    let mut rig = Rig::new();
    let port = rig.sink.port();
    let url = url(&rig);
    rig.sink.stop();
    let flags = [
        "-stdin",
        "-server.disable",
        &url,
        "-client.max-backoff=1s",
        "-client.max-retries=0",
    ];
    let mut child = Command::new(rig.path("promtail"))
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines = 200_000;
    let input = numbered(lines);
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let progress = std::sync::Arc::clone(&sent);
    let writer = std::thread::spawn(move || {
        for piece in input.chunks(65_536) {
            stdin.write_all(piece).unwrap();
            progress.fetch_add(piece.len(), std::sync::atomic::Ordering::Relaxed);
        }
    });
    // What waits is bounded: the queue, a batch, the chunk, the pipe.
    let read = || sent.load(std::sync::atomic::Ordering::Relaxed);
    let mut last = 0;
    wait::until(DEADLINE, "the writer waits", || {
        let now = read();
        let is_still = now > 0 && std::mem::replace(&mut last, now) == now;
        is_still && now > 4 << 20
    })
    .unwrap();
    assert!(!writer.is_finished(), "{} bytes were read", read());
    rig.sink.start_at(port).unwrap();
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    rig.verdict(&written(lines)).assert_exact_by_timestamp();
}

#[test]
fn lines_that_are_refused_are_told_by_the_exit_status() {
    let rig = Rig::new();
    rig.sink.set_fallback(Mode::status(500));
    let flags = [
        "-stdin",
        "-server.disable",
        &url(&rig),
        "-client.max-retries=2",
        "-client.min-backoff=10ms",
        "-client.max-backoff=20ms",
    ];
    let output = rig.output(&flags, Some(b"one\ntwo\n"));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("2 lines of the standard input were not delivered"),
        "{told}"
    );
}

#[test]
fn a_stop_delivers_what_was_read() {
    let rig = Rig::new();
    let mut child = Command::new(rig.path("promtail"))
        .args([
            "-stdin",
            "-server.disable",
            &url(&rig),
            "-client.batch-wait=1h",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"one\ntwo\nno end").unwrap();
    // It has read them once the pipe is empty.
    wait::until(DEADLINE, "the pipe is read", || {
        rustix::io::ioctl_fionread(&stdin).unwrap() == 0
    })
    .unwrap();
    let id = child.id().to_string();
    assert!(Command::new("kill").arg(&id).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    assert_eq!(texts(&rig.entries()), ["one", "two", "no end"]);
}
