//! Lines that belong together, over the ends of files.

use tailwater_stages::{MultilineConfig, StageConfig, Stages};

use crate::rig::{Rig, gzip, write};

fn grouping() -> Stages {
    let multiline = MultilineConfig {
        firstline: "^entry".to_owned(),
        heading: None,
        max_wait_time: Some("1ms".to_owned()),
        max_lines: Some(0),
    };
    Stages::compile(&[StageConfig::Multiline(multiline)]).unwrap()
}

fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.set_stages(grouping());
    rig
}

#[tokio::test]
async fn a_group_goes_on_in_the_next_file_and_ends_with_the_chain() {
    let rig = rig();
    write(&rig.path("a.2.gz"), gzip("entry 1\n  one\nentry 2\n"));
    write(&rig.path("a.1.gz"), gzip(""));
    write(&rig.path("a"), "  two\nentry 3\n  three");
    write(&rig.path("b"), "  none of a\n");
    rig.run(&[&["a.2.gz", "a.1.gz", "a"], &["b"]], 1).await;
    let expected = [
        "entry 1\n  one",
        "entry 2\n  two",
        "entry 3\n  three",
        "  none of a",
    ];
    assert_eq!(rig.lines(), expected);
}

#[tokio::test]
async fn a_group_does_not_go_on_past_what_is_missing() {
    let rig = rig();
    let damaged = gzip("entry 1\n  one\n");
    write(&rig.path("a.2.gz"), [damaged.as_slice(), b"words"].concat());
    write(&rig.path("a.1"), "  two\nentry 3\n");
    write(&rig.path("a"), "  three\n");
    rig.run(&[&["a.2.gz", "a.1", "gone", "a"]], 1).await;
    assert_eq!(
        rig.lines(),
        ["entry 1\n  one", "  two", "entry 3", "  three"]
    );
}

#[tokio::test]
async fn groups_that_were_in_flight_are_the_same_in_the_next_run() {
    let rig = rig();
    let entries = |from: usize, count: usize| -> String {
        let entries = (from..from + count)
            .map(|entry| format!("entry {entry} with some words\n  its second line\n"));
        entries.collect::<Vec<_>>().concat()
    };
    // The last entry of each file ends in the next one.
    write(
        &rig.path("a.3.gz"),
        gzip(format!("{}entry 900\n", entries(0, 300))),
    );
    write(
        &rig.path("a.2"),
        format!("  of 900\n{}entry 901\n", entries(300, 300)),
    );
    write(
        &rig.path("a.1.gz"),
        gzip(format!("  of 901\n{}", entries(600, 300))),
    );
    let chain = ["a.3.gz", "a.2", "a.1.gz"];
    for batches in [0, 1, 0, 2, 1, 0, 3] {
        let before = rig.stored().len();
        rig.run_until_hung(&[&chain], batches).await;
        assert!(rig.stored().len() > before);
    }
    rig.run(&[&chain], 1).await;
    let mut expected: Vec<String> = (0..900)
        .map(|entry| format!("entry {entry} with some words\n  its second line"))
        .collect();
    expected.insert(300, "entry 900\n  of 900".to_owned());
    expected.insert(601, "entry 901\n  of 901".to_owned());
    let lines = rig.lines();
    let differs = lines
        .iter()
        .zip(&expected)
        .find(|(line, wanted)| line != wanted);
    assert_eq!(differs, None);
    assert_eq!(lines.len(), expected.len());
}
