//! What `salvage` keeps of a damaged directory.

use std::collections::BTreeSet;

use tailwater_testkit::fault_sink::Mode;
use tailwater_testkit::line::{LineId, parse_line};

use crate::rig::{
    Rig, files, frame_offsets, inspected, only_books, spill, stop, text, wait_for, write_files,
};

fn exported_ids(directory: &str) -> BTreeSet<LineId> {
    let run = spill(&["export", directory]);
    let line = |text: &str| {
        let record: serde_json::Value = serde_json::from_str(text).unwrap();
        parse_line(record["line"].as_str().unwrap().as_bytes()).unwrap()
    };
    run.out.lines().map(line).collect()
}

#[test]
fn a_flipped_bit_costs_exactly_the_frame_that_it_hits() {
    let rig = Rig::with_dead_sink("");
    rig.spill_lines();
    let (name, bytes) = files(&rig.spill()).pop_first().unwrap();
    let frames = inspected(&rig.spill())["frames"].as_u64().unwrap();
    let offsets = frame_offsets(&bytes);
    let copy = rig.directory.path().join("copy");
    // In the magic, the length, the checksum, the number and the body; of the first, a middle and
    // the last frame.
    for frame in [0, offsets.len() / 2, offsets.len() - 2] {
        for place in [0, 4, 8, 14, 200] {
            let mut damaged = bytes.clone();
            damaged[offsets[frame] + place] ^= 1;
            write_files(&copy, &[(name.clone(), damaged)].into());
            let before = files(&copy);
            let to = rig.directory.path().join(format!("to-{frame}-{place}"));
            let run = spill(&["salvage", &text(&copy), "--to", &text(&to)]);
            let out = run.clean();
            assert!(
                out.contains("lost, damaged or missing: 1 batch\n"),
                "frame {frame}, byte {place}: {out}"
            );
            assert_eq!(inspected(&to)["frames"], frames - 1, "{frame} {place}");
            assert_eq!(files(&copy), before);
        }
    }
}

#[test]
fn what_was_salvaged_stands_in_for_the_directory_and_is_delivered() {
    let rig = Rig::with_dead_sink("");
    let written = rig.spill_lines();
    let all = exported_ids(&text(&rig.spill()));
    let mut damaged = files(&rig.spill());
    let (name, mut bytes) = damaged.pop_first().unwrap();
    let offsets = frame_offsets(&bytes);
    bytes[offsets[1] + 100] ^= 0x10;
    write_files(&rig.spill(), &[(name, bytes)].into());
    let to = rig.directory.path().join("whole");
    spill(&["salvage", &text(&rig.spill()), "--to", &text(&to)]).clean();
    let whole = exported_ids(&text(&to));
    let lost: Vec<&LineId> = all.difference(&whole).collect();
    assert!(!lost.is_empty() && whole.is_subset(&all));
    write_files(&rig.spill(), &files(&to));

    rig.sink.set_fallback(Mode::commit());
    let mut agent = rig.start();
    wait_for(&agent, "all is settled", |books| {
        books.in_flight + books.spilled < 0.5
    });
    let books = only_books(&agent.metrics().unwrap());
    assert_eq!(books.dropped.to_string(), lost.len().to_string(), "{books}");
    let verdict = rig.verdict(&written);
    assert_eq!(verdict.missing(), lost.len() as u64, "{verdict}");
    assert_eq!(verdict.duplicates(), 0, "{verdict}");
    stop(&mut agent);
}

#[test]
fn a_missing_segment_is_told_as_what_it_held() {
    let rig = Rig::with_dead_sink("");
    rig.spill_lines();
    let (name, bytes) = files(&rig.spill()).pop_first().unwrap();
    // A copy of the segment that says to begin ten numbers later.
    let later = name.replace("00001.seg", "00101.seg");
    let copy = rig.directory.path().join("copy");
    let mut moved = bytes.clone();
    moved.truncate(frame_offsets(&bytes)[0]);
    write_files(&copy, &[(name, bytes), (later, moved)].into());
    let frames = inspected(&rig.spill())["frames"].as_u64().unwrap();
    let report = inspected(&copy);
    assert_eq!(report["lost_frames"], 100 - frames);
    let to = rig.directory.path().join("to");
    let out = spill(&["salvage", &text(&copy), "--to", &text(&to)]).clean();
    let lost = format!("lost, damaged or missing: {} batches\n", 100 - frames);
    assert!(out.contains(&lost), "{out}");
}

#[test]
fn a_directory_that_holds_something_is_not_written_into() {
    let rig = Rig::with_dead_sink("");
    rig.spill_lines();
    let spilled = text(&rig.spill());
    let before = files(&rig.spill());
    let errors = spill(&["salvage", &spilled, "--to", &spilled]).failed();
    assert!(
        errors.contains("is not empty") && errors.contains("\n\nhint: name a directory"),
        "{errors}"
    );
    assert_eq!(files(&rig.spill()), before);
    let none = rig.directory.path().join("none");
    let errors = spill(&["salvage", &text(&none), "--to", &spilled]).failed();
    assert!(errors.contains("cannot look at"), "{errors}");
    assert!(!none.exists());
}
