//! What the tests share: an agent that has spilled or was refused, and the command.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tailwater_testkit::agent::Agent;
use tailwater_testkit::fault_sink::{FaultSink, Mode, Poison, Stored};
use tailwater_testkit::metrics::{Metrics, RouteBooks, books};
use tailwater_testkit::oracle::Verdict;
use tailwater_testkit::wait;
use tailwater_testkit::writer::{LogWriter, WriterOptions, Written};

/// Longest time that anything may take; generous, for busy machines.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

const BINARY: &str = env!("CARGO_BIN_EXE_tailwater");

/// What the sink of these tests refuses for good.
const POISON: &[u8] = b"POISON";

/// A directory with logs, a sink, and the configuration of an agent between them.
pub(crate) struct Rig {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) sink: FaultSink,
    pub(crate) config: String,
}

impl Rig {
    /// Makes a rig whose sink refuses every connection; `sink_keys` are added to the block of its kind.
    pub(crate) fn with_dead_sink(sink_keys: &str) -> Self {
        let rig = Self::new(sink_keys);
        rig.sink.set_fallback(Mode::status(503));
        rig
    }

    /// Makes a rig whose sink takes everything but lines with [`POISON`].
    pub(crate) fn with_poison() -> Self {
        let rig = Self::new("");
        rig.sink.script(|script| {
            script.rules.poison = Some(Poison {
                substring: POISON.to_vec(),
                others: Stored::Nothing,
            });
        });
        rig
    }

    fn new(sink_keys: &str) -> Self {
        let sink = FaultSink::start().unwrap();
        let kind = format!(
            "loki: {{ url: \"{}\", timeout: 2s{sink_keys} }}",
            sink.url()
        );
        Self::with_sink(sink, &kind)
    }

    /// Makes a rig with a sink of another kind.
    pub(crate) fn with_sink(sink: FaultSink, kind: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("logs")).unwrap();
        let config = format!(
            "data_dir: {data}\n\
             server: {{ listen: \"127.0.0.1:0\" }}\n\
             tailing: {{ poll_interval: 50ms }}\n\
             sources:\n  app:\n    include: [\"{logs}/*.log\"]\n    labels: {{ job: \"a \\\"b\\\"\" }}\n    \
             tenant: shop\n\
             sinks:\n  central.one:\n    {kind}\n    \
             when_full: spill\n    max_in_flight: 1\n    \
             batch: {{ max_wait: 20ms, max_bytes: 16KiB }}\n    queue: {{ max_bytes: 32KiB }}\n    \
             retry: {{ min_wait: 20ms, max_wait: 100ms }}\n",
            data = directory.path().join("data").display(),
            logs = directory.path().join("logs").display(),
        );
        Self {
            directory,
            sink,
            config,
        }
    }

    pub(crate) fn start(&self) -> Agent {
        Agent::start_binary(Path::new(BINARY), &self.config, self.directory.path()).unwrap()
    }

    pub(crate) fn writer(&self, name: &str, file: u32) -> LogWriter {
        LogWriter::open(self.log(name), file, WriterOptions::default()).unwrap()
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.directory.path().join("logs").join(name)
    }

    /// Appends a line that the sink refuses for good; returns its offset.
    pub(crate) fn write_poison(&self, name: &str, text: &str) -> u64 {
        use std::io::Write as _;
        let mut log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.log(name))
            .unwrap();
        let offset = log.metadata().unwrap().len();
        log.write_all(format!("POISON {text}\n").as_bytes())
            .unwrap();
        offset
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.directory.path().join("tailwater.yaml")
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Returns the directory of the spill of the only lane.
    pub(crate) fn spill(&self) -> PathBuf {
        self.data_dir().join("spill/central%2eone@shop")
    }

    pub(crate) fn dead_letters(&self) -> PathBuf {
        self.data_dir().join("dead-letters/central%2eone")
    }

    /// Lets a real agent spill lines of two files, and ends it well.
    pub(crate) fn spill_lines(&self) -> [Written; 2] {
        let mut agent = self.start();
        let (mut one, mut two) = (self.writer("one.log", 1), self.writer("two.log", 2));
        one.write_lines(600).unwrap();
        two.write_lines(400).unwrap();
        wait_for(&agent, "everything was read", |books| books.read > 999.5);
        stop(&mut agent);
        [one.written(), two.written()]
    }

    pub(crate) fn verdict(&self, written: &[Written]) -> Verdict {
        self.sink.inspect(|state| Verdict::new(written, state))
    }

    /// Runs the agent until the sink has all lines, and nothing is in flight or on disk; returns its books.
    pub(crate) fn run_to_the_end(&self, written: &[Written]) -> RouteBooks {
        let mut agent = self.start();
        let has_all = self
            .sink
            .wait_until(|state| state.has_all(written), DEADLINE);
        assert!(has_all, "{}\n{}", self.verdict(written), agent.log());
        wait_for(&agent, "everything is settled", |books| {
            books.in_flight + books.spilled < 0.5
        });
        wait::until_ok(DEADLINE, "the space of the spill is given back", || {
            Ok(agent.metrics()?.sum("tailwater_spill_bytes", &[]) < 0.5)
        })
        .unwrap();
        let found = only_books(&agent.metrics().unwrap());
        stop(&mut agent);
        found
    }

    /// Runs `tailwater spill send` with the configuration of the rig.
    pub(crate) fn send(&self, arguments: &[&str]) -> Run {
        let config = text(&self.config_path());
        let all = ["send", "--config", &config, "--sink", "central.one"];
        spill(&[&all[..], arguments].concat())
    }
}

/// What the command did.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl Run {
    /// Asserts that it ended with 0 and printed no error; returns what it printed.
    #[track_caller]
    pub(crate) fn clean(self) -> String {
        assert_eq!((self.code, &*self.errors), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// Asserts that it ended with 1; returns what it printed as an error.
    #[track_caller]
    pub(crate) fn failed(self) -> String {
        assert_eq!(self.code, Some(1), "{}\n{}", self.out, self.errors);
        assert!(!self.errors.contains("panicked"), "{}", self.errors);
        self.errors
    }
}

/// Runs `tailwater spill` with these arguments.
pub(crate) fn spill(arguments: &[&str]) -> Run {
    let output = command(arguments).output().unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    Run {
        code: status.code(),
        out: String::from_utf8(stdout).unwrap(),
        errors: String::from_utf8(stderr).unwrap(),
    }
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .arg("spill")
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null());
    command
}

/// Returns what `inspect --json` says of the one directory that it finds.
#[track_caller]
pub(crate) fn inspected(directory: &Path) -> serde_json::Value {
    let run = spill(&["inspect", "--json", &text(directory)]);
    let mut report: serde_json::Value = serde_json::from_str(&run.clean()).unwrap();
    assert_eq!(report["directories"].as_array().unwrap().len(), 1);
    report["directories"][0].take()
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Waits until the books of the only route are as wanted; they balance at every look on the way.
pub(crate) fn wait_for(agent: &Agent, what: &str, wanted: impl Fn(&RouteBooks) -> bool) {
    wait::until_ok(DEADLINE, what, || {
        let metrics = agent.metrics()?;
        // There are no books before the first line is read.
        Ok(books(&metrics).is_ok_and(|routes| routes.iter().all(&wanted)))
    })
    .unwrap();
}

pub(crate) fn only_books(metrics: &Metrics) -> RouteBooks {
    let mut routes = books(metrics).unwrap();
    assert_eq!(routes.len(), 1);
    routes.pop().unwrap()
}

pub(crate) fn stop(agent: &mut Agent) {
    let status = agent.sigterm(Duration::from_secs(20)).unwrap();
    assert!(status.success(), "{status}\n{}", agent.log());
}

/// Returns the files of a directory with their contents.
pub(crate) fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// Makes a directory of files; one that was there is replaced.
#[expect(
    clippy::disallowed_methods,
    reason = "a file of a test need not outlive a crash"
)]
pub(crate) fn write_files(directory: &Path, files: &BTreeMap<String, Vec<u8>>) {
    if directory.exists() {
        std::fs::remove_dir_all(directory).unwrap();
    }
    std::fs::create_dir_all(directory).unwrap();
    for (name, content) in files {
        std::fs::write(directory.join(name), content).unwrap();
    }
}

/// Returns where the frames of a segment begin, the header left out, and the end of the last one.
pub(crate) fn frame_offsets(segment: &[u8]) -> Vec<usize> {
    const HEADER_BYTES: usize = 13;
    let mut offsets = Vec::new();
    let mut at = 0;
    while let Some(head) = segment.get(at..at + HEADER_BYTES) {
        assert_eq!(&head[..4], b"TWF1");
        let len = u32::from_le_bytes(head[4..8].try_into().unwrap());
        at += HEADER_BYTES + usize::try_from(len).unwrap();
        offsets.push(at);
    }
    assert_eq!(offsets.last(), Some(&segment.len()));
    offsets
}
