//! `metrics`: counters, gauges and histograms made of lines.

use std::sync::Arc;

use crate::draft::{Draft, Slot, Value, retained};
use crate::error::Fault;
use crate::go::duration::{parse_ns, parse_seconds};
use crate::interner::{Memo, is_label_name};
use crate::limits::Limits;
use crate::program::{Names, Shop};
use crate::registry::{Change, MetricId, Registry, Shape};
use crate::{MetricConfig, MetricSettings};

const DEFAULT_PREFIX: &str = "promtail_custom_";
const DEFAULT_MAX_IDLE_NS: u64 = 300_000_000_000;
const MIN_MAX_IDLE_NS: u64 = 1_000_000_000;

/// Buckets of a histogram that names none: those of Prometheus' client library, which Promtail uses.
const DEFAULT_BUCKETS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    rules: Vec<Rule>,
    /// Set when the stages are complete.
    pub(crate) registry: Arc<Registry>,
    /// Not while lines pass that were counted before.
    pub(crate) are_counted: bool,
    /// The labels of the last line, and those of its series.
    public_labels: Memo,
}

/// What one metric takes from a line.
#[derive(Clone, Debug)]
struct Rule {
    id: MetricId,
    amount: Amount,
    action: Action,
    /// The value that a line must have.
    value: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug)]
enum Amount {
    /// Every line.
    Line,
    /// Every line, by its bytes.
    LineBytes,
    Source(Slot),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    Inc,
    Dec,
    Add,
    /// As `Add`, of a counter: nothing negative.
    Count,
    Sub,
    Set,
    Observe,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            rules: Vec::new(),
            registry: Arc::default(),
            are_counted: true,
            public_labels: Memo::default(),
        }
    }

    /// Adds a metric; a fault comes with the name of its key.
    pub(crate) fn add(
        &mut self,
        name: &str,
        config: &MetricConfig,
        names: &mut Names,
        registry: &mut Registry,
        limits: Limits,
    ) -> Result<(), (&'static str, Fault)> {
        let kind = config.kind.to_ascii_lowercase();
        let settings = &config.config;
        let (shape, action) = match kind.as_str() {
            "counter" => (Shape::Counter, counter_action(settings)?),
            "gauge" => (Shape::Gauge, gauge_action(settings)?),
            "histogram" => (Shape::Histogram(buckets(settings)?), Action::Observe),
            _ => {
                let fault = Fault::new(
                    format!("`{}` is no type of metric", config.kind),
                    "write `counter`, `gauge` or `histogram`",
                );
                return Err(("type", fault));
            }
        };
        check_counter_keys(&kind, settings)?;
        let prefix = if config.prefix.is_empty() {
            DEFAULT_PREFIX
        } else {
            &config.prefix
        };
        let full_name = format!("{prefix}{name}");
        if !is_label_name(&full_name.replace(':', "_")) {
            let problem = format!("`{full_name}` is no name of a metric");
            return Err((
                "prefix",
                Fault::new(problem, "use letters, digits, `_` and `:`"),
            ));
        }
        let max_idle_ns = max_idle_ns(config)?;
        let id = registry
            .register(
                &full_name,
                &config.description,
                shape,
                max_idle_ns,
                limits.max_series,
            )
            .ok_or_else(|| {
                let problem = format!("`{full_name}` is a metric of another type as well");
                ("type", Fault::new(problem, "give one of them another name"))
            })?;
        let source = config.source.as_deref().unwrap_or(name);
        let amount = match (settings.match_all, settings.count_entry_bytes) {
            (Some(true), Some(true)) => Amount::LineBytes,
            (Some(true), _) => Amount::Line,
            _ => Amount::Source(names.slot(source)),
        };
        self.rules.push(Rule {
            id,
            amount,
            action,
            value: settings.value.as_deref().map(Into::into),
        });
        Ok(())
    }

    #[inline(never)]
    pub(crate) fn apply(&mut self, draft: &mut Draft<'_>, shop: &mut Shop) {
        if !self.are_counted {
            return;
        }
        for rule in &self.rules {
            let Some(change) = rule.change(draft) else {
                continue;
            };
            let labels = self.public_labels.get(draft.labels(), |labels| {
                let public = retained(labels, &mut shop.interner, |name| !name.starts_with("__"));
                public.unwrap_or_else(|| labels.clone())
            });
            self.registry.change(rule.id, &labels, change, draft.now);
        }
    }
}

impl Rule {
    /// What a line does to the metric, if anything.
    fn change(&self, draft: &mut Draft<'_>) -> Option<Change> {
        let amount = match self.amount {
            // There is nothing that could be added.
            Amount::Line => None,
            #[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
            Amount::LineBytes => Some(draft.line_bytes().len() as f64),
            Amount::Source(slot) => {
                if draft.value(slot) == Value::Missing {
                    return None;
                }
                if let Some(expected) = &self.value {
                    let text = draft.text(slot)?;
                    if draft.bytes(text) != expected.as_bytes() {
                        return None;
                    }
                }
                number(draft, slot)
            }
        };
        Some(match self.action {
            Action::Inc => Change::Add(1.0),
            Action::Dec => Change::Add(-1.0),
            Action::Add => Change::Add(amount?),
            Action::Count => Change::Add(amount.filter(|amount| *amount >= 0.0)?),
            Action::Sub => Change::Add(-amount?),
            Action::Set => Change::Set(amount?),
            Action::Observe => Change::Observe(amount?),
        })
    }
}

/// An extracted value as a number: a duration gives seconds, a truth value 1 or 0.
fn number(draft: &Draft<'_>, slot: Slot) -> Option<f64> {
    match draft.value(slot) {
        Value::Number(number) => Some(number),
        Value::Bool(value) => Some(f64::from(u8::from(value))),
        Value::Text(text) => {
            let text = std::str::from_utf8(draft.bytes(text)).ok()?;
            text.parse().ok().or_else(|| parse_seconds(text))
        }
        Value::Missing | Value::Nil => None,
    }
}

fn counter_action(settings: &MetricSettings) -> Result<Action, (&'static str, Fault)> {
    match action(settings).as_str() {
        "inc" => Ok(Action::Inc),
        "add" => Ok(Action::Count),
        other => Err(("config.action", no_action(other, "`inc` or `add`"))),
    }
}

fn gauge_action(settings: &MetricSettings) -> Result<Action, (&'static str, Fault)> {
    match action(settings).as_str() {
        "set" => Ok(Action::Set),
        "inc" => Ok(Action::Inc),
        "dec" => Ok(Action::Dec),
        "add" => Ok(Action::Add),
        "sub" => Ok(Action::Sub),
        other => Err((
            "config.action",
            no_action(other, "`set`, `inc`, `dec`, `add` or `sub`"),
        )),
    }
}

fn action(settings: &MetricSettings) -> String {
    let action = settings.action.as_deref().unwrap_or_default();
    action.to_ascii_lowercase()
}

fn no_action(action: &str, known: &str) -> Fault {
    Fault::new(
        format!("`{action}` is no action of this type of metric"),
        format!("write {known}"),
    )
}

fn buckets(settings: &MetricSettings) -> Result<Box<[f64]>, (&'static str, Fault)> {
    let given = settings.buckets.as_deref().unwrap_or_default();
    // The last bucket is without a bound anyway.
    let given = given.strip_suffix(&[f64::INFINITY]).unwrap_or(given);
    let buckets = if given.is_empty() {
        DEFAULT_BUCKETS
    } else {
        given
    };
    let rise = buckets
        .iter()
        .zip(buckets.iter().skip(1))
        .all(|(one, next)| one < next);
    if !rise || !buckets.iter().all(|bound| bound.is_finite()) {
        let fault = Fault::new(
            "the upper bounds of buckets rise, each above the one before",
            "write them as in `buckets: [0.1, 1, 10]`",
        );
        return Err(("config.buckets", fault));
    }
    Ok(buckets.into())
}

fn check_counter_keys(kind: &str, settings: &MetricSettings) -> Result<(), (&'static str, Fault)> {
    let matches_all = settings.match_all == Some(true);
    let counts_bytes = settings.count_entry_bytes == Some(true);
    let fault = if (matches_all || counts_bytes) && kind != "counter" {
        Fault::new("only a counter can count all lines", "remove the key")
    } else if matches_all && settings.value.is_some() {
        Fault::new("`match_all` and `value` are given both", "keep one of them")
    } else if counts_bytes && (!matches_all || action(settings) != "add") {
        Fault::new(
            "`count_entry_bytes` adds the bytes of all lines",
            "write `match_all: true` and `action: add`",
        )
    } else {
        return Ok(());
    };
    let key = if counts_bytes {
        "config.count_entry_bytes"
    } else {
        "config.match_all"
    };
    Err((key, fault))
}

fn max_idle_ns(config: &MetricConfig) -> Result<u64, (&'static str, Fault)> {
    let Some(text) = &config.max_idle_duration else {
        return Ok(DEFAULT_MAX_IDLE_NS);
    };
    parse_ns(text)
        .filter(|ns| *ns >= MIN_MAX_IDLE_NS)
        .ok_or_else(|| {
            let fault = Fault::new(
                format!("`{text}` is no duration of a second or more"),
                "write one such as `5m`",
            );
            ("max_idle_duration", fault)
        })
}
