//! What the tests share: a directory, a sink, an agent, and the end of every test.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tailwater_testkit::agent::Agent;
use tailwater_testkit::fault_sink::FaultSink;
use tailwater_testkit::metrics::books;
use tailwater_testkit::oracle::Verdict;
use tailwater_testkit::wait;
use tailwater_testkit::writer::{LogWriter, WriterOptions, Written};

/// Longest time that anything may take to arrive; generous, for busy machines.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A directory with logs, a sink and an agent between them.
pub(crate) struct Rig {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) sink: FaultSink,
    pub(crate) config: String,
}

impl Rig {
    /// Makes the rig; `sink_keys` are further lines of the sink's block, `source_keys` of the source's.
    pub(crate) fn new(source_keys: &str, sink_keys: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("logs")).unwrap();
        let sink = FaultSink::start().unwrap();
        let config = format!(
            "data_dir: data\n\
             server: {{ listen: \"127.0.0.1:0\" }}\n\
             tailing: {{ rotate_wait: 200ms, poll_interval: 50ms }}\n\
             sources:\n  logs:\n    include: [\"{logs}/*.log\"]\n    labels: {{ job: e2e }}\n{source_keys}\
             sinks:\n  loki:\n    loki: {{ url: \"{url}\", timeout: 2s{sink_keys} }}\n    \
             batch: {{ max_wait: 50ms, max_bytes: 64KiB }}\n    retry: {{ min_wait: 20ms, max_wait: 200ms }}\n",
            logs = directory.path().join("logs").display(),
            url = sink.url(),
        );
        Self {
            directory,
            sink,
            config,
        }
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.directory.path().join("logs").join(name)
    }

    pub(crate) fn writer(&self, name: &str, file: u32) -> LogWriter {
        LogWriter::open(self.log(name), file, WriterOptions::default()).unwrap()
    }

    pub(crate) fn start(&self) -> Agent {
        start(&self.config, self.directory.path())
    }

    /// Waits until every line is stored, and until the agent knows that all it read is settled.
    pub(crate) fn settle(&self, agent: &Agent, written: &[Written]) {
        let has_all = self
            .sink
            .wait_until(|state| state.has_all(written), DEADLINE);
        assert!(
            has_all,
            "not every line arrived:\n{}\n{}",
            self.verdict(written),
            agent.log()
        );
        wait_settled(agent);
    }

    pub(crate) fn verdict(&self, written: &[Written]) -> Verdict {
        self.sink.inspect(|state| Verdict::new(written, state))
    }
}

pub(crate) fn start(config: &str, directory: &Path) -> Agent {
    Agent::start_binary(
        Path::new(env!("CARGO_BIN_EXE_tailwater")),
        config,
        directory,
    )
    .unwrap()
}

/// Waits until nothing is in flight; the books balance at every look on the way.
pub(crate) fn wait_settled(agent: &Agent) {
    wait::until_ok(DEADLINE, "nothing is in flight", || {
        let routes = books(&agent.metrics()?)?;
        Ok(routes.iter().all(|route| route.in_flight < 0.5))
    })
    .unwrap();
}

/// Stops the agent and asserts that it went in time and well.
pub(crate) fn stop(agent: &mut Agent) {
    let status = agent.sigterm(Duration::from_secs(15)).unwrap();
    assert!(status.success(), "{status}\n{}", agent.log());
}
