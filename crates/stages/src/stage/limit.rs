//! `limit`: a rate of lines, of all or by the values of a label.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tailwater_record::TimestampNs;

use crate::LimitConfig;
use crate::draft::Draft;
use crate::error::Fault;
use crate::program::{Flow, ReasonId, Shop};
use crate::registry::Registry;

/// Values of a label that are known at once at least; Promtail's own bound.
const MIN_DISTINCT: usize = 10_000;

/// A limit of all workers together.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    rate: f64,
    burst: f64,
    reason: ReasonId,
    mode: Mode,
    /// The shared tokens while it has its own, for lines that do not count.
    shared: Option<Mode>,
    /// Set when the stages are complete.
    pub(crate) registry: Arc<Registry>,
}

#[derive(Clone, Debug)]
enum Mode {
    Wait(Arc<Mutex<Bucket>>),
    Drop(Arc<Mutex<Bucket>>),
    DropByLabel(Arc<ByLabel>),
}

impl Mode {
    /// The same, with full tokens that nobody shares.
    fn anew(&self, burst: f64) -> Self {
        let bucket = || Arc::new(Mutex::new(Bucket::full(burst)));
        match self {
            Self::Wait(_) => Self::Wait(bucket()),
            Self::Drop(_) => Self::Drop(bucket()),
            Self::DropByLabel(shared) => Self::DropByLabel(Arc::new(ByLabel {
                name: shared.name.clone(),
                max_distinct: shared.max_distinct,
                buckets: Mutex::default(),
            })),
        }
    }
}

#[derive(Debug)]
struct ByLabel {
    name: Box<str>,
    max_distinct: usize,
    buckets: Mutex<HashMap<Box<str>, Bucket>>,
}

/// A token bucket; below zero is a debt.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    filled_at: u64,
}

impl Bucket {
    fn full(burst: f64) -> Self {
        Self {
            tokens: burst,
            filled_at: 0,
        }
    }

    fn fill(&mut self, now: u64, rate: f64, burst: f64) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "nanoseconds of a time span, for a rate"
        )]
        let seconds = now.saturating_sub(self.filled_at) as f64 / 1e9;
        self.tokens = (self.tokens + seconds * rate).min(burst);
        self.filled_at = self.filled_at.max(now);
    }

    fn take(&mut self, now: u64, rate: f64, burst: f64) -> bool {
        self.fill(now, rate, burst);
        let is_allowed = self.tokens >= 1.0;
        if is_allowed {
            self.tokens -= 1.0;
        }
        is_allowed
    }
}

impl Limit {
    /// Checks the settings; a fault comes with the name of its key.
    pub(crate) fn new(
        config: &LimitConfig,
        reason: ReasonId,
        registry: Arc<Registry>,
    ) -> Result<Self, (&'static str, Fault)> {
        let is_rate = config.rate > 0.0 && config.rate.is_finite();
        if !is_rate {
            let fault = Fault::new("a rate is above 0", "write lines per second");
            return Err(("rate", fault));
        }
        if config.burst == 0 {
            let fault = Fault::new(
                "a burst is above 0",
                "write how many lines may come at once",
            );
            return Err(("burst", fault));
        }
        let burst = f64::from(config.burst);
        let bucket = || Arc::new(Mutex::new(Bucket::full(burst)));
        let mode = match (config.by_label_name.as_str(), config.drop) {
            ("", true) => Mode::Drop(bucket()),
            ("", false) => Mode::Wait(bucket()),
            (name, true) => Mode::DropByLabel(Arc::new(ByLabel {
                name: name.into(),
                max_distinct: config.max_distinct_labels.max(MIN_DISTINCT),
                buckets: Mutex::default(),
            })),
            (_, false) => {
                let fault = Fault::new("a limit by label can only drop", "add `drop: true`");
                return Err(("by_label_name", fault));
            }
        };
        Ok(Self {
            rate: config.rate,
            burst,
            reason,
            mode,
            shared: None,
            registry,
        })
    }

    /// Takes the tokens of all workers, or its own where lines do not count.
    pub(crate) fn set_metrics(&mut self, are_counted: bool) {
        match (are_counted, self.shared.take()) {
            (true, Some(shared)) => self.mode = shared,
            (false, None) => {
                let own = self.mode.anew(self.burst);
                self.shared = Some(std::mem::replace(&mut self.mode, own));
            }
            (_, shared) => self.shared = shared,
        }
    }

    #[inline(never)]
    pub(crate) fn apply(&self, draft: &Draft<'_>, shop: &mut Shop) -> Flow {
        let now = draft.now.0;
        let is_allowed = match &self.mode {
            Mode::Wait(bucket) => {
                self.wait(bucket, now, shop);
                true
            }
            Mode::Drop(bucket) => {
                let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
                bucket.take(now, self.rate, self.burst)
            }
            Mode::DropByLabel(by_label) => self.take_by_label(by_label, draft),
        };
        if is_allowed {
            Flow::Next
        } else {
            Flow::Drop(self.reason)
        }
    }

    /// Takes a token, on credit if need be, and says when the debt is paid.
    fn wait(&self, bucket: &Mutex<Bucket>, now: u64, shop: &mut Shop) {
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.fill(now, self.rate, self.burst);
        bucket.tokens -= 1.0;
        if bucket.tokens < 0.0 {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a time span that is not negative; one too long for 64 bits is cut"
            )]
            let wait_ns = (-bucket.tokens / self.rate * 1e9) as u64;
            let until = TimestampNs(now.saturating_add(wait_ns));
            shop.paused_until = shop.paused_until.max(Some(until));
        }
    }

    fn take_by_label(&self, by_label: &ByLabel, draft: &Draft<'_>) -> bool {
        // Lines without the label are not limited.
        let Some(value) = draft.label(&by_label.name) else {
            return true;
        };
        let mut buckets = by_label
            .buckets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !buckets.contains_key(value) {
            if buckets.len() >= by_label.max_distinct {
                buckets.clear();
                if self.shared.is_none() {
                    self.registry.reset_dropped_by_label();
                }
            }
            buckets.insert(value.into(), Bucket::full(self.burst));
        }
        let is_allowed = buckets
            .get_mut(value)
            .is_none_or(|bucket| bucket.take(draft.now.0, self.rate, self.burst));
        if !is_allowed && self.shared.is_none() {
            self.registry
                .count_dropped_by_label(&by_label.name, value, draft.lines);
        }
        is_allowed
    }
}
