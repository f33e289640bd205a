//! What the tests share: a directory of logs, the programs that pack them, a sink, and the command.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tailwater_testkit::fault_sink::{FaultSink, Keep, SinkState};
use tailwater_testkit::oracle::Verdict;
use tailwater_testkit::wait;
use tailwater_testkit::writer::{LogWriter, WriterOptions, Written};

/// Longest time that anything may take; generous, for busy machines.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// A directory with logs, and a sink.
pub(crate) struct Rig {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) sink: FaultSink,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(FaultSink::start().unwrap())
    }

    /// With a sink that counts lines and keeps none: for millions.
    pub(crate) fn counting() -> Self {
        Self::with(FaultSink::start_keeping(Keep::Counts).unwrap())
    }

    fn with(sink: FaultSink) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("logs")).unwrap();
        Self { directory, sink }
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.directory.path().join("logs").join(name)
    }

    /// A glob of logs, as an argument.
    pub(crate) fn glob(&self, glob: &str) -> String {
        self.log(glob).display().to_string()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Writes numbered lines, some thousand in each write.
    pub(crate) fn writer(&self, name: &str, file: u32) -> LogWriter {
        let options = WriterOptions {
            lines_per_write: 100,
            ..WriterOptions::default()
        };
        LogWriter::open(self.log(name), file, options).unwrap()
    }

    /// Writes bytes to a log.
    #[expect(
        clippy::disallowed_methods,
        reason = "a log of a test need not survive a power cut"
    )]
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.log(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Writes the configuration of one source with further keys.
    pub(crate) fn config(&self, source_keys: &str) -> String {
        let text = format!(
            "data_dir: {data}\nserver: {{ listen: \"127.0.0.1:0\" }}\nshutdown_timeout: 2s\n\
             tailing: {{ rotate_wait: 200ms, poll_interval: 50ms }}\n\
             sources:\n  logs:\n    include: [\"{logs}/*.log\"]\n    labels: {{ job: e2e }}\n{source_keys}\
             sinks:\n  loki:\n    loki: {{ url: \"{url}\", timeout: 2s }}\n    \
             batch: {{ max_wait: 50ms, max_bytes: 64KiB }}\n    retry: {{ min_wait: 20ms, max_wait: 200ms }}\n",
            data = self.data_dir().display(),
            logs = self.directory.path().join("logs").display(),
            url = self.sink.url(),
        );
        let path = self.write("../backfill.yaml", text.as_bytes());
        path.display().to_string()
    }

    /// Returns the offsets that are stored for the configuration's source and sink, of whatever files.
    pub(crate) fn positions(&self) -> Vec<u64> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tailwater"));
        command.args(["positions", "list", "--json", "--data-dir"]);
        let done = command.arg(self.data_dir()).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        let listed: Value = serde_json::from_slice(&done.stdout).unwrap();
        let files = listed["files"].as_array().unwrap().iter();
        files
            .filter_map(|file| file["positions"]["loki/logs"].as_u64())
            .collect()
    }

    /// Starts the command without a configuration.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let (url, data_dir) = (self.sink.url(), self.data_dir());
        let data_dir = data_dir.display().to_string();
        let given = ["--to", &url, "--label", "job=e2e", "--data-dir", &data_dir];
        self.start_with(&[&given, arguments].concat())
    }

    /// Starts the command with nothing but these arguments, and `--json`.
    pub(crate) fn start_with(&self, arguments: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tailwater"));
        command.arg("backfill").args(arguments).arg("--json");
        Running::start(command, self.directory.path())
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.start(arguments).wait()
    }

    pub(crate) fn run_with(&self, arguments: &[&str]) -> Outcome {
        self.start_with(arguments).wait()
    }

    pub(crate) fn verdict(&self, written: &[Written]) -> Verdict {
        self.sink.inspect(|state| Verdict::new(written, state))
    }

    pub(crate) fn stored(&self) -> u64 {
        self.sink.inspect(SinkState::committed_entries)
    }

    /// Returns the stored lines, as text, in the order of their times.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.sink.inspect(|state| {
            let mut entries: Vec<_> = state.entries().iter().collect();
            entries.sort_by_key(|entry| (entry.timestamp_ns, entry.arrival));
            let lines = entries.into_iter();
            lines
                .map(|entry| String::from_utf8_lossy(&entry.line).into_owned())
                .collect()
        })
    }
}

/// Runs a program on files in place, as an operator does.
pub(crate) fn pack(program: &str, arguments: &[&str], path: &Path) {
    let done = Command::new(program)
        .args(arguments)
        .arg(path)
        .status()
        .unwrap();
    assert!(done.success(), "{program}: {done}");
}

#[expect(clippy::disallowed_methods, reason = "a rename as rotation makes it")]
pub(crate) fn rename(from: &Path, to: &Path) {
    fs::rename(from, to).unwrap();
}

/// The command as a child; killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    out: PathBuf,
    errors: PathBuf,
    status: Option<ExitStatus>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl Running {
    #[expect(
        clippy::disallowed_methods,
        reason = "what the command prints is looked at once"
    )]
    pub(crate) fn start(mut command: Command, directory: &Path) -> Self {
        let (out, errors) = (directory.join("out"), directory.join("errors"));
        let child = command
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        Self {
            child,
            out,
            errors,
            status: None,
        }
    }

    /// Returns what it has logged so far.
    pub(crate) fn errors(&self) -> String {
        fs::read_to_string(&self.errors).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // It was not waited for yet: the process id is still its own.
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills it, unless it has ended; returns whether it had not.
    pub(crate) fn kill(&mut self) -> bool {
        if self.has_ended() {
            return false;
        }
        self.signal(Signal::KILL);
        let status = self.child.wait().unwrap();
        self.status = Some(status);
        status.signal().is_some()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().unwrap();
        }
        self.status.is_some()
    }

    /// Returns the most memory that it has had so far, in bytes; 0 where it has ended.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.trim().parse().ok());
        kilobytes.unwrap_or(0) * 1024
    }

    pub(crate) fn wait(mut self) -> Outcome {
        let ended = wait::until(DEADLINE, "the backfill ends", || self.has_ended());
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let (out, errors) = (read(&self.out), read(&self.errors));
        assert!(ended.is_ok(), "it does not end:\n{out}\n{errors}");
        Outcome {
            code: self.status.and_then(|status| status.code()),
            out,
            errors,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.status.is_none() {
            // Nothing can be done about a child that cannot be killed.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

impl Outcome {
    /// Returns the report, whose books balance.
    #[track_caller]
    pub(crate) fn report(&self) -> Value {
        let report: Value = serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}:\n{}\n{}", self.out, self.errors));
        for sink in report["sinks"].as_array().unwrap() {
            assert_eq!(sink["books_balance"], true, "{report}");
            let count = |key: &str| sink[key].as_u64().unwrap();
            let sum = |key: &str| -> u64 {
                let reasons = sink[key].as_object().unwrap().values();
                reasons.map(|count| count.as_u64().unwrap()).sum()
            };
            let accounted = count("delivered")
                + count("outside_time_range")
                + count("unacknowledged")
                + sum("rejected")
                + sum("dropped_by_stages")
                + sum("dropped");
            assert_eq!(count("records_read"), accounted, "{report}");
        }
        assert_eq!(
            report["is_complete"] == true,
            self.code == Some(0),
            "{report}"
        );
        report
    }

    /// Asserts that every line was delivered, as it says itself.
    #[track_caller]
    pub(crate) fn assert_complete(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.errors);
        self.report()
    }

    /// Asserts that not every line was delivered, as it says itself.
    #[track_caller]
    pub(crate) fn assert_incomplete(&self) -> Value {
        assert_eq!(self.code, Some(1), "{}\n{}", self.out, self.errors);
        self.report()
    }
}
