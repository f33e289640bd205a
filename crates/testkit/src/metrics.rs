//! The agent's metrics, and the books that they keep.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context as _, Result, bail, ensure};

/// One scrape in Prometheus' text format.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    samples: Vec<Sample>,
}

/// One value of a scrape.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The name of the metric.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Sample {
    fn matches(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.name == name
            && labels
                .iter()
                .all(|(name, value)| self.labels.get(*name).is_some_and(|own| own == value))
    }
}

impl Metrics {
    /// Reads a scrape.
    ///
    /// # Errors
    /// A line is neither a comment nor a sample.
    pub fn parse(text: &str) -> Result<Self> {
        let samples = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| parse_sample(line).with_context(|| format!("no sample: {line}")))
            .collect::<Result<_>>()?;
        Ok(Self { samples })
    }

    /// Returns the samples of a metric that have these labels, and whatever others.
    pub fn samples<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.samples
            .iter()
            .filter(move |sample| sample.matches(name, labels))
    }

    /// Returns the value of the one sample of a metric that has these labels; `None` where there is
    /// none, or more than one.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut samples = self.samples(name, labels);
        let value = samples.next()?.value;
        samples.next().is_none().then_some(value)
    }

    /// Returns the sum over the samples of a metric that have these labels; 0 where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let values = self.samples(name, labels).map(|sample| sample.value);
        // The sum of no floats is -0.
        values.sum::<f64>() + 0.0
    }
}

fn parse_sample(line: &str) -> Result<Sample> {
    let name_end = line
        .find(|character: char| character == '{' || character.is_whitespace())
        .context("no value")?;
    let (name, rest) = line.split_at(name_end);
    let mut labels = BTreeMap::new();
    let rest = match rest.strip_prefix('{') {
        Some(inner) => parse_labels(inner, &mut labels)?,
        None => rest,
    };
    // A timestamp may follow the value.
    let value = rest.split_whitespace().next().context("no value")?;
    Ok(Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().context("the value is no number")?,
    })
}

/// Reads labels up to the closing brace; returns what stands behind it.
fn parse_labels<'a>(mut rest: &'a str, labels: &mut BTreeMap<String, String>) -> Result<&'a str> {
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(behind) = rest.strip_prefix('}') {
            return Ok(behind);
        }
        let (name, after) = rest.split_once("=\"").context("no value of a label")?;
        let mut value = String::new();
        let mut characters = after.chars();
        loop {
            match characters.next().context("a label value has no end")? {
                '"' => break,
                '\\' => match characters.next() {
                    Some('n') => value.push('\n'),
                    Some(plain @ ('\\' | '"')) => value.push(plain),
                    other => bail!("unknown escape {other:?}"),
                },
                character => value.push(character),
            }
        }
        let is_new = labels.insert(name.to_owned(), value).is_none();
        ensure!(is_new, "label {name} stands twice");
        rest = characters.as_str();
    }
}

/// What became of the records of one source for one sink.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteBooks {
    /// The source.
    pub source: String,
    /// The sink.
    pub sink: String,
    /// Records that were read.
    pub read: f64,
    /// Records that the sink has taken.
    pub acked: f64,
    /// Records that were dropped by policy, over all reasons.
    pub dropped: f64,
    /// Records that the sink has refused, over all reasons.
    pub rejected: f64,
    /// Records that wait on disk.
    pub spilled: f64,
    /// Records that are on their way.
    pub in_flight: f64,
}

const READ: &str = "tailwater_read_records_total";
const ACKED: &str = "tailwater_acked_records_total";
const DROPPED: &str = "tailwater_dropped_records_total";
const REJECTED: &str = "tailwater_rejected_records_total";
const SPILLED: &str = "tailwater_spilled_records";
const IN_FLIGHT: &str = "tailwater_in_flight_records";

impl RouteBooks {
    fn new(metrics: &Metrics, source: &str, sink: &str) -> Self {
        let sum = |name| metrics.sum(name, &[("source", source), ("sink", sink)]);
        Self {
            source: source.to_owned(),
            sink: sink.to_owned(),
            read: sum(READ),
            acked: sum(ACKED),
            dropped: sum(DROPPED),
            rejected: sum(REJECTED),
            spilled: sum(SPILLED),
            in_flight: sum(IN_FLIGHT),
        }
    }

    /// Returns whether every record that was read is accounted for.
    pub fn is_balanced(&self) -> bool {
        let found = self.acked + self.dropped + self.rejected + self.spilled + self.in_flight;
        // Counts are whole numbers, exact up to 2^53.
        (self.read - found).abs() < 0.5
    }
}

impl fmt::Display for RouteBooks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "source {} sink {}: read {} against acked {} + dropped {} + rejected {} + spilled {} + \
             in flight {}",
            self.source,
            self.sink,
            self.read,
            self.acked,
            self.dropped,
            self.rejected,
            self.spilled,
            self.in_flight
        )
    }
}

/// Checks that the books balance for every source and sink of a scrape, and returns them.
///
/// # Errors
/// Names each source and sink whose books do not balance, with the figures; or the scrape holds no
/// figures at all.
pub fn books(metrics: &Metrics) -> Result<Vec<RouteBooks>> {
    let routes: BTreeSet<_> = metrics
        .samples
        .iter()
        .filter(|sample| {
            [READ, ACKED, DROPPED, REJECTED, SPILLED, IN_FLIGHT].contains(&&*sample.name)
        })
        .filter_map(|sample| Some((sample.labels.get("source")?, sample.labels.get("sink")?)))
        .collect();
    ensure!(
        !routes.is_empty(),
        "there are no books: {READ} has no source and sink"
    );
    let books: Vec<_> = routes
        .into_iter()
        .map(|(source, sink)| RouteBooks::new(metrics, source, sink))
        .collect();
    let wrong: Vec<_> = books.iter().filter(|route| !route.is_balanced()).collect();
    if wrong.is_empty() {
        return Ok(books);
    }
    let shown: Vec<_> = wrong.iter().map(ToString::to_string).collect();
    bail!("the books do not balance: {}", shown.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAPE: &str = r#"
# HELP tailwater_read_records_total Records read.
# TYPE tailwater_read_records_total counter
tailwater_read_records_total{source="nginx",sink="central"} 100
tailwater_read_records_total{source="nginx",sink="audit"} 100 1700000000000
tailwater_acked_records_total{source="nginx",sink="central"} 90
tailwater_acked_records_total{source="nginx",sink="audit"} 1e2
tailwater_rejected_records_total{source="nginx",sink="central",reason="too_old"} 2
tailwater_rejected_records_total{source="nginx",sink="central",reason="a \"b\\\n}"} 1
tailwater_in_flight_records{source="nginx",sink="central"} 7
up 1
process_start_time_seconds +Inf
"#;

    #[test]
    fn samples_are_found_by_name_and_some_of_their_labels() {
        let metrics = Metrics::parse(SCRAPE).unwrap();
        let rejected = "tailwater_rejected_records_total";
        assert_eq!(metrics.get("up", &[]), Some(1.0));
        assert_eq!(metrics.get(rejected, &[("reason", "too_old")]), Some(2.0));
        assert_eq!(
            metrics.get(rejected, &[("reason", "a \"b\\\n}")]),
            Some(1.0)
        );
        assert_eq!(metrics.get(rejected, &[]), None, "there are two");
        assert!((metrics.sum(rejected, &[("sink", "central")]) - 3.0).abs() < f64::EPSILON);
        assert!(metrics.sum(rejected, &[("sink", "audit")]).abs() < f64::EPSILON);
        assert_eq!(
            metrics.get("process_start_time_seconds", &[]),
            Some(f64::INFINITY)
        );
    }

    #[test]
    fn lines_that_are_no_samples_are_refused() {
        for text in [
            "up",
            "up x",
            "up{a=\"b\" 1",
            "up{a=\"b\",a=\"c\"} 1",
            "up{a=\"\\q\"} 1",
        ] {
            assert!(Metrics::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn books_that_balance_are_returned_route_by_route() {
        let books = books(&Metrics::parse(SCRAPE).unwrap()).unwrap();
        let sinks: Vec<_> = books.iter().map(|route| &*route.sink).collect();
        assert_eq!(sinks, ["audit", "central"]);
    }

    #[test]
    fn books_that_do_not_balance_are_shown_with_their_figures() {
        let scrape = SCRAPE.replace(
            "in_flight_records{source=\"nginx\",sink=\"central\"} 7",
            "x 7",
        );
        let error = books(&Metrics::parse(&scrape).unwrap())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("sink central: read 100 against acked 90"),
            "{error}"
        );
        assert!(!error.contains("audit"), "{error}");
    }

    #[test]
    fn a_scrape_without_books_is_no_proof() {
        assert!(books(&Metrics::parse("up 1").unwrap()).is_err());
    }
}
