//! The way of the lines: written, rotated, sent, counted and read back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tailwater_testkit::agent::Agent;
use tailwater_testkit::metrics::{RouteBooks, books};
use tailwater_testkit::wait;

use crate::logql::{Labels, Loki, Streams};
use crate::logs::Logs;

/// Names the server; a scheme and an address, without a path.
const URL_VARIABLE: &str = "TAILWATER_QRYN_URL";

/// Longest time that anything may take to arrive; generous, for busy machines.
const DEADLINE: Duration = Duration::from_secs(60);

/// A label that has to be quoted, as the configuration holds it and as it is read back.
const NOTE: (&str, &str) = (r#""ü \"q\" \\ {x=y}, 日本""#, r#"ü "q" \ {x=y}, 日本"#);

/// What was written and what was found of it.
pub(crate) struct RoundTrip {
    encoding: &'static str,
    written: BTreeMap<String, Vec<String>>,
    /// Lines in all by `LogQL`.
    counted: u64,
    /// Lines of each file by `LogQL`.
    counted_by_file: BTreeMap<String, u64>,
    found: Streams,
    pages: usize,
}

impl RoundTrip {
    /// Sends lines with this encoding under a job of its own, and reads them back.
    pub(crate) fn run(encoding: &'static str) -> Self {
        let url = std::env::var(URL_VARIABLE).unwrap_or_else(|_| {
            panic!("{URL_VARIABLE} names no qryn: run this by the command `tests/qryn`")
        });
        let address: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let loki = Loki::new(address);
        let written = send(encoding, &url, directory.path());

        let selector = format!("{{job=\"{}\"}}", job(encoding));
        let expected = count(&written);
        // qryn may answer a push a moment before its store has the lines. What is missing for good
        // is shown with all the rest.
        let all = wait::until(DEADLINE, "LogQL counts every line", || {
            loki.count(&selector) >= expected
        });
        drop(all);
        let (found, pages) = loki.lines(&selector);
        Self {
            encoding,
            written,
            counted: loki.count(&selector),
            counted_by_file: loki.count_by("filename", &selector),
            found,
            pages,
        }
    }

    /// Says in one line what was written and found.
    pub(crate) fn summary(&self) -> String {
        let verdict = if self.differences().is_empty() {
            "equal"
        } else {
            "NOT EQUAL"
        };
        let distinct: BTreeSet<_> = self
            .found
            .iter()
            .flat_map(|(labels, lines)| lines.iter().map(move |line| (labels, line)))
            .collect();
        format!(
            "{}: {} lines of {} files written, {} counted by LogQL, {} distinct lines read back in {} \
             pages: {verdict}",
            self.encoding,
            count(&self.written),
            self.written.len(),
            self.counted,
            distinct.len(),
            self.pages,
        )
    }

    /// Asserts that what was found is what was written, stream by stream, whole and in order.
    #[track_caller]
    pub(crate) fn assert_equal(&self) {
        let differences = self.differences();
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }

    fn differences(&self) -> Vec<String> {
        let mut differences = Vec::new();
        let mut compare = |what: &str, found: String, expected: String| {
            if found != expected {
                differences.push(format!("{what}: {found} instead of {expected}"));
            }
        };
        let (counted, expected) = (self.counted, count(&self.written));
        compare("lines", counted.to_string(), expected.to_string());
        let counts = self.written.iter();
        let counts: BTreeMap<_, _> = counts.map(|(path, lines)| (path, lines.len())).collect();
        let counted = format!("{:?}", self.counted_by_file);
        compare("lines by file", counted, format!("{counts:?}"));
        let labels: Vec<_> = self.written.keys().map(|path| self.labels(path)).collect();
        let streams = format!("{:?}", self.found.keys().collect::<BTreeSet<_>>());
        let expected = labels.iter().collect::<BTreeSet<_>>();
        compare("streams", streams, format!("{expected:?}"));
        for (path, lines) in &self.written {
            let found = self.found.get(&self.labels(path)).map_or(&[][..], |v| v);
            let found: Vec<&str> = found.iter().map(|(_, line)| &**line).collect();
            differences.extend(first_difference(path, &found, lines));
        }
        differences
    }

    fn labels(&self, path: &str) -> Labels {
        let job = job(self.encoding);
        [("job", &*job), ("note", NOTE.1), ("filename", path)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }
}

/// Says where two lists of lines part.
fn first_difference(path: &str, found: &[&str], expected: &[String]) -> Option<String> {
    let same = found.iter().zip(expected).take_while(|(a, b)| a == b);
    let index = same.count();
    let show = |line: Option<&str>| {
        line.map(|line| line.chars().take(100).collect::<String>())
            .unwrap_or_default()
    };
    let is_equal = index == found.len() && index == expected.len();
    (!is_equal).then(|| {
        format!(
            "{path}: {} lines instead of {}; line {index} is {:?} instead of {:?}",
            found.len(),
            expected.len(),
            show(found.get(index).copied()),
            show(expected.get(index).map(String::as_str)),
        )
    })
}

fn job(encoding: &str) -> String {
    format!("qryn-{encoding}")
}

fn count(lines: &BTreeMap<String, Vec<String>>) -> u64 {
    lines
        .values()
        .map(|lines| u64::try_from(lines.len()).unwrap())
        .sum()
}

/// Writes logs, rotates them while the agent sends them, and returns what was written once the agent
/// has ended well and its books say that all of it was taken.
fn send(encoding: &str, url: &str, directory: &Path) -> BTreeMap<String, Vec<String>> {
    let mut logs = Logs::new(directory);
    logs.write(600);
    let config = config(encoding, url, directory);
    let binary = Path::new(env!("CARGO_BIN_EXE_tailwater"));
    let mut agent = Agent::start_binary(binary, &config, directory).unwrap();
    for _ in 0..2 {
        logs.write(300);
        logs.rotate(50);
        logs.write(500);
    }
    let written = logs.lines();
    wait_acked(&agent, count(&written));
    let status = agent.sigterm(Duration::from_secs(15)).unwrap();
    assert!(status.success(), "{status}\n{}", agent.log());
    written
}

fn config(encoding: &str, url: &str, directory: &Path) -> String {
    format!(
        "data_dir: data\n\
         server: {{ listen: \"127.0.0.1:0\" }}\n\
         tailing: {{ rotate_wait: 200ms, poll_interval: 50ms }}\n\
         sources:\n  logs:\n    include: [\"{logs}/*.log\"]\n    \
         labels: {{ job: {job}, note: {note} }}\n\
         sinks:\n  loki:\n    loki: {{ url: \"{url}\", encoding: {encoding}, timeout: 30s }}\n    \
         batch: {{ max_wait: 100ms, max_bytes: 256KiB }}\n",
        logs = directory.join("logs").display(),
        job = job(encoding),
        note = NOTE.0,
    )
}

/// Waits until the sink has taken every line, by the books.
fn wait_acked(agent: &Agent, lines: u64) {
    let lines = f64::from(u32::try_from(lines).unwrap());
    let taken = RouteBooks {
        source: "logs".to_owned(),
        sink: "loki".to_owned(),
        read: lines,
        acked: lines,
        dropped: 0.0,
        rejected: 0.0,
        spilled: 0.0,
        in_flight: 0.0,
    };
    let mut shown = String::new();
    let waited = wait::until_ok(DEADLINE, "every line is taken", || {
        let routes = books(&agent.metrics()?)?;
        shown = routes.iter().map(ToString::to_string).collect();
        Ok(routes == [taken.clone()])
    });
    assert!(waited.is_ok(), "{shown}\n{}", agent.log());
}
