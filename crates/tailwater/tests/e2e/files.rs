//! Files as they come: many, new, odd, unreadable; and the admin server's word on them.

use std::process::{Command, Stdio};
use std::time::Duration;

use tailwater_testkit::agent::Agent;
use tailwater_testkit::fault_sink::SinkState;
use tailwater_testkit::{client, wait};

use crate::rig::{DEADLINE, Rig, stop, wait_settled};

#[test]
fn fifty_files_written_together_arrive_whole() {
    let rig = Rig::new("", "");
    let mut agent = rig.start();
    let mut writers: Vec<_> = (1..=50)
        .map(|file| rig.writer(&format!("{file}.log"), file))
        .collect();
    for _ in 0..20 {
        writers
            .iter_mut()
            .for_each(|writer| writer.write_lines(20).unwrap());
    }
    let written: Vec<_> = writers
        .iter()
        .map(tailwater_testkit::writer::LogWriter::written)
        .collect();
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    stop(&mut agent);
}

#[test]
fn a_file_deleted_with_unread_lines_is_read_to_its_end() {
    let mut rig = Rig::new("", "");
    rig.config = rig.config.replace("max_bytes: 64KiB", "max_bytes: 16KiB");
    rig.config.push_str("    queue: { max_bytes: 16KiB }\n");
    let port = rig.sink.port();
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(100).unwrap();
    rig.settle(&agent, &[writer.written()]);
    rig.sink.stop();
    writer.write_lines(5000).unwrap();
    std::fs::remove_file(rig.log("a.log")).unwrap();
    rig.sink.start_at(port).unwrap();
    let written = [writer.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    stop(&mut agent);
}

#[test]
fn the_status_names_files_with_identity_offset_size_and_lag() {
    let rig = Rig::new("", "");
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(10).unwrap();
    rig.settle(&agent, &[writer.written()]);
    let status = agent.status().unwrap();
    let file = &status["files"][0];
    let len = std::fs::metadata(rig.log("a.log")).unwrap().len();
    assert_eq!(file["offset"], len);
    assert_eq!(file["size_bytes"], len);
    assert_eq!(file["lag_bytes"], 0);
    assert!(file["identity"]["inode"].as_u64().unwrap() > 0);
    assert_eq!(status["books"][0]["acked_records"], 10);
    for path in ["/", "/healthz", "/ready"] {
        assert_eq!(
            client::get(agent.admin(), path).unwrap().status,
            200,
            "{path}"
        );
    }
    rig.verdict(&[writer.written()]).assert_exact_by_timestamp();
    stop(&mut agent);
}

#[test]
fn the_metrics_are_clean_to_promtool() {
    let rig = Rig::new("", "");
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(10).unwrap();
    rig.settle(&agent, &[writer.written()]);
    let text = client::get(agent.admin(), "/metrics").unwrap().body;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there: `tests/install` installs it");
    std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), text.as_ref()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
    rig.verdict(&[writer.written()]).assert_exact_by_timestamp();
    stop(&mut agent);
}

#[test]
fn a_directory_and_a_fifo_that_match_hold_up_nobody() {
    let rig = Rig::new("", "");
    std::fs::create_dir(rig.log("dir.log")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(rig.log("fifo.log"))
            .status()
            .unwrap()
            .success()
    );
    std::os::unix::fs::symlink("/etc/passwd", rig.log("link.log")).unwrap();
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(100).unwrap();
    let written = [writer.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    wait::until(DEADLINE, "the link is refused", || {
        agent.log().contains("outside_roots")
    })
    .unwrap();
    stop(&mut agent);
}

#[test]
fn tail_follows_files_to_the_terminal_without_a_configuration() {
    let rig = Rig::new("", "");
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(5).unwrap();
    let output = rig.directory.path().join("terminal");
    let terminal = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&output)
        .unwrap();
    let mut tail = Command::new(env!("CARGO_BIN_EXE_tailwater"))
        .args(["tail", "--from-beginning"])
        .arg(rig.log("*.log"))
        .stdout(terminal)
        .spawn()
        .unwrap();
    let expected = std::fs::read_to_string(rig.log("a.log")).unwrap();
    let shown = || std::fs::read_to_string(&output).unwrap_or_default();
    wait::until(DEADLINE, "the lines are shown", || shown() == expected).unwrap();
    terminate(&tail);
    assert!(tail.wait().unwrap().success());
}

#[test]
fn tail_delivers_to_a_loki_without_a_configuration() {
    let rig = Rig::new("", "");
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(50).unwrap();
    let mut tail = Command::new(env!("CARGO_BIN_EXE_tailwater"))
        .args([
            "tail",
            "--from-beginning",
            "--label",
            "job=tail",
            "--to",
            &rig.sink.url(),
        ])
        .arg(rig.log("*.log"))
        .spawn()
        .unwrap();
    let written = [writer.written()];
    assert!(
        rig.sink
            .wait_until(|state| state.has_all(&written), DEADLINE)
    );
    terminate(&tail);
    assert!(tail.wait().unwrap().success());
    rig.verdict(&written).assert_exact_by_timestamp();
}

#[test]
fn two_sinks_get_every_line_and_one_that_is_down_does_not_hold_up_the_other() {
    let mut rig = Rig::new("    sinks: [loki, copy]\n", "");
    let copy = rig.directory.path().join("copy.txt");
    let block =
        "  copy:\n    file: { path: \"COPY\", format: text }\n    batch: { max_wait: 50ms }\n";
    rig.config
        .push_str(&block.replace("COPY", &copy.display().to_string()));
    let port = rig.sink.port();
    rig.sink.stop();
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(2000).unwrap();
    let expected = std::fs::read(rig.log("a.log")).unwrap();
    wait::until(DEADLINE, "the file sink has every line", || {
        std::fs::read(&copy).unwrap_or_default() == expected
    })
    .unwrap();
    rig.sink.start_at(port).unwrap();
    let written = [writer.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    wait_settled(&agent);
    stop(&mut agent);
}

fn terminate(child: &std::process::Child) {
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
}

/// A new file's first line is there within a second, found by an event and not by a rescan.
#[test]
fn the_first_line_of_a_new_file_arrives_within_a_second() {
    let rig = Rig::new("", "");
    let mut agent = rig.start();
    let mut writers = Vec::new();
    for file in 1..=10 {
        let mut writer = rig.writer(&format!("new{file}.log"), file);
        writer.write_lines(1).unwrap();
        let written = [writer.written()];
        assert!(
            rig.sink
                .wait_until(|state| state.has_all(&written), Duration::from_secs(1))
        );
        writers.push(writer);
    }
    let written: Vec<_> = writers
        .iter()
        .map(tailwater_testkit::writer::LogWriter::written)
        .collect();
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    stop(&mut agent);
}

/// Positions move over bytes that are no record; a backend refuses a push without one.
#[test]
fn bytes_that_are_only_skipped_move_the_position_and_are_not_sent() {
    let rig = Rig::new("    max_line_bytes: 64KiB\n", "");
    let path = rig.log("a.log");
    let append = |bytes: &[u8]| {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.create(true).append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
    };
    let skipped = |agent: &Agent| {
        let metrics = agent.metrics().unwrap();
        metrics.sum("tailwater_skipped_bytes_total", &[])
    };
    append(&b"x".repeat(200_000));
    let mut agent = rig.start();
    let stored = SinkState::committed_entries;
    assert!(rig.sink.wait_until(|state| stored(state) == 1, DEADLINE));
    let before = skipped(&agent);
    append(&b"y".repeat(200_000));
    wait::until(DEADLINE, "the rest of the line is skipped", || {
        skipped(&agent) > before + 199_999.5
    })
    .unwrap();
    wait::until_ok(DEADLINE, "the position is at the end", || {
        let response = client::get(agent.admin(), "/api/v1/status")?;
        let status: serde_json::Value = serde_json::from_slice(&response.body)?;
        Ok(status
            .pointer("/files/0/offset")
            .and_then(serde_json::Value::as_u64)
            == Some(400_000))
    })
    .unwrap();
    let is_empty = |state: &SinkState| state.requests().iter().any(|sent| sent.entries == 0);
    assert!(!rig.sink.inspect(is_empty), "an empty push was sent");
    append(b"\nnext\n");
    assert!(rig.sink.wait_until(|state| stored(state) == 2, DEADLINE));
    wait_settled(&agent);
    stop(&mut agent);
}
