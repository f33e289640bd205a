//! What is sent again after a kill is what it was.

use std::time::Duration;

use tailwater_testkit::oracle::Verdict;
use tailwater_testkit::writer::{LogWriter, WriterOptions};

use crate::rig::{DEADLINE, Rig, Setup};

/// The file was found empty, so that its fingerprint says nothing, and nothing was made durable since:
/// only the bytes themselves tell that they are others. An inode that is reused looks the same.
#[test]
fn a_file_with_other_content_is_not_cut_where_batches_of_the_old_one_ended() {
    let setup = Setup {
        checkpoint_interval: Duration::from_secs(600),
        ..Setup::default()
    };
    let rig = Rig::new(&setup);
    let open = |file| {
        let path = rig.logs().join("a.log");
        LogWriter::open(path, file, WriterOptions::default()).unwrap()
    };
    let mut old = open(0);
    let mut agent = rig.start();
    old.write_lines(100).unwrap();
    let has_all = |written| {
        rig.sink
            .wait_until(|state| state.has_all(&[written]), DEADLINE)
    };
    assert!(has_all(old.written()));
    agent.sigkill().unwrap();
    std::fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(old.path())
        .unwrap();
    let mut new = open(1);
    new.write_lines(300).unwrap();
    let agent = rig.start();
    assert!(has_all(new.written()), "{}", agent.log());
    let written = [old.written(), new.written()];
    let verdict = rig.sink.inspect(|state| Verdict::new(&written, state));
    verdict.assert_exact_without_repeats();
}
