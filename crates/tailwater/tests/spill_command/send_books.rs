//! A spill below a data directory that is sent by hand: the agent goes on as if it had done so itself.

use tailwater_testkit::fault_sink::{Mode, Poison, Stored};

use crate::rig::{Rig, files, inspected, stop, text, wait_for};

#[test]
fn the_agent_reads_nothing_again_and_its_books_balance() {
    let rig = Rig::with_dead_sink("");
    let written = rig.spill_lines();
    rig.sink.set_fallback(Mode::commit());
    let out = rig.send(&[&text(&rig.spill())]).clean();
    assert!(out.starts_with("1000 records of "), "{out}");
    assert!(files(&rig.spill()).is_empty());
    let books = rig.run_to_the_end(&written);
    rig.verdict(&written).assert_exact();
    assert!((books.acked - 1000.0).abs() < 0.5, "{books}");
    assert!(books.dropped + books.rejected < 0.5, "{books}");
}

#[test]
fn frames_that_a_killed_agent_has_not_entered_are_not_read_again() {
    let rig = Rig::with_dead_sink("");
    let usual = rig.config.clone();
    let config = format!("{usual}checkpoint_interval: 1h\n");
    let rig = Rig { config, ..rig };
    let mut agent = rig.start();
    let mut writer = rig.writer("one.log", 1);
    writer.write_lines(1000).unwrap();
    wait_for(&agent, "it spills", |books| books.spilled > 500.0);
    agent.sigkill().unwrap();
    let waiting = inspected(&rig.spill())["records"].as_u64().unwrap();
    assert!(waiting > 500);
    rig.sink.set_fallback(Mode::commit());
    let out = rig.send(&[&text(&rig.spill())]).clean();
    assert!(out.starts_with(&format!("{waiting} records of ")), "{out}");
    let written = [writer.written()];
    // What the next one spills for a moment it gives back at a checkpoint.
    let rig = Rig {
        config: usual,
        ..rig
    };
    let books = rig.run_to_the_end(&written);
    rig.verdict(&written).assert_exact();
    assert!((books.acked - 1000.0).abs() < 0.5, "{books}");
}

#[test]
fn what_is_refused_stays_spilled_until_the_agent_makes_it_a_dead_letter() {
    let rig = Rig::with_dead_sink("");
    let mut agent = rig.start();
    let mut writer = rig.writer("one.log", 1);
    writer.write_lines(300).unwrap();
    rig.write_poison("one.log", "x");
    writer.write_lines(300).unwrap();
    wait_for(&agent, "all is read", |books| books.read > 600.5);
    stop(&mut agent);
    rig.sink.script(|script| {
        script.fallback = Mode::commit();
        script.rules.poison = Some(Poison {
            substring: b"POISON".to_vec(),
            others: Stored::Nothing,
        });
    });
    let errors = rig.send(&[&text(&rig.spill())]).failed();
    assert!(errors.contains("1 record refused again"), "{errors}");
    let report = inspected(&rig.spill());
    assert_eq!(
        (&report["records"], &report["lost_frames"]),
        (&1.into(), &0.into())
    );
    let written = [writer.written()];
    let books = rig.run_to_the_end(&written);
    rig.verdict(&written).assert_exact();
    assert!((books.acked - 600.0).abs() < 0.5, "{books}");
    assert!((books.rejected - 1.0).abs() < 0.5, "{books}");
    assert!(books.dropped < 0.5, "{books}");
    assert!(files(&rig.spill()).is_empty());
    assert_eq!(inspected(&rig.dead_letters())["records"], 1);
}
