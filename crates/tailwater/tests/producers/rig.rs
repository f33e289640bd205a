//! What the tests share: a directory, a sink, an agent that reads logs by presets, and what it made of
//! them.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use tailwater_testkit::agent::Agent;
use tailwater_testkit::fault_sink::{Entry, FaultSink, SinkState};
use tailwater_testkit::metrics::books;
use tailwater_testkit::wait;

/// Longest time that anything may take to arrive; generous, for busy machines.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A directory for a server and its logs, and a sink.
pub(crate) struct Rig {
    directory: tempfile::TempDir,
    sink: FaultSink,
    /// The zone of the server, and of the agent beside it.
    pub(crate) zone: &'static str,
    started_at: jiff::Timestamp,
}

/// What arrived of an entry.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) line: String,
    pub(crate) time: jiff::Timestamp,
    pub(crate) severity: Option<String>,
}

impl Rig {
    pub(crate) fn new(zone: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Servers that refuse to run as root get users of their own.
        let everyone = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), everyone).unwrap();
        Self {
            directory,
            sink: FaultSink::start().unwrap(),
            zone,
            started_at: jiff::Timestamp::now(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a folder of the directory.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir(&path).unwrap();
        path
    }

    /// Starts an agent that reads each file by a preset; the file's name is the label `file`.
    pub(crate) fn start(&self, files: &[(&str, &Path)]) -> Agent {
        let mut sources = String::new();
        for (index, (preset, file)) in files.iter().enumerate() {
            let name = file.file_name().unwrap().display();
            let path = file.display();
            writeln!(
                sources,
                "  s{index}:\n    include: [\"{path}\"]\n    preset: {preset}\n    severity: structured_metadata\n    labels: {{ file: \"{name}\" }}"
            )
            .unwrap();
        }
        let config = format!(
            "data_dir: data\nserver: {{ listen: \"127.0.0.1:0\" }}\ntailing: {{ poll_interval: 50ms }}\n\
             sources:\n{sources}\
             sinks:\n  loki:\n    loki: {{ url: \"{url}\", timeout: 2s }}\n    batch: {{ max_wait: 50ms }}\n",
            url = self.sink.url(),
        );
        let binary = OsStr::new(env!("CARGO_BIN_EXE_tailwater"));
        let zone = [("TZ", self.zone)];
        let mut agent = Agent::launch(&[binary], &zone, &config, self.directory.path()).unwrap();
        agent.wait_ready().unwrap();
        agent
    }

    /// Returns what arrived of a file, in the order in which it stands there.
    pub(crate) fn arrived(&self, file: &Path) -> Vec<Arrived> {
        let name = file.file_name().unwrap().to_str().unwrap();
        let is_of_file = |entry: &&Entry| entry.label("file").as_deref() == Some(name);
        self.sink.inspect(|state| {
            let entries = state.entries().iter().filter(is_of_file);
            entries.map(Arrived::of).collect()
        })
    }

    /// Waits until all of a file has arrived, every line of it in order and nothing else, and returns its
    /// entries. `is_left_out` says of which lines nothing is to be seen in an entry.
    pub(crate) fn wait_whole(
        &self,
        agent: &Agent,
        file: &Path,
        is_left_out: impl Fn(&str) -> bool,
    ) -> Vec<Arrived> {
        let text = read(file);
        let expected: Vec<&str> = text.lines().filter(|line| !is_left_out(line)).collect();
        let mut arrived = Vec::new();
        let is_whole = wait::until(DEADLINE, "all of the file has arrived", || {
            arrived = self.arrived(file);
            lines(&arrived) == expected
        });
        if let Err(error) = is_whole {
            panic!(
                "{error}: {}\n{text}\n----\n{arrived:#?}\n{}",
                file.display(),
                agent.log()
            );
        }
        arrived
    }

    /// Asserts that the times lie within the test, to the second.
    #[track_caller]
    pub(crate) fn assert_now(&self, arrived: &[Arrived]) {
        let from = self.started_at.as_second();
        let to = jiff::Timestamp::now().as_second();
        for entry in arrived {
            let second = entry.time.as_second();
            assert!((from..=to).contains(&second), "{entry:?} of {from} to {to}");
        }
    }

    /// Ends the agent: what it read is settled, and the books balance.
    pub(crate) fn stop(&self, mut agent: Agent, entries: usize) {
        let read = u64::try_from(entries).unwrap();
        wait::until_ok(DEADLINE, "nothing is in flight", || {
            let routes = books(&agent.metrics()?)?;
            assert!(
                routes
                    .iter()
                    .all(|route| route.dropped + route.rejected < 0.5)
            );
            Ok(routes.iter().all(|route| route.in_flight < 0.5))
        })
        .unwrap();
        let records = agent.metrics().unwrap();
        let records = records.sum("tailwater_acked_records_total", &[]);
        assert_eq!(format!("{records}"), format!("{read}"));
        let stored = self.sink.inspect(SinkState::committed_entries);
        assert_eq!(stored, read);
        let status = agent.sigterm(Duration::from_secs(15)).unwrap();
        assert!(status.success(), "{status}\n{}", agent.log());
    }
}

impl Arrived {
    fn of(entry: &Entry) -> Self {
        let mut metadata = entry.metadata.iter();
        let severity = metadata.find(|(name, _)| name == "severity_text");
        Self {
            line: String::from_utf8_lossy(&entry.line).into_owned(),
            time: jiff::Timestamp::from_nanosecond(entry.timestamp_ns.into()).unwrap(),
            severity: severity.map(|(_, text)| text.clone()),
        }
    }

    #[track_caller]
    pub(crate) fn assert_severity(&self, expected: &str) {
        assert_eq!(self.severity.as_deref(), Some(expected), "{}", self.line);
    }
}

/// The lines of all entries.
fn lines(arrived: &[Arrived]) -> Vec<&str> {
    let lines = arrived.iter().flat_map(|entry| entry.line.split('\n'));
    lines.collect()
}

/// Reads a file as the agent sends it: what is no UTF-8 is replaced.
pub(crate) fn read(file: &Path) -> String {
    let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads what a clock on the wall of a zone shows.
pub(crate) fn on_wall(format: &str, text: &str, zone: &str) -> jiff::Timestamp {
    let time = DateTime::strptime(format, text)
        .unwrap_or_else(|error| panic!("{text:?} as {format:?}: {error}"));
    let zone = TimeZone::get(zone).unwrap();
    zone.to_timestamp(time).unwrap()
}

/// The entries whose line has a text in it.
pub(crate) fn having<'a>(arrived: &'a [Arrived], text: &str) -> Vec<&'a Arrived> {
    let found = arrived.iter().filter(|entry| entry.line.contains(text));
    found.collect()
}
