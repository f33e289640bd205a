//! Groups of lines that a rotation cuts in two: in flight when the agent is killed, they are sent again as
//! they were.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use tailwater_testkit::agent::Agent;
use tailwater_testkit::fault_sink::{Mode, SinkState};
use tailwater_testkit::metrics::books;
use tailwater_testkit::wait;

use crate::rig::{DEADLINE, Rig, stop, wait_settled};
use crate::stages::{append, assert_lines, count, wait_lines};

/// No group ends with time.
const MULTILINE: &str =
    "    stages: [ { multiline: { firstline: '^START', max_wait_time: 1h } } ]\n";

const CRI: &str = "    stages: [ { cri: {} } ]\n";

#[expect(
    clippy::disallowed_methods,
    reason = "a log rotation renames without syncing"
)]
fn rename(from: &Path, to: &Path) {
    std::fs::rename(from, to).unwrap();
}

/// Renames a log to its first generation, after the ones that there are.
fn rotate(rig: &Rig, name: &str, generations: usize) {
    for generation in (1..=generations).rev() {
        let older = rig.log(&format!("{name}.{generation}"));
        let newer = match generation {
            1 => rig.log(name),
            _ => rig.log(&format!("{name}.{}", generation - 1)),
        };
        rename(&newer, &older);
    }
}

/// A record as a backend gets it: stream, time and line.
type Sent = (String, i64, String);

/// What each request after the first ones brought.
fn bodies(state: &SinkState, first: u64) -> Vec<Vec<Sent>> {
    let of_request = |number: u64| {
        let entries = state.entries().iter();
        let entries = entries.filter(|entry| entry.request == number);
        let sent = entries.map(|entry| {
            let line = String::from_utf8(entry.line.clone()).unwrap();
            (entry.labels.to_string(), entry.timestamp_ns, line)
        });
        sent.collect::<Vec<Sent>>()
    };
    let requests = state.requests().iter().map(|request| request.number);
    let bodies = requests.filter(|number| *number >= first).map(of_request);
    bodies.filter(|body| !body.is_empty()).collect()
}

/// A log whose generations are written while no agent runs.
struct Log {
    rig: Rig,
    /// Requests that delivered what came first.
    delivered: u64,
}

impl Log {
    /// Has the first lines delivered, one of them a record; what is open behind it is not sent at the stop.
    fn new(stages: &str, first: &str, line: &str) -> Self {
        let rig = Rig::new(stages, "");
        append(&rig.log("a.log"), first);
        let mut agent = rig.start();
        wait_lines(&rig, &agent, &[line]);
        stop(&mut agent);
        let delivered = rig.sink.inspect(|state| state.requests().len());
        let delivered = u64::try_from(delivered).unwrap();
        Self { rig, delivered }
    }

    /// Starts an agent whose sink never answers, and kills it once it has sent these lines.
    fn die_in_flight(&self, lines: &[&str]) {
        self.rig.sink.set_fallback(Mode::commit_then_hang());
        let count = |state: &SinkState| bodies(state, self.delivered).len();
        let before = self.rig.sink.inspect(count);
        let mut agent = self.rig.start();
        let has_sent = |state: &SinkState| count(state) > before;
        assert!(
            self.rig.sink.wait_until(has_sent, DEADLINE),
            "{}",
            agent.log()
        );
        wait_lines(&self.rig, &agent, lines);
        agent.sigkill().unwrap();
    }

    /// Starts an agent whose sink answers; waits until it has sent all again.
    fn recover(&self) -> Agent {
        self.rig.sink.set_fallback(Mode::commit());
        let agent = self.rig.start();
        wait::until(DEADLINE, "what was in flight is acked", || {
            let metrics = agent.metrics().unwrap();
            metrics.sum("tailwater_acked_records_total", &[]) > 1.5
        })
        .unwrap_or_else(|error| panic!("{error}\n{}", agent.log()));
        wait_settled(&agent);
        agent
    }

    /// Asserts that all requests since brought the same bytes, and that just these lines are stored.
    #[track_caller]
    fn assert_same(&self, agent: &mut Agent, lines: &[&str]) {
        let bodies = self.rig.sink.inspect(|state| bodies(state, self.delivered));
        let (first, again) = bodies.split_first().unwrap();
        assert!(!again.is_empty(), "nothing was sent again: {bodies:#?}");
        for body in again {
            assert_eq!(body, first, "{}", agent.log());
        }
        assert_lines(&self.rig, lines);
        for route in books(&agent.metrics().unwrap()).unwrap() {
            assert!(route.is_balanced(), "{route:?}");
        }
        stop(agent);
    }
}

#[test]
fn a_group_over_two_files_that_was_in_flight_is_the_same_again() {
    let first = "START one\nSTART two\n";
    let log = Log::new(MULTILINE, first, "START one");
    append(&log.rig.log("a.log"), "  before\n");
    rotate(&log.rig, "a.log", 1);
    append(
        &log.rig.log("a.log"),
        "  behind\nSTART three\n  and more\nSTART four\n",
    );
    let two = "START two\n  before\n  behind";
    let sent = [two, "START three\n  and more"];
    log.die_in_flight(&sent);
    log.die_in_flight(&sent);
    let mut agent = log.recover();
    log.assert_same(&mut agent, &["START one", sent[0], sent[1]]);
}

#[test]
fn a_group_over_three_files_that_was_in_flight_is_the_same_again() {
    let first = "START one\nSTART two\n";
    let log = Log::new(MULTILINE, first, "START one");
    rotate(&log.rig, "a.log", 1);
    append(&log.rig.log("a.log"), "  in between\n");
    rotate(&log.rig, "a.log", 2);
    append(&log.rig.log("a.log"), "  behind\nSTART three\nSTART four\n");
    let sent = ["START two\n  in between\n  behind", "START three"];
    log.die_in_flight(&sent);
    let mut agent = log.recover();
    log.assert_same(&mut agent, &["START one", sent[0], sent[1]]);
}

#[test]
fn a_group_that_ended_with_its_second_file_is_the_same_again() {
    let first = "2026-01-01T00:00:00Z stdout F whole\n";
    let log = Log::new(CRI, first, "whole");
    append(
        &log.rig.log("a.log"),
        "2026-01-01T00:00:01Z stdout P one \n",
    );
    rotate(&log.rig, "a.log", 1);
    append(&log.rig.log("a.log"), "2026-01-01T00:00:02Z stdout P two\n");
    rotate(&log.rig, "a.log", 2);
    log.die_in_flight(&["one two"]);
    let mut agent = log.recover();
    log.assert_same(&mut agent, &["whole", "one two"]);
}

#[test]
fn groups_of_two_streams_over_two_files_are_the_same_again() {
    let first = "2026-01-01T00:00:00Z stdout F whole\n";
    let log = Log::new(CRI, first, "whole");
    append(
        &log.rig.log("a.log"),
        "2026-01-01T00:00:01Z stdout P out one \n2026-01-01T00:00:01Z stderr P err one \n",
    );
    rotate(&log.rig, "a.log", 1);
    append(
        &log.rig.log("a.log"),
        "2026-01-01T00:00:02Z stdout F out two\n\
         2026-01-01T00:00:02Z stdout F alone\n\
         2026-01-01T00:00:02Z stderr F err two\n",
    );
    let sent = ["out one out two", "alone", "err one err two"];
    log.die_in_flight(&sent);
    let mut agent = log.recover();
    log.assert_same(&mut agent, &["whole", sent[0], sent[1], sent[2]]);
}

#[test]
fn a_group_whose_first_file_is_truncated_is_sent_as_far_as_it_goes() {
    let rig = Rig::new(CRI, "");
    let path = rig.log("a.log");
    append(
        &path,
        "2026-01-01T00:00:00Z stdout F whole\n2026-01-01T00:00:01Z stdout P one \n",
    );
    let mut agent = rig.start();
    wait_lines(&rig, &agent, &["whole"]);
    let rotated = rig.log("a.log.1");
    rename(&path, &rotated);
    append(&path, "2026-01-01T00:00:02Z stdout P two \n");
    let has_read = |lines: f64| {
        wait::until(DEADLINE, "the lines are read", || {
            count(&agent, "tailwater_read_lines_total") > lines - 0.5
        })
        .unwrap();
    };
    has_read(3.0);
    std::fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&rotated)
        .unwrap();
    append(&rotated, "2026-01-01T00:00:03Z stdout F other\n");
    wait_lines(&rig, &agent, &["whole", "one two ", "other"]);
    append(&path, "2026-01-01T00:00:04Z stdout F three\n");
    let expected = ["whole", "one two ", "other", "three"];
    wait_lines(&rig, &agent, &expected);
    wait_settled(&agent);
    assert_lines(&rig, &expected);
    stop(&mut agent);
}

/// Kills at random moments, and rotates in between, wherever the groups of several files are.
#[test]
fn groups_over_many_files_survive_kills_whole() {
    let mut rig = Rig::new(MULTILINE, "");
    // With more, what is acked before what comes before it is sent again in part.
    let batch = "    batch:";
    rig.config = rig
        .config
        .replace(batch, &format!("    max_in_flight: 1\n{batch}"));
    let mut groups: Vec<Vec<String>> = vec![Vec::new(); 3];
    let mut generations = [0_usize; 3];
    let mut seed = 0x51ed_270b_4f6c_a1d3_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % below
    };
    let name = |file: usize| format!("{file}.log");
    for round in 0..12 {
        for (file, generations) in generations.iter_mut().enumerate() {
            if rig.log(&name(file)).exists() && random(3) > 0 {
                *generations += 1;
                rotate(&rig, &name(file), *generations);
                // As logrotate does: a group does not wait for a file that may never come.
                append(&rig.log(&name(file)), "");
            }
        }
        let mut agent = rig.start();
        for step in 0..40 {
            let file = usize::try_from(random(3)).unwrap();
            let open = groups[file].last_mut().filter(|_| random(3) > 0);
            let line = if let Some(group) = open {
                let line = format!("  {round} {step}");
                write!(group, "\n{line}").unwrap();
                line
            } else {
                let line = format!("START {file} {round} {step} {}", "x".repeat(300));
                groups[file].push(line.clone());
                line
            };
            append(&rig.log(&name(file)), &format!("{line}\n"));
        }
        agent.run_for(Duration::from_millis(random(600))).unwrap();
        agent.sigkill().unwrap();
    }
    let mut agent = rig.start();
    (0..3).for_each(|file| append(&rig.log(&name(file)), "START end\n"));
    let groups = groups.concat();
    let expected: Vec<&str> = groups.iter().map(String::as_str).collect();
    wait_lines(&rig, &agent, &expected);
    wait_settled(&agent);
    assert_lines(&rig, &expected);
    for route in books(&agent.metrics().unwrap()).unwrap() {
        assert!(route.is_balanced(), "{route:?}");
    }
    stop(&mut agent);
}
