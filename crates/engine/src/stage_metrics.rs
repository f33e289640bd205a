//! The metrics that stages make of lines, of all sources together.

use std::collections::BTreeMap;
use std::sync::Arc;

use tailwater_record::{LabelSet, TimestampNs};
use tailwater_stages::{Sample, SampleValue, Series, Stages};

use crate::config::EngineConfig;

/// The stages of all sources.
#[derive(Debug, Default)]
pub(crate) struct StageMetrics(Vec<Arc<Stages>>);

impl StageMetrics {
    pub(crate) fn of(config: &EngineConfig) -> Self {
        let stages = config.sources.iter();
        let mut distinct: Vec<Arc<Stages>> = Vec::new();
        for stages in stages.filter_map(|source| source.stages.as_ref()) {
            if !distinct.iter().any(|known| Arc::ptr_eq(known, stages)) {
                distinct.push(Arc::clone(stages));
            }
        }
        Self(distinct)
    }

    /// Returns all metrics. Where stages of several sources make one of the same name and labels, counts
    /// are added up; of gauges the last source's is shown.
    pub(crate) fn snapshot(&self, now: TimestampNs) -> Vec<Sample> {
        let mut merged: BTreeMap<String, Sample> = BTreeMap::new();
        for sample in self
            .0
            .iter()
            .flat_map(|stages| stages.registry().snapshot(now))
        {
            match merged.get_mut(&sample.name) {
                Some(known) => add_series(&mut known.series, sample.series),
                None => drop(merged.insert(sample.name.clone(), sample)),
            }
        }
        merged.into_values().collect()
    }

    /// Returns how many lines `truncate` has cut, and how many bytes it has cut off.
    pub(crate) fn truncated(&self) -> (u64, u64) {
        let all = self.0.iter().map(|stages| stages.truncated());
        all.fold((0, 0), |(lines, bytes), (more_lines, more_bytes)| {
            (lines + more_lines, bytes + more_bytes)
        })
    }

    /// Returns the lines that `limit` has dropped, by the name and the value of its label.
    pub(crate) fn dropped_by_label(&self) -> BTreeMap<(String, String), u64> {
        let mut merged = BTreeMap::new();
        let all = self.0.iter();
        for (name, value, lines) in all.flat_map(|stages| stages.registry().dropped_by_label()) {
            *merged.entry((name, value)).or_default() += lines;
        }
        merged
    }
}

fn add_series(known: &mut Vec<Series>, more: Vec<Series>) {
    for series in more {
        let same = |labels: &LabelSet| *labels == series.labels;
        match known.iter_mut().find(|known| same(&known.labels)) {
            Some(known) => add_value(&mut known.value, series.value),
            None => known.push(series),
        }
    }
}

fn add_value(known: &mut SampleValue, more: SampleValue) {
    match (known, more) {
        (SampleValue::Counter(known), SampleValue::Counter(more)) => *known += more,
        (
            SampleValue::Histogram {
                buckets,
                sum,
                count,
            },
            SampleValue::Histogram {
                buckets: more_buckets,
                sum: more_sum,
                count: more_count,
            },
        ) if buckets.len() == more_buckets.len() => {
            for ((_, known), (_, more)) in buckets.iter_mut().zip(more_buckets) {
                *known += more;
            }
            *sum += more_sum;
            *count += more_count;
        }
        (known, more) => *known = more,
    }
}
