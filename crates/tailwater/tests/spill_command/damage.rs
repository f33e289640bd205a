//! Directories that no agent would leave: nothing panics, and what cannot be read is told.

use std::collections::BTreeMap;
use std::path::Path;

use tailwater_durable::frame::{self, HEADER_BYTES};

use crate::rig::{Rig, files, frame_offsets, inspected, spill, text, write_files};

/// Returns the first segment of a spill that an agent has made, and its name.
fn segment() -> (Rig, String, Vec<u8>) {
    let rig = Rig::with_dead_sink("");
    rig.spill_lines();
    let (name, bytes) = files(&rig.spill()).pop_first().unwrap();
    (rig, name, bytes)
}

fn plant(directory: &Path, name: &str, bytes: &[u8]) {
    let files = BTreeMap::from([(name.to_owned(), bytes.to_vec())]);
    write_files(directory, &files);
}

/// Writes the header of a frame anew, for the payload that it has now.
fn seal(bytes: &mut [u8]) {
    let (header, payload) = bytes.split_first_chunk_mut::<HEADER_BYTES>().unwrap();
    let [.., kind] = *header;
    *header = frame::header(kind, payload).unwrap();
}

#[test]
fn a_torn_tail_is_told_and_the_rest_is_exported() {
    let (rig, name, bytes) = segment();
    let whole = inspected(&rig.spill());
    let copy = rig.directory.path().join("copy");
    plant(&copy, &name, &bytes[..bytes.len() - 5]);
    let report = inspected(&copy);
    assert_eq!(report["kind"], "directory");
    assert_eq!(
        report["frames"].as_u64().unwrap() + 1,
        whole["frames"].as_u64().unwrap()
    );
    assert!(report["torn_tail_bytes"].as_u64().unwrap() > 0);
    let lines = spill(&["export", &text(&copy)]).clean().lines().count();
    assert_eq!(report["records"], lines);
}

#[test]
fn damage_is_told_and_the_rest_is_exported() {
    let (rig, name, mut bytes) = segment();
    let whole = inspected(&rig.spill());
    let offsets = frame_offsets(&bytes);
    bytes[offsets[1] + 40] ^= 4;
    let copy = rig.directory.path().join("copy");
    plant(&copy, &name, &bytes);
    let report = inspected(&copy);
    assert_eq!(report["lost_frames"], 1);
    assert_eq!(report["damaged_stretches"], 1);
    assert_eq!(report["damaged_bytes"], offsets[2] - offsets[1]);
    assert_eq!(
        report["frames"].as_u64().unwrap() + 1,
        whole["frames"].as_u64().unwrap()
    );
    let run = spill(&["export", &text(&copy)]);
    assert_eq!(report["records"], run.out.lines().count());
    let errors = run.failed();
    assert!(errors.contains("not everything was exported"), "{errors}");
}

#[test]
fn a_segment_of_a_newer_version_is_told_and_left() {
    let (rig, name, mut bytes) = segment();
    let header_end = frame_offsets(&bytes)[0];
    bytes[13] = 9;
    seal(&mut bytes[..header_end]);
    let copy = rig.directory.path().join("copy");
    plant(&copy, &name, &bytes);
    let report = inspected(&copy);
    assert_eq!(
        (&report["newer_segments"], &report["frames"]),
        (&1.into(), &0.into())
    );
    assert_eq!(report["lost_frames"], 0);
    spill(&["export", &text(&copy)]).failed();
    let errors = rig.send(&[&text(&copy)]).failed();
    assert!(errors.contains("format version 9"), "{errors}");
    assert!(
        errors.contains("hint: run the version that wrote it"),
        "{errors}"
    );
    assert_eq!(files(&copy)[&name], bytes);
}

#[test]
fn a_batch_of_a_newer_version_is_told_and_left() {
    let (rig, name, mut bytes) = segment();
    let offsets = frame_offsets(&bytes);
    // The version of the envelope stands behind the number of the frame.
    bytes[offsets[0] + 21] = 9;
    seal(&mut bytes[offsets[0]..offsets[1]]);
    let copy = rig.directory.path().join("copy");
    plant(&copy, &name, &bytes);
    assert_eq!(inspected(&copy)["newer_batches"], 1);
    let run = spill(&["export", &text(&copy)]);
    assert!(run.out.lines().count() > 100);
    assert!(run.failed().contains("1 batch cannot be taken apart"));
    let errors = rig.send(&[&text(&copy)]).failed();
    assert!(errors.contains("format version 9"), "{errors}");
    assert_eq!(files(&copy)[&name], bytes);
}

#[test]
fn bytes_that_are_no_spill_never_panic() {
    let (rig, name, bytes) = segment();
    let copy = rig.directory.path().join("copy");
    let to = rig.directory.path().join("to");
    let mut state = 7_u64;
    let mut noise = Vec::new();
    for _ in 0..5000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        noise.push(state.to_be_bytes()[0]);
    }
    let mut middle = bytes.clone();
    middle.splice(2000..3000, noise.iter().copied());
    for content in [&[][..], &noise, &bytes[..20], &bytes[30..], &middle] {
        plant(&copy, &name, content);
        inspected(&copy);
        let directory = text(&copy);
        for arguments in [
            &["inspect", &directory][..],
            &["export", &directory],
            &["salvage", &directory, "--to", &text(&to)],
        ] {
            let run = spill(arguments);
            assert!(
                matches!(run.code, Some(0 | 1)) && !run.errors.contains("panicked"),
                "{run:?}"
            );
        }
        if to.exists() {
            std::fs::remove_dir_all(&to).unwrap();
        }
    }
}

#[test]
fn names_that_drive_a_terminal_are_escaped() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("spill/\u{1b}[2Jx")).unwrap();
    let out = spill(&["inspect", "--data-dir", &text(folder.path())]).clean();
    assert!(out.contains("spill of \\u{1b}[2Jx"), "{out}");
    assert!(!out.contains('\u{1b}'), "{out}");
}
