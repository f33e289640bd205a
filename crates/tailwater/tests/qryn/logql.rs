//! Asking a Loki by `LogQL`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tailwater_testkit::client;

const NS_PER_MS: i64 = 1_000_000;
const NS_PER_HOUR: i64 = 3_600 * 1_000_000_000;

/// Lines of a page, unless more than these share a millisecond.
const PAGE_LINES: usize = 1000;

/// Labels of a stream.
pub(crate) type Labels = BTreeMap<String, String>;

/// Lines by stream, each with its nanoseconds since 1970, in the order of the answers.
pub(crate) type Streams = BTreeMap<Labels, Vec<(i64, String)>>;

/// The query API of a Loki, and the time that is asked for.
pub(crate) struct Loki {
    address: SocketAddr,
    /// Nanoseconds since 1970, before the first line.
    start: i64,
}

impl Loki {
    /// Asks for lines from an hour ago on.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            start: now() - NS_PER_HOUR,
        }
    }

    /// Counts the lines that match, by the values of one of their labels.
    pub(crate) fn count_by(&self, label: &str, selector: &str) -> BTreeMap<String, u64> {
        let query = format!("sum by ({label}) (count_over_time({selector}[1h]))");
        let mut counts = BTreeMap::new();
        for series in self.matrix(&query) {
            let value = series["metric"][label].as_str().unwrap().to_owned();
            *counts.entry(value).or_default() += sum_of(&series);
        }
        counts
    }

    /// Counts the lines that match.
    pub(crate) fn count(&self, selector: &str) -> u64 {
        let query = format!("sum(count_over_time({selector}[1h]))");
        self.matrix(&query).iter().map(sum_of).sum()
    }

    /// Asks for a value per hour: with a range of an hour, each line counts in one of them.
    fn matrix(&self, query: &str) -> Vec<Value> {
        let end = now() + NS_PER_HOUR;
        let parameters = [
            ("query", query.to_owned()),
            ("start", self.start.to_string()),
            ("end", end.to_string()),
            ("step", "3600".to_owned()),
        ];
        self.query_range(&parameters)
    }

    /// Reads the lines that match, page by page, and says in how many pages.
    ///
    /// qryn rounds the start of a page to milliseconds. So the last millisecond of a full page counts
    /// as not read, and the next page begins with it.
    pub(crate) fn lines(&self, selector: &str) -> (Streams, usize) {
        let mut streams = Streams::new();
        let mut start = self.start;
        let mut limit = PAGE_LINES;
        for pages in 1.. {
            let page = self.page(selector, start, limit);
            let count: usize = page.values().map(Vec::len).sum();
            let last = page.values().flatten().map(|(timestamp, _)| *timestamp);
            let end = if count < limit {
                i64::MAX
            } else {
                last.max().unwrap() / NS_PER_MS * NS_PER_MS
            };
            for (labels, lines) in page {
                let is_new = |(timestamp, _): &_| (start..end).contains(timestamp);
                let lines = lines.into_iter().filter(is_new);
                streams.entry(labels).or_default().extend(lines);
            }
            if end == i64::MAX {
                return (streams, pages);
            }
            if end <= start {
                limit *= 2;
            }
            start = start.max(end);
        }
        unreachable!("pages are numbered without end")
    }

    fn page(&self, selector: &str, start: i64, limit: usize) -> Streams {
        let end = now() + NS_PER_HOUR;
        let parameters = [
            ("query", selector.to_owned()),
            ("start", start.to_string()),
            ("end", end.to_string()),
            ("limit", limit.to_string()),
            ("direction", "forward".to_owned()),
        ];
        let mut streams = Streams::new();
        for stream in self.query_range(&parameters) {
            let labels = serde_json::from_value(stream["stream"].clone()).unwrap();
            let values = stream["values"].as_array().unwrap().iter();
            let lines = values.map(|value| {
                let timestamp = value[0].as_str().unwrap().parse().unwrap();
                (timestamp, value[1].as_str().unwrap().to_owned())
            });
            // A stream may stand in several parts in one answer.
            streams.entry(labels).or_default().extend(lines);
        }
        streams
    }

    fn query_range(&self, parameters: &[(&str, String)]) -> Vec<Value> {
        let mut path = "/loki/api/v1/query_range?".to_owned();
        for (name, value) in parameters {
            let value = percent_encode(value);
            write!(path, "{name}={value}&").unwrap();
        }
        let response = client::get(self.address, &path).unwrap();
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        let mut answer: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(answer["status"], "success", "{path}");
        serde_json::from_value(answer["data"]["result"].take()).unwrap()
    }
}

fn sum_of(series: &Value) -> u64 {
    let values = series["values"].as_array().unwrap().iter();
    values
        .map(|value| value[1].as_str().unwrap().parse::<u64>().unwrap())
        .sum()
}

fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        write!(encoded, "%{byte:02X}").unwrap();
        encoded
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server is asked for the time of the test"
)]
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_nanos()).unwrap()
}
