//! What the tests share: a directory with logs, a sink, a configuration, and the command.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tailwater_testkit::agent::Agent;
use tailwater_testkit::fault_sink::FaultSink;
use tailwater_testkit::wait;
use tailwater_testkit::writer::{LogWriter, WriterOptions};

/// Longest time that anything may take; generous, for busy machines.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

const BINARY: &str = env!("CARGO_BIN_EXE_tailwater");

pub(crate) struct Rig {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) sink: FaultSink,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let rig = Self {
            directory: tempfile::tempdir().unwrap(),
            sink: FaultSink::start().unwrap(),
        };
        std::fs::create_dir(rig.at("logs")).unwrap();
        std::fs::write(rig.at("tailwater.yaml"), rig.config()).unwrap();
        rig
    }

    pub(crate) fn config(&self) -> String {
        format!(
            "data_dir: {data}\n\
             server: {{ listen: \"127.0.0.1:0\" }}\n\
             sources:\n  app:\n    include: [\"{logs}/*.log\"]\n\
             sinks:\n  central:\n    loki: {{ url: \"{url}\", timeout: 2s }}\n    \
             when_full: spill\n    max_in_flight: 1\n    \
             batch: {{ max_wait: 20ms, max_bytes: 16KiB }}\n    queue: {{ max_bytes: 32KiB }}\n    \
             retry: {{ min_wait: 20ms, max_wait: 100ms }}\n",
            data = self.at("data").display(),
            logs = self.at("logs").display(),
            url = self.sink.url(),
        )
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns a path as it stands in texts.
    pub(crate) fn text(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }

    pub(crate) fn start(&self) -> Agent {
        Agent::start_binary(Path::new(BINARY), &self.config(), self.directory.path()).unwrap()
    }

    pub(crate) fn writer(&self, name: &str, file: u32) -> LogWriter {
        LogWriter::open(self.at(name), file, WriterOptions::default()).unwrap()
    }

    /// Writes a log of lines of ten bytes.
    pub(crate) fn write_log(&self, name: &str, lines: usize) {
        std::fs::write(self.at(name), "123456789\n".repeat(lines)).unwrap();
    }

    /// Writes a positions file as Promtail does.
    pub(crate) fn save(&self, offsets: &[(&str, u64)]) {
        let entries = offsets
            .iter()
            .map(|(name, offset)| format!("  {}: \"{offset}\"\n", self.text(name)));
        let text = format!("positions:\n{}", entries.collect::<String>());
        std::fs::write(self.at("positions.yaml"), text).unwrap();
    }

    /// Runs `tailwater positions` with these arguments and the configuration of the rig.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let output = Command::new(BINARY)
            .arg("positions")
            .args(arguments)
            .args(["--config", &self.text("tailwater.yaml")])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran {
            code: output.status.code(),
            out: text(&output.stdout),
            errors: text(&output.stderr),
        }
    }

    pub(crate) fn import(&self, more: &[&str]) -> Ran {
        let file = self.text("positions.yaml");
        let arguments = [&["import", &file, "--format", "promtail"], more].concat();
        self.run(&arguments)
    }

    /// Returns the offsets that are stored, by path and sink.
    pub(crate) fn listed(&self) -> serde_json::Value {
        serde_json::from_str(&self.run(&["list", "--json"]).clean()).unwrap()
    }
}

/// What the command has said.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl Ran {
    /// Returns what it has printed; it went well and had nothing to remark.
    #[track_caller]
    pub(crate) fn clean(self) -> String {
        assert_eq!((self.code, &*self.errors), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// Returns what is wrong; it failed with this code.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.errors);
        self.errors
    }
}

/// Stops the agent and asserts that it went in time and well.
pub(crate) fn stop(agent: &mut Agent) {
    let status = agent.sigterm(Duration::from_secs(15)).unwrap();
    assert!(status.success(), "{status}\n{}", agent.log());
}

/// Waits until something holds of the metrics.
pub(crate) fn wait_for(agent: &Agent, name: &str, at_least: f64) {
    wait::until_ok(DEADLINE, name, || {
        Ok(agent.metrics()?.sum(name, &[]) >= at_least)
    })
    .unwrap();
}
