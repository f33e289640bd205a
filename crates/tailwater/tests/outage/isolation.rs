//! One that is slow does not slow the others: sources, tenants and sinks have queues of their own.

use tailwater_testkit::agent::Agent;
use tailwater_testkit::fault_sink::{FaultSink, Mode, SinkState};
use tailwater_testkit::oracle::Verdict;
use tailwater_testkit::writer::Written;

use crate::rig::{DEADLINE, Rig};
use crate::setup::{
    MANY, assert_count, assert_dropped_exactly, bring_up, dropped, end, float, metric, rig,
    take_down, wait_books, wait_delivered, wait_settled, writer,
};

/// Adds a second source: the files in `logs/more`.
fn add_source(rig: &mut Rig, keys: &str) {
    let directory = rig.log("more");
    std::fs::create_dir(&directory).unwrap();
    let source = format!(
        "  more:\n    include: [\"{}/*.log\"]\n    labels: {{ job: more }}\n{keys}sinks:\n",
        directory.display()
    );
    rig.config = rig.config.replacen("sinks:\n", &source, 1);
}

fn read(agent: &Agent, source: &str) -> f64 {
    metric(agent, "tailwater_read_records_total", &[("source", source)])
}

#[test]
fn an_audit_log_blocks_while_debug_noise_for_the_same_sink_is_dropped() {
    let mut rig = rig(&["when_full: block"]);
    add_source(&mut rig, "    when_full: drop_newest\n");
    take_down(&rig);
    let agent = rig.start();
    let mut audit = writer(&rig, "audit.log", 1);
    let mut noise = writer(&rig, "more/noise.log", 2);
    audit.write_lines(MANY).unwrap();
    noise.write_lines(MANY).unwrap();
    let all = f64::from(u32::try_from(MANY).unwrap());
    wait_books(&agent, "all of the noise is read", |_| {
        read(&agent, "more") > all - 0.5
    });
    assert!(
        read(&agent, "logs") < all,
        "the audit log was not held back"
    );
    bring_up(&rig);
    let audit = [audit.written()];
    wait_delivered(&rig, &agent, &audit);
    let both = [audit[0], noise.written()];
    let missing = assert_dropped_exactly(&rig, &agent, "queue_full", &both);
    assert!(missing[0].is_empty(), "the audit log has lost lines");
    assert_count(
        "dropped of the audit log",
        metric(
            &agent,
            "tailwater_dropped_records_total",
            &[("source", "logs")],
        ),
        0,
    );
    end(agent);
}

#[test]
fn a_tenant_that_is_refused_does_not_hold_up_another() {
    let mut rig = rig(&["when_full: block"]);
    rig.config = rig.config.replacen(
        "    labels: { job: e2e }\n",
        "    labels: { job: e2e }\n    tenant: poor\n",
        1,
    );
    add_source(&mut rig, "    tenant: rich\n");
    rig.sink.script(|script| {
        let refused = Mode::too_many_requests("1");
        script.rules.tenants.insert("poor".into(), refused);
    });
    let agent = rig.start();
    let mut poor = writer(&rig, "a.log", 1);
    let mut rich = writer(&rig, "more/a.log", 2);
    poor.write_lines(MANY).unwrap();
    for _ in 0..4 {
        rich.write_lines(MANY / 4).unwrap();
        let written = rich.written();
        let has_all = |state: &SinkState| state.has_all(&[written]);
        assert!(rig.sink.wait_until(has_all, DEADLINE), "{}", agent.log());
    }
    let stored = rig.sink.inspect(|state| state.tally().frontier(1));
    assert_eq!(stored, 0, "the other tenant was not refused");
    rig.sink.script(|script| script.rules.tenants.clear());
    let written = [poor.written(), rich.written()];
    wait_delivered(&rig, &agent, &written);
    rig.verdict(&written).assert_exact();
    let of_tenant = |tenant: &str| {
        rig.sink.inspect(|state| {
            let entries = state.entries().iter();
            entries
                .filter(|entry| entry.tenant.as_deref() == Some(tenant))
                .count()
        })
    };
    assert_eq!(of_tenant("poor"), of_tenant("rich"));
    end(agent);
}

/// One of two sinks of the same files is down, with this policy: the other gets everything meanwhile.
fn one_of_two_sinks_down(policy: &str) -> (Rig, Agent, [Written; 1]) {
    let mut rig = rig(&["when_full: block"]);
    let dead = FaultSink::start().unwrap();
    dead.set_fallback(Mode::status(503));
    let block = rig.config.split_once("  loki:\n").unwrap().1.to_owned();
    let second = block
        .replace(&rig.sink.url(), &dead.url())
        .replace("when_full: block", policy);
    rig.config.extend(["  dead:\n", &second]);
    rig.config = rig.config.replacen(
        "    labels: { job: e2e }\n",
        "    labels: { job: e2e }\n    sinks: [loki, dead]\n",
        1,
    );
    let agent = rig.start();
    let mut writer = writer(&rig, "a.log", 1);
    for _ in 0..4 {
        writer.write_lines(MANY / 4).unwrap();
        let written = writer.written();
        let has_all = |state: &SinkState| state.has_all(&[written]);
        assert!(rig.sink.wait_until(has_all, DEADLINE), "{}", agent.log());
    }
    assert_eq!(dead.inspect(SinkState::committed_entries), 0);
    let written = [writer.written()];
    rig.verdict(&written).assert_exact();
    wait_books(&agent, "the dead sink's books are full", |books| {
        books
            .iter()
            .any(|route| route.sink == "dead" && route.in_flight + route.spilled > 0.5)
    });
    dead.set_fallback(Mode::commit());
    // Between two reads there may be nothing in flight.
    wait_books(&agent, "all is read for the dead sink", |books| {
        let mut routes = books.iter();
        routes.any(|route| route.sink == "dead" && route.read > float(MANY) - 0.5)
    });
    wait_settled(&agent);
    let of_dead = dead.inspect(|state| Verdict::new(&written, state));
    let missing = of_dead.missing();
    assert_count("dropped", dropped(&agent, "queue_full"), missing);
    of_dead.assert_exact_but_for(missing);
    let acked = |sink| metric(&agent, "tailwater_acked_records_total", &[("sink", sink)]);
    assert_count("delivered", acked("loki"), MANY);
    assert_count("delivered by the other", acked("dead"), MANY - missing);
    (rig, agent, written)
}

#[test]
fn a_dead_sink_that_blocks_does_not_hold_up_another_and_gets_its_lines_later() {
    let (_rig, agent, _) = one_of_two_sinks_down("when_full: block");
    assert_count("dropped", dropped(&agent, "queue_full"), 0);
    end(agent);
}

#[test]
fn a_dead_sink_that_drops_takes_nothing_from_another() {
    let (_rig, agent, _) = one_of_two_sinks_down("when_full: drop_oldest");
    assert!(dropped(&agent, "queue_full") > 0.5);
    end(agent);
}

#[test]
fn a_dead_sink_that_spills_does_not_hold_up_another_and_gets_its_lines_later() {
    let (rig, agent, _) = one_of_two_sinks_down("when_full: spill");
    assert_count("dropped", dropped(&agent, "queue_full"), 0);
    assert!(metric(&agent, "tailwater_spill_batches_total", &[("sink", "dead")]) > 0.5);
    crate::setup::wait_gone(&rig, &agent);
    end(agent);
}
