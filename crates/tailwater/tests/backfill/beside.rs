//! Beside a running agent, on one data directory.

use std::path::Path;

use rustix::process::Signal;
use tailwater_testkit::agent::Agent;
use tailwater_testkit::client;
use tailwater_testkit::fault_sink::Mode;
use tailwater_testkit::metrics::{Metrics, books};
use tailwater_testkit::wait;

use crate::rig::{DEADLINE, Rig, pack, rename};

fn agent(rig: &Rig, config: &str) -> Agent {
    let text = std::fs::read_to_string(config).unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_tailwater"));
    Agent::start_binary(binary, &text, rig.directory.path()).unwrap()
}

#[test]
fn what_the_agent_follows_is_left_to_it_and_the_rest_is_delivered() {
    let rig = Rig::new();
    let mut old = rig.writer("old.log", 1);
    old.write_lines(1500).unwrap();
    pack("gzip", &[], &rig.log("old.log"));
    rename(&rig.log("old.log.gz"), &rig.log("app.log.3.gz"));
    let config = rig.config("");
    let mut live = rig.writer("app.log", 2);
    live.write_lines(800).unwrap();
    let mut agent = agent(&rig, &config);
    let has_all = |written| {
        rig.sink
            .wait_until(|state| state.has_all([&written]), DEADLINE)
    };
    assert!(has_all(live.written()), "{}", agent.log());
    // Rotated and compressed while the agent ran: it has delivered that too.
    rename(&rig.log("app.log"), &rig.log("app.log.1"));
    live.reopen().unwrap();
    live.write_lines(100).unwrap();
    assert!(has_all(live.written()), "{}", agent.log());
    // What is delivered and not yet stored would be sent again, as after a crash.
    let read = [rig.log("app.log"), rig.log("app.log.1")].map(|path| path.metadata().unwrap());
    let read: u64 = read.iter().map(std::fs::Metadata::len).sum();
    let is_stored = || rig.positions().iter().sum::<u64>() == read;
    wait::until(DEADLINE, "the agent's positions are stored", is_stored).unwrap();
    pack("zstd", &["--rm", "-q"], &rig.log("app.log.1"));

    let arguments = ["--config", &config, &rig.glob("app.log*")];
    let preview = rig.start_with(&[&arguments[..], &["--dry-run"]].concat());
    let preview = preview.wait();
    assert_eq!(preview.code, Some(0), "{}", preview.errors);
    assert!(preview.out.contains("1 file,"), "{}", preview.out);
    let report = rig.run_with(&arguments).assert_complete();
    let written = [old.written(), live.written()];
    rig.verdict(&written).assert_exact_by_timestamp();
    assert_eq!(report["files"]["skipped"], 2, "{report}");
    assert_eq!(report["files"]["whole"], 1, "{report}");
    // Streams of their own, so that Loki's window behind the newest line is theirs too.
    let labels = rig.sink.inspect(|state| {
        let label = |file: u32| {
            let entries = state.entries().iter();
            let is_of = |line: &[u8]| line.starts_with(format!("{file} ").as_bytes());
            let mut of_file = entries.filter(|entry| is_of(&entry.line));
            of_file.next().and_then(|entry| entry.label("backfill"))
        };
        [label(1), label(2)]
    });
    assert_eq!(labels, [Some("true".to_owned()), None]);
    assert!(agent.sigterm(DEADLINE).unwrap().success());
}

/// A copy that goes on where the agent was is nobody's: better some lines twice than any not at all.
#[test]
fn a_copy_with_lines_that_the_agent_has_not_read_is_sent() {
    let rig = Rig::new();
    let config = rig.config("");
    let mut live = rig.writer("app.log", 1);
    live.write_lines(800).unwrap();
    let mut agent = agent(&rig, &config);
    let has_all = |written| {
        rig.sink
            .wait_until(|state| state.has_all([&written]), DEADLINE)
    };
    assert!(has_all(live.written()), "{}", agent.log());
    assert!(agent.sigterm(DEADLINE).unwrap().success());
    // All that was read of it, and then more.
    std::fs::copy(rig.log("app.log"), rig.log("app.log.2")).unwrap();
    live.write_lines(100).unwrap();
    std::fs::copy(rig.log("app.log"), rig.log("app.log.1")).unwrap();
    std::fs::remove_file(rig.log("app.log")).unwrap();
    let arguments = ["--config", &config, &rig.glob("app.log*")];
    let report = rig.run_with(&arguments).assert_complete();
    rig.verdict(&[live.written()]).assert_at_least_once(800);
    assert_eq!(report["files"]["skipped"], 1, "{report}");
    assert_eq!(report["sinks"][0]["delivered"], 900, "{report}");
}

#[test]
fn a_second_backfill_on_one_data_directory_is_refused_and_disturbs_nothing() {
    let rig = Rig::new();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(1000).unwrap();
    rig.sink.set_fallback(Mode::status(503));
    let config = rig.config("");
    let arguments = ["--config", &config, "--listen", "127.0.0.1:0"];
    let first = rig.start_with(&arguments);
    let asked = |state: &tailwater_testkit::fault_sink::SinkState| !state.requests().is_empty();
    assert!(rig.sink.wait_until(asked, DEADLINE));
    let second = rig.run_with(&arguments);
    assert_eq!(second.code, Some(1));
    assert!(
        second.errors.contains("another backfill runs"),
        "{}",
        second.errors
    );
    // Its books can be scraped meanwhile.
    let address = std::fs::read_to_string(rig.data_dir().join("backfill/admin.addr")).unwrap();
    let scrape = || {
        let text = client::get(address.trim().parse()?, "/metrics")?.text();
        books(&Metrics::parse(&text)?)
    };
    wait::until_ok(DEADLINE, "everything is in flight", || {
        Ok(scrape()?.iter().any(|route| route.in_flight > 999.5))
    })
    .unwrap();
    rig.sink.set_fallback(Mode::commit());
    first.wait().assert_complete();
    rig.verdict(&[writer.written()]).assert_exact_by_timestamp();
}

#[test]
fn a_backfill_that_is_killed_leaves_no_lock() {
    let rig = Rig::new();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(100).unwrap();
    rig.sink.set_fallback(Mode::status(503));
    let running = rig.start(&[&rig.glob("a.log")]);
    let asked = |state: &tailwater_testkit::fault_sink::SinkState| !state.requests().is_empty();
    assert!(rig.sink.wait_until(asked, DEADLINE));
    running.signal(Signal::KILL);
    assert_eq!(running.wait().code, None);
    rig.sink.set_fallback(Mode::commit());
    rig.run(&[&rig.glob("a.log")]).assert_complete();
    rig.verdict(&[writer.written()])
        .assert_exact_without_repeats();
}
