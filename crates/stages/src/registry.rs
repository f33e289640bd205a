//! The metrics that stages make of lines, of all workers together.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tailwater_record::{LabelSet, TimestampNs};

/// Metrics made of lines.
///
/// Shared by the workers of one [`crate::Stages`]; counts start at zero when it is compiled.
#[derive(Debug, Default)]
pub struct Registry {
    metrics: Vec<Metric>,
    /// Lines that `limit` dropped, by name and value of its label.
    dropped_by_label: Mutex<BTreeMap<(String, String), u64>>,
    truncated_lines: AtomicU64,
    truncated_bytes: AtomicU64,
}

/// One metric at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The name, with its prefix.
    pub name: String,
    /// The help text.
    pub help: String,
    /// The series, in the order of their labels.
    pub series: Vec<Series>,
}

/// One series of a metric at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its labels.
    pub labels: LabelSet,
    /// Its value.
    pub value: SampleValue,
}

/// The value of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum SampleValue {
    /// A counter.
    Counter(f64),
    /// A gauge.
    Gauge(f64),
    /// A histogram.
    Histogram {
        /// Upper bounds, and how many values are at most so large.
        buckets: Vec<(f64, u64)>,
        /// The sum of all values.
        sum: f64,
        /// How many values there are.
        count: u64,
    },
}

/// A metric and its series.
#[derive(Debug)]
struct Metric {
    name: Box<str>,
    help: Box<str>,
    shape: Shape,
    max_idle_ns: u64,
    max_series: usize,
    series: Mutex<HashMap<LabelSet, Cell>>,
}

/// What kind of metric it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    Counter,
    Gauge,
    Histogram(Box<[f64]>),
}

#[derive(Debug)]
struct Cell {
    value: f64,
    /// Of histograms: values by bucket, not cumulated.
    buckets: Vec<u64>,
    count: u64,
    changed_at: u64,
}

/// What a line does to a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Change {
    Add(f64),
    Set(f64),
    Observe(f64),
}

/// The index of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MetricId(usize);

impl Registry {
    /// Makes a metric, or finds the one of the same name; nothing where that is of another kind.
    pub(crate) fn register(
        &mut self,
        name: &str,
        help: &str,
        shape: Shape,
        max_idle_ns: u64,
        max_series: usize,
    ) -> Option<MetricId> {
        let known = self.metrics.iter().position(|metric| *metric.name == *name);
        if let Some(index) = known {
            let is_same = self.metrics.get(index)?.shape == shape;
            return is_same.then_some(MetricId(index));
        }
        self.metrics.push(Metric {
            name: name.into(),
            help: help.into(),
            shape,
            max_idle_ns,
            max_series,
            series: Mutex::default(),
        });
        Some(MetricId(self.metrics.len() - 1))
    }

    /// Changes a series, which is made where there is none and room for one.
    pub(crate) fn change(&self, id: MetricId, labels: &LabelSet, change: Change, now: TimestampNs) {
        let Some(metric) = self.metrics.get(id.0) else {
            return;
        };
        let mut series = metric.series.lock().unwrap_or_else(PoisonError::into_inner);
        if !series.contains_key(labels) {
            if series.len() >= metric.max_series {
                return;
            }
            series.insert(labels.clone(), metric.shape.empty());
        }
        if let Some(cell) = series.get_mut(labels) {
            cell.change(change, &metric.shape);
            cell.changed_at = cell.changed_at.max(now.0);
        }
    }

    pub(crate) fn count_dropped_by_label(&self, name: &str, value: &str, lines: u64) {
        let mut counts = self.lock_dropped();
        *counts.entry((name.into(), value.into())).or_default() += lines;
    }

    pub(crate) fn reset_dropped_by_label(&self) {
        self.lock_dropped().clear();
    }

    fn lock_dropped(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, String), u64>> {
        self.dropped_by_label
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count_truncated(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.truncated_lines.fetch_add(1, Ordering::Relaxed);
        self.truncated_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Lines that were cut, and the bytes that were cut off.
    pub(crate) fn truncated(&self) -> (u64, u64) {
        (
            self.truncated_lines.load(Ordering::Relaxed),
            self.truncated_bytes.load(Ordering::Relaxed),
        )
    }

    /// Returns all metrics in the order of the configuration, after removing the series that were
    /// idle for longer than their `max_idle_duration`.
    pub fn snapshot(&self, now: TimestampNs) -> Vec<Sample> {
        self.metrics
            .iter()
            .map(|metric| metric.snapshot(now))
            .collect()
    }

    /// Returns the lines that `limit` dropped by label: its name, its value, and how many, for
    /// `logentry_dropped_lines_by_label_total`.
    pub fn dropped_by_label(&self) -> Vec<(String, String, u64)> {
        let counts = self.lock_dropped();
        counts
            .iter()
            .map(|((name, value), count)| (name.clone(), value.clone(), *count))
            .collect()
    }
}

impl Shape {
    fn empty(&self) -> Cell {
        let buckets = match self {
            Self::Counter | Self::Gauge => 0,
            Self::Histogram(bounds) => bounds.len(),
        };
        Cell {
            value: 0.0,
            buckets: vec![0; buckets],
            count: 0,
            changed_at: 0,
        }
    }
}

impl Cell {
    fn change(&mut self, change: Change, shape: &Shape) {
        match change {
            Change::Add(by) => self.value += by,
            Change::Set(to) => self.value = to,
            Change::Observe(value) => {
                self.value += value;
                self.count += 1;
                if let Shape::Histogram(bounds) = shape {
                    let index = bounds.iter().position(|bound| value <= *bound);
                    if let Some(bucket) = index.and_then(|index| self.buckets.get_mut(index)) {
                        *bucket += 1;
                    }
                }
            }
        }
    }

    fn value(&self, shape: &Shape) -> SampleValue {
        match shape {
            Shape::Counter => SampleValue::Counter(self.value),
            Shape::Gauge => SampleValue::Gauge(self.value),
            Shape::Histogram(bounds) => {
                let mut below = 0;
                let cumulated = self.buckets.iter().map(|count| {
                    below += count;
                    below
                });
                SampleValue::Histogram {
                    buckets: bounds.iter().copied().zip(cumulated).collect(),
                    sum: self.value,
                    count: self.count,
                }
            }
        }
    }
}

impl Metric {
    fn snapshot(&self, now: TimestampNs) -> Sample {
        let mut cells = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        cells.retain(|_, cell| now.0.saturating_sub(cell.changed_at) < self.max_idle_ns);
        let mut series: Vec<Series> = cells
            .iter()
            .map(|(labels, cell)| Series {
                labels: labels.clone(),
                value: cell.value(&self.shape),
            })
            .collect();
        series.sort_by(|one, other| one.labels.iter().cmp(other.labels.iter()));
        Sample {
            name: self.name.to_string(),
            help: self.help.to_string(),
            series,
        }
    }
}
