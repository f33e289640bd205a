//! An agent with fewer rights than root: files it may not read, watches it may not have.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use tailwater_testkit::agent::Agent;
use tailwater_testkit::wait;
use tailwater_testkit::writer::LogWriter;

use crate::mount::privileged;
use crate::rig::{DEADLINE, Rig, stop};

/// `nobody`, on every Linux.
const NOBODY: &str = "65534";

/// Starts the agent as `nobody`, who can reach the rig and write into its data directory.
fn start_as_nobody(rig: &Rig) -> Agent {
    let directory = rig.directory.path();
    let binary = directory.join("tailwater");
    // Where the tests are built, `nobody` may have no way to.
    privileged(
        Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_tailwater"))
            .arg(&binary),
    );
    let data = directory.join("data");
    fs::create_dir(&data).unwrap();
    privileged(
        Command::new("chown")
            .arg(format!("{NOBODY}:{NOBODY}"))
            .arg(&data),
    );
    mode(directory, 0o755);
    let ids = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
    let command = [
        OsStr::new("setpriv"),
        OsStr::new(&ids[0]),
        OsStr::new(&ids[1]),
        OsStr::new("--clear-groups"),
        binary.as_os_str(),
    ];
    Agent::start_command(&command, &rig.config, directory)
        .expect("root and setpriv (util-linux) to run the agent as nobody")
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_that_may_not_be_read_is_named_and_counted_while_others_go_on_and_read_once_it_may() {
    let rig = Rig::new("", "");
    let mut open = rig.writer("open.log", 1);
    let mut closed = rig.writer("closed.log", 2);
    open.write_lines(500).unwrap();
    closed.write_lines(500).unwrap();
    mode(closed.path(), 0o600);
    let mut agent = start_as_nobody(&rig);
    rig.settle(&agent, &[open.written()]);
    let line = format!("no permission to read `{}`", closed.path().display());
    wait::until_ok(DEADLINE, "the file is named and counted", || {
        let is_counted = agent.metrics()?.sum("tailwater_files_refused_total", &[]) > 0.5;
        Ok(is_counted && agent.log().contains(&line))
    })
    .unwrap();
    assert!(agent.log().contains("such as `adm`"), "{}", agent.log());
    assert!(
        rig.sink
            .inspect(|state| state.tally().file(2).is_none_or(|tally| tally.end() == 0)),
        "it was readable: the agent is not nobody"
    );
    closed.write_lines(100).unwrap();
    open.write_lines(500).unwrap();
    rig.settle(&agent, &[open.written()]);
    mode(closed.path(), 0o644);
    let written = [open.written(), closed.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    stop(&mut agent);
}

#[test]
fn a_directory_that_may_not_be_listed_is_counted_while_others_go_on_and_read_once_it_may() {
    let mut rig = Rig::new("", "");
    let glob = rig.log("*.log").display().to_string();
    let deep = rig.log("**/*.log").display().to_string();
    rig.config = rig.config.replace(&glob, &deep);
    let directory = rig.log("closed");
    fs::create_dir(&directory).unwrap();
    let mut closed = rig.writer("closed/a.log", 2);
    closed.write_lines(500).unwrap();
    let mut open = rig.writer("open.log", 1);
    open.write_lines(500).unwrap();
    mode(&directory, 0o700);
    let mut agent = start_as_nobody(&rig);
    rig.settle(&agent, &[open.written()]);
    wait::until_ok(DEADLINE, "the directory is counted", || {
        Ok(agent.metrics()?.sum("tailwater_scan_errors_total", &[]) > 0.5)
    })
    .unwrap();
    open.write_lines(500).unwrap();
    rig.settle(&agent, &[open.written()]);
    mode(&directory, 0o755);
    let written = [open.written(), closed.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    stop(&mut agent);
}

#[test]
fn directories_over_the_watch_limit_are_polled_and_counted_and_every_line_arrives() {
    const WATCHES: u32 = 3;
    const DIRECTORIES: u32 = 8;
    let mut rig = Rig::new("", "");
    let glob = rig.log("*.log").display().to_string();
    let deep = rig.log("**/*.log").display().to_string();
    rig.config = rig.config.replace(&glob, &deep);
    let mut writers = Vec::new();
    for number in 0..DIRECTORIES {
        fs::create_dir(rig.log(&format!("d{number}"))).unwrap();
        let mut writer = rig.writer(&format!("d{number}/a.log"), number);
        writer.write_lines(100).unwrap();
        writers.push(writer);
    }
    // The limit of a user namespace holds for those in it, and not for the rest of the machine.
    let script =
        format!("echo {WATCHES} > /proc/sys/user/max_inotify_watches && exec \"$0\" \"$@\"");
    let command = [
        OsStr::new("unshare"),
        OsStr::new("--user"),
        OsStr::new("--map-root-user"),
        OsStr::new("sh"),
        OsStr::new("-c"),
        OsStr::new(&script),
        OsStr::new(env!("CARGO_BIN_EXE_tailwater")),
    ];
    let mut agent = Agent::start_command(&command, &rig.config, rig.directory.path())
        .expect("the right to make user namespaces, to limit the watches of one process");
    for round in 0..5 {
        for (number, writer) in (0..).zip(&mut writers) {
            // New files in directories without a watch are found too.
            if round == 2 {
                #[expect(clippy::disallowed_methods, reason = "a rotation as tools do it")]
                fs::rename(writer.path(), rig.log(&format!("d{number}/a.log.1"))).unwrap();
                writer.reopen().unwrap();
            }
            writer.write_lines(100).unwrap();
        }
        let written: Vec<_> = writers.iter().map(LogWriter::written).collect();
        rig.settle(&agent, &written);
    }
    let metrics = agent.metrics().unwrap();
    assert!(metrics.sum("tailwater_watch_limit_hits_total", &[]) > 0.5);
    assert!(metrics.sum("tailwater_directories_polled", &[]) > 0.5);
    assert!(metrics.sum("tailwater_directories_watched", &[]) > 0.5);
    let written: Vec<_> = writers.iter().map(LogWriter::written).collect();
    rig.verdict(&written).assert_exact_by_timestamp();
    stop(&mut agent);
}
