//! The agent as a child, with a stand-in for its binary: what is tested is the child's keeper.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, also outside of #[test] functions"
)]

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tailwater_testkit::agent::Agent;
use tailwater_testkit::fault_sink::FaultSink;

const DEADLINE: Duration = Duration::from_secs(20);
const CONFIG: &str = "data_dir: \"data\"\nserver: { listen: \"127.0.0.1:0\" }\n";

/// Writes a script that stands in for the agent, and returns the binary to start.
///
/// The agent is started as `<binary> run …` in its directory, which has a shell read the script
/// `run`. A script that is executed itself can be refused as busy, where another test's child was
/// forked while it was written.
fn stand_in(directory: &Path, script: &str) -> PathBuf {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true);
    let mut file = file.open(directory.join("run")).unwrap();
    writeln!(file, "{script}").unwrap();
    PathBuf::from("/bin/sh")
}

/// Says where the admin server is: the fault sink, that answers `/ready` and nothing else.
fn tell_address(admin: &FaultSink) -> String {
    format!("mkdir -p data; echo {} > data/admin.addr", admin.address())
}

#[test]
fn an_agent_is_ready_is_asked_to_end_and_has_its_status_and_log_read() {
    let directory = tempfile::tempdir().unwrap();
    let admin = FaultSink::start().unwrap();
    let tell_address = tell_address(&admin);
    let script = format!(
        "echo started \"$@\"; sleep 600 &\n\
         trap 'echo asked; kill $!; exit 7' TERM\n{tell_address}\nwait"
    );
    let binary = stand_in(directory.path(), &script);
    let mut agent = Agent::start_binary(&binary, CONFIG, directory.path()).unwrap();
    assert_eq!(agent.admin(), admin.address());
    let status = agent.sigterm(DEADLINE).unwrap();
    assert_eq!(status.code(), Some(7));
    let config = directory.path().join("tailwater.yaml");
    assert_eq!(std::fs::read_to_string(&config).unwrap(), CONFIG);
    let log = format!("started --config {}\nasked\n", config.display());
    assert_eq!(agent.log(), log);
    assert!(agent.sighup().is_err(), "it has ended");
}

#[test]
fn an_agent_is_killed_and_killed_when_it_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let admin = FaultSink::start().unwrap();
    let script = format!("{}\nexec sleep 600", tell_address(&admin));
    let binary = stand_in(directory.path(), &script);
    let mut agent = Agent::start_binary(&binary, CONFIG, directory.path()).unwrap();
    assert_eq!(agent.sigkill().unwrap().signal(), Some(9));

    let agent = Agent::start_binary(&binary, CONFIG, directory.path()).unwrap();
    let process = PathBuf::from(format!("/proc/{}", agent.id()));
    assert!(process.exists());
    drop(agent);
    assert!(!process.exists());
}

#[test]
fn an_agent_that_ends_at_once_is_an_error_that_shows_what_it_said() {
    let directory = tempfile::tempdir().unwrap();
    let binary = stand_in(directory.path(), "echo no such key: frob >&2; exit 78");
    let error = Agent::start_binary(&binary, CONFIG, directory.path()).unwrap_err();
    let shown = format!("{error:#}");
    assert!(shown.contains("no such key: frob"), "{shown}");
    assert!(shown.contains("78"), "{shown}");
}

#[test]
fn a_configuration_without_a_data_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let error = Agent::start_binary(Path::new("x"), "sources: {}\n", directory.path());
    assert!(error.unwrap_err().to_string().contains("data_dir"));
}

#[test]
fn what_the_admin_server_does_not_have_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let admin = FaultSink::start().unwrap();
    let script = format!("{}\nexec sleep 600", tell_address(&admin));
    let binary = stand_in(directory.path(), &script);
    let agent = Agent::start_binary(&binary, CONFIG, directory.path()).unwrap();
    let error = agent.metrics().unwrap_err().to_string();
    assert!(error.contains("/metrics was answered 404"), "{error}");
    assert!(agent.status().is_err());
}
