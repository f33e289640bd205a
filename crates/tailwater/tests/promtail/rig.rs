//! What the tests share: a directory, a sink, a `promtail` between them, and the end of every test.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use tailwater_testkit::client;
use tailwater_testkit::fault_sink::{Entry, FaultSink};
use tailwater_testkit::metrics::{Metrics, books};
use tailwater_testkit::oracle::Verdict;
use tailwater_testkit::wait;
use tailwater_testkit::writer::{LogWriter, WriterOptions, Written};

/// Longest time that anything may take to arrive; generous, for busy machines.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The native binary, which is Promtail under that name.
const BINARY: &str = env!("CARGO_BIN_EXE_tailwater");

/// A directory with logs, a sink, and a binary called `promtail`.
pub(crate) struct Rig {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) sink: FaultSink,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("logs")).unwrap();
        std::os::unix::fs::symlink(BINARY, directory.path().join("promtail")).unwrap();
        Self {
            directory,
            sink: FaultSink::start().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn writer(&self, name: &str, file: u32) -> LogWriter {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        LogWriter::open(path, file, WriterOptions::default()).unwrap()
    }

    /// Writes a file; a configuration has `DIR` for the directory and `URL` for the sink.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let directory = self.directory.path().display().to_string();
        let text = text
            .replace("DIR", &directory)
            .replace("URL", &self.sink.url());
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true);
        let mut file = options.open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Writes a configuration with a client that sends soon; `rest` is the scrape configs and what else
    /// there is.
    pub(crate) fn configure(&self, rest: &str) {
        let text = format!(
            "server: {{ http_listen_address: 127.0.0.1, http_listen_port: 0 }}\n\
             positions: {{ filename: DIR/positions.yaml }}\n\
             client: {{ url: \"URL\", batchwait: 50ms, backoff_config: {{ min_period: 20ms, max_period: 200ms }} }}\n\
             {rest}"
        );
        self.write("promtail.yaml", &text);
    }

    /// Starts `promtail` with the configuration and further flags, and waits until it is ready.
    pub(crate) fn start(&self, flags: &[&str]) -> Promtail {
        let promtail = self.launch(flags);
        promtail.wait_until("it is ready", |promtail| {
            client::get(promtail.admin(), "/ready").is_ok_and(|answer| answer.status == 200)
        });
        promtail
    }

    /// Starts `promtail`, and waits until its server answers.
    pub(crate) fn launch(&self, flags: &[&str]) -> Promtail {
        let mut command = Command::new(self.path("promtail"));
        command.arg("-config.file=promtail.yaml").args(flags);
        self.spawn(&mut command)
    }

    /// Starts `tailwater run --config` with the same file.
    pub(crate) fn run_native(&self) -> Promtail {
        let mut command = Command::new(BINARY);
        command.args(["run", "--config", "promtail.yaml"]);
        self.spawn(&mut command)
    }

    fn spawn(&self, command: &mut Command) -> Promtail {
        let address = self.path("positions.yaml.tailwater/admin.addr");
        // One that was killed has left its address behind.
        std::fs::remove_file(&address).ok();
        let log = self.path("agent.log");
        let out = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&log)
            .unwrap();
        let child = command
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let mut promtail = Promtail {
            child,
            log,
            admin: None,
            status: None,
        };
        wait::until(DEADLINE, "it has an address", || {
            promtail.admin = std::fs::read_to_string(&address)
                .ok()
                .and_then(|text| text.trim().parse().ok());
            promtail.admin.is_some()
        })
        .unwrap_or_else(|error| panic!("{error}\n{}", promtail.log()));
        promtail
    }

    /// Runs `promtail` to its end with an input.
    pub(crate) fn output(&self, flags: &[&str], input: Option<&[u8]>) -> Output {
        let mut child = Command::new(self.path("promtail"))
            .args(flags)
            .current_dir(self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // It may have ended before it has read all.
        stdin.write_all(input.unwrap_or_default()).ok();
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    pub(crate) fn verdict(&self, written: &[Written]) -> Verdict {
        self.sink.inspect(|state| Verdict::new(written, state))
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.sink.inspect(|state| state.entries().to_vec())
    }

    /// Waits until the sink has stored so many lines, and until the agent knows that all it read is
    /// settled.
    pub(crate) fn settle_lines(&self, promtail: &Promtail, lines: usize) {
        let has_all = self
            .sink
            .wait_until(|state| state.entries().len() >= lines, DEADLINE);
        let stored = self.sink.inspect(|state| state.entries().len());
        assert!(has_all, "{stored} of {lines} lines\n{}", promtail.log());
        promtail.wait_settled();
    }

    /// Waits until every line is stored, and until the agent knows that all it read is settled.
    pub(crate) fn settle(&self, promtail: &Promtail, written: &[Written]) {
        let has_all = self
            .sink
            .wait_until(|state| state.has_all(written), DEADLINE);
        assert!(
            has_all,
            "not every line arrived:\n{}\n{}",
            self.verdict(written),
            promtail.log()
        );
        promtail.wait_settled();
    }
}

/// A running agent; killed when it is dropped.
pub(crate) struct Promtail {
    child: Child,
    log: PathBuf,
    admin: Option<SocketAddr>,
    status: Option<ExitStatus>,
}

impl Promtail {
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin.unwrap()
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let answer = client::get(self.admin(), "/metrics").unwrap();
        Metrics::parse(&answer.text()).unwrap()
    }

    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        wait::until(DEADLINE, what, || condition(self))
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
    }

    /// Waits until nothing is in flight; the books balance at every look on the way.
    pub(crate) fn wait_settled(&self) {
        self.wait_until("nothing is in flight", |promtail| {
            let routes = books(&promtail.metrics()).unwrap();
            routes.iter().all(|route| route.in_flight < 0.5)
        });
    }

    /// Stops it and asserts that it went in time and well.
    pub(crate) fn stop(&mut self) {
        self.signal("TERM");
        let status = self.wait();
        assert!(status.success(), "{status}\n{}", self.log());
    }

    pub(crate) fn kill(&mut self) {
        self.signal("KILL");
        assert_eq!(self.wait().signal(), Some(9));
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success());
    }

    fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        self.status = Some(status);
        status
    }
}

impl Drop for Promtail {
    fn drop(&mut self) {
        if self.status.is_none() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// Returns the labels of an entry as they were sent.
pub(crate) fn labels(entry: &Entry) -> String {
    entry.labels.to_string()
}

pub(crate) fn text(entry: &Entry) -> String {
    String::from_utf8(entry.line.clone()).unwrap()
}

pub(crate) fn texts(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(text).collect()
}

/// Appends text to a file, in one write.
pub(crate) fn append(path: &Path, text: &str) {
    let mut file: File = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
