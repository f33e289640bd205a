//! What the tests share: logs, a sink and an agent between them, and the end of every test.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tailwater_testkit::agent::{Agent, BINARY_VARIABLE};
use tailwater_testkit::fault_sink::{FaultSink, SinkState};
use tailwater_testkit::load::{Load, Pace};
use tailwater_testkit::metrics::{RouteBooks, books};
use tailwater_testkit::oracle::Verdict;
use tailwater_testkit::wait;
use tailwater_testkit::writer::{LogWriter, WriterOptions, Written};

/// Longest time that anything may take to arrive; generous, for busy machines.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// What gives when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Files are not read further.
    Block,
    /// Batches go to disk while the sink does not keep up.
    Spill,
    /// There is room for a single batch in memory: nearly every one goes to disk.
    AlwaysSpill,
    /// Records would be dropped, had the queue not room for all of them.
    DropOldest,
    /// As before.
    DropNewest,
}

impl Policy {
    pub(crate) const ALL: [Self; 5] = [
        Self::Block,
        Self::Spill,
        Self::AlwaysSpill,
        Self::DropOldest,
        Self::DropNewest,
    ];

    fn keys(self) -> &'static str {
        match self {
            Self::Block => "queue: { max_bytes: 64KiB }\n    when_full: block",
            Self::Spill => "queue: { max_bytes: 48KiB }\n    when_full: spill",
            Self::AlwaysSpill => "queue: { max_bytes: 4KiB }\n    when_full: spill",
            Self::DropOldest => "queue: { max_bytes: 56MiB }\n    when_full: drop_oldest",
            Self::DropNewest => "queue: { max_bytes: 56MiB }\n    when_full: drop_newest",
        }
    }
}

/// How the agent is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) policy: Policy,
    pub(crate) max_in_flight: u64,
    pub(crate) max_batch_kib: u64,
    pub(crate) checkpoint_interval: Duration,
    /// Lines go through stages that hold each until the next one comes, and name its tenant.
    pub(crate) has_stages: bool,
}

/// Stages that leave every line as it is.
const STAGES: &str = "    stages:\n      \
    - regex: { expression: '^(?:level=\\w+ )?(?P<file>\\d+) ' }\n      \
    - tenant: { source: file }\n      \
    - multiline: { firstline: '', max_wait_time: 100ms }\n";

impl Default for Setup {
    fn default() -> Self {
        Self {
            policy: Policy::Block,
            max_in_flight: 4,
            max_batch_kib: 16,
            checkpoint_interval: Duration::from_millis(50),
            has_stages: false,
        }
    }
}

/// A directory with logs, a sink and what an agent needs between them.
pub(crate) struct Rig {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) sink: Arc<FaultSink>,
    config: String,
    binary: PathBuf,
}

impl Rig {
    pub(crate) fn new(setup: &Setup) -> Self {
        // To look at what a failure has left; the agent then says more, too.
        let is_kept = std::env::var_os("TAILWATER_KEEP").is_some();
        let directory = tempfile::Builder::new()
            .disable_cleanup(is_kept)
            .tempdir()
            .unwrap();
        std::fs::create_dir(directory.path().join("logs")).unwrap();
        let sink = FaultSink::start().unwrap();
        let config = format!(
            "data_dir: data\n\
             server: {{ listen: \"127.0.0.1:0\" }}\n\
             checkpoint_interval: {checkpoint}ms\n\
             log: {{ level: {level} }}\n\
             tailing: {{ rotate_wait: 100ms, poll_interval: 50ms }}\n\
             sources:\n  logs:\n    include: [\"{logs}/*.log\"]\n    labels: {{ job: kills }}\n{stages}\
             sinks:\n  loki:\n    loki: {{ url: \"{url}\", timeout: 1s }}\n    \
             batch: {{ max_wait: 30ms, max_bytes: {batch}KiB }}\n    \
             retry: {{ min_wait: 10ms, max_wait: 100ms }}\n    \
             max_in_flight: {in_flight}\n    {policy}\n",
            stages = if setup.has_stages { STAGES } else { "" },
            level = if is_kept { "debug" } else { "info" },
            checkpoint = setup.checkpoint_interval.as_millis(),
            logs = directory.path().join("logs").display(),
            url = sink.url(),
            batch = match setup.policy {
                Policy::AlwaysSpill => 4,
                Policy::Block | Policy::Spill | Policy::DropOldest | Policy::DropNewest => {
                    setup.max_batch_kib
                }
            },
            in_flight = setup.max_in_flight,
            policy = setup.policy.keys(),
        );
        // A campaign kills the optimized agent.
        let binary = std::env::var_os(BINARY_VARIABLE)
            .map_or_else(|| env!("CARGO_BIN_EXE_tailwater").into(), PathBuf::from);
        Self {
            directory,
            sink: Arc::new(sink),
            config,
            binary,
        }
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.directory.path().join("logs")
    }

    /// Has as many files written, each on a thread of its own.
    pub(crate) fn loads(&self, files: u32, pace: Pace) -> Vec<Load> {
        let start = |file| {
            let path = self.logs().join(format!("{file}.log"));
            let writer = LogWriter::open(path, file, WriterOptions::default()).unwrap();
            Load::start(writer, pace).unwrap()
        };
        (0..files).map(start).collect()
    }

    /// Starts the agent without waiting for it.
    pub(crate) fn launch(&self, variables: &[(&str, &str)]) -> Agent {
        let command = [self.binary.as_os_str()];
        Agent::launch(&command, variables, &self.config, self.directory.path()).unwrap()
    }

    pub(crate) fn start(&self) -> Agent {
        let mut agent = self.launch(&[]);
        agent.wait_ready().unwrap();
        agent
    }

    /// Ends the writers, has an agent that nothing disturbs deliver all there is, and judges. Started
    /// once more, that agent must have nothing to send.
    pub(crate) fn judge(&self, loads: Vec<Load>) -> Outcome {
        let mut agent = self.start();
        let written: Vec<Written> = loads
            .into_iter()
            .map(|mut load| load.stop().unwrap())
            .collect();
        let has_all = self
            .sink
            .wait_until(|state| state.has_all(&written), DEADLINE);
        let verdict = || self.sink.inspect(|state| Verdict::new(&written, state));
        assert!(
            has_all,
            "not every line arrived:\n{}\n{}",
            verdict(),
            agent.log()
        );
        let mut routes = wait_settled(&agent);
        stop(&mut agent);
        let stored = || self.sink.inspect(SinkState::committed_entries);
        let stored_before = stored();
        let mut agent = self.start();
        wait_settled(&agent);
        stop(&mut agent);
        assert_eq!(
            stored(),
            stored_before,
            "something was sent again after a stop:\n{}",
            agent.log()
        );
        let verdict = verdict();
        assert_eq!(routes.len(), 1, "{routes:?}");
        Outcome {
            verdict,
            books: routes.remove(0),
            log: agent.log(),
        }
    }
}

/// What a test came to.
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) books: RouteBooks,
    pub(crate) log: String,
}

impl Outcome {
    /// Asserts that nothing is lost, in truth and by the books.
    #[track_caller]
    pub(crate) fn assert_nothing_is_lost(&self) {
        self.verdict.assert_exact_without_repeats();
        let lost = self.books.dropped + self.books.rejected;
        assert!(
            lost < 0.5,
            "the books hold a loss: {}\n{}",
            self.books,
            self.log
        );
    }
}

/// Waits until every file is settled to its end, nothing is in flight and nothing is spilled; the books
/// balance at every look on the way.
fn wait_settled(agent: &Agent) -> Vec<RouteBooks> {
    let mut routes = Vec::new();
    wait::until_ok(DEADLINE, "everything is settled", || {
        let status = agent.status()?;
        let files = status.get("files").and_then(Value::as_array);
        let mut lags = files
            .context("no files")?
            .iter()
            .map(|file| file.get("lag_bytes"));
        let is_at_end = lags.all(|lag| lag.and_then(Value::as_u64) == Some(0));
        routes = books(&agent.metrics()?)?;
        let is_idle = routes
            .iter()
            .all(|route| route.in_flight < 0.5 && route.spilled < 0.5);
        Ok(is_at_end && is_idle)
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{routes:?}\n{}", agent.log()));
    routes
}

fn stop(agent: &mut Agent) {
    let status = agent.sigterm(Duration::from_secs(15)).unwrap();
    assert!(status.success(), "{status}\n{}", agent.log());
}

/// Returns where the files of a directory stand that rotate, for logrotate.
pub(crate) fn glob(directory: &Path) -> String {
    directory.join("*.log").display().to_string()
}
