//! What was sent and what was lost, by tenant.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tailwater_record::EncodedBatch;

/// Tenants that are told apart; what is sent for further ones counts as [`OTHERS`].
const MAX_TENANTS: usize = 1000;

/// The tenants over the limit. No tenant has this name: it holds a space.
const OTHERS: &str = "all others";

/// What became of the records of one tenant since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantCounts {
    /// Bytes of the bodies that were to be sent, each once.
    pub encoded_bytes: u64,
    /// Records that the backend has taken.
    pub sent_records: u64,
    /// Bytes of their bodies.
    pub sent_bytes: u64,
    /// Attempts that failed and were not the backend's last word.
    pub retries: u64,
    /// What was refused or given up, by what it failed with last.
    pub lost: BTreeMap<&'static str, Lost>,
}

/// Records that were not delivered and never will be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// How many.
    pub records: u64,
    /// Bytes of the bodies they stood in.
    pub bytes: u64,
}

impl TenantCounts {
    /// Adds what another lane counts for the same tenant.
    pub(crate) fn add(&mut self, other: &Self) {
        self.encoded_bytes += other.encoded_bytes;
        self.sent_records += other.sent_records;
        self.sent_bytes += other.sent_bytes;
        self.retries += other.retries;
        for (reason, lost) in &other.lost {
            let own = self.lost.entry(reason).or_default();
            own.records += lost.records;
            own.bytes += lost.bytes;
        }
    }

    pub(crate) fn send(&mut self, batch: &EncodedBatch) {
        self.sent_records += u64::from(batch.records());
        self.sent_bytes += batch.body.len() as u64;
    }

    pub(crate) fn lose(&mut self, batch: &EncodedBatch, reason: &'static str) {
        let lost = self.lost.entry(reason).or_default();
        lost.records += u64::from(batch.records());
        lost.bytes += batch.body.len() as u64;
    }
}

/// The counts of one lane; changed once per request.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<BTreeMap<Option<Arc<str>>, TenantCounts>>);

impl Tally {
    /// Changes the counts of the tenant that a batch names.
    pub(crate) fn change(&self, batch: &EncodedBatch, change: impl FnOnce(&mut TenantCounts)) {
        let mut tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_one_more = tenants.len() >= MAX_TENANTS && !tenants.contains_key(&batch.tenant);
        let tenant = if is_one_more {
            Some(OTHERS.into())
        } else {
            batch.tenant.clone()
        };
        change(tenants.entry(tenant).or_default());
    }

    /// Returns the counts by tenant; `default` is the one of batches that name none.
    pub(crate) fn snapshot(&self, default: &str) -> BTreeMap<String, TenantCounts> {
        let tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_name: BTreeMap<String, TenantCounts> = BTreeMap::new();
        for (tenant, counts) in tenants.iter() {
            let name = tenant.as_deref().unwrap_or(default).to_owned();
            by_name.entry(name).or_default().add(counts);
        }
        by_name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tailwater_record::BatchId;

    fn batch(tenant: Option<&str>) -> EncodedBatch {
        EncodedBatch {
            id: BatchId(1),
            body: bytes::Bytes::from_static(b"body"),
            tenant: tenant.map(Into::into),
            spans: Vec::new(),
            record_ends: vec![1, 2],
        }
    }

    #[test]
    fn counts_are_kept_by_tenant_and_added_over_lanes() {
        let tally = Tally::default();
        let [shop, none] = [batch(Some("shop")), batch(None)];
        tally.change(&shop, |counts| counts.send(&shop));
        tally.change(&none, |counts| counts.lose(&none, "rate_limited"));
        let mut found = tally.snapshot("shop");
        let counts = found.remove("shop").unwrap();
        assert!(found.is_empty());
        assert_eq!((counts.sent_records, counts.sent_bytes), (2, 4));
        let lost = Lost {
            records: 2,
            bytes: 4,
        };
        assert_eq!(counts.lost, [("rate_limited", lost)].into());
    }

    #[test]
    fn tenants_over_the_limit_make_one_series() {
        let tally = Tally::default();
        for tenant in 0..2 * MAX_TENANTS {
            let batch = batch(Some(&tenant.to_string()));
            tally.change(&batch, |counts| counts.send(&batch));
        }
        let found = tally.snapshot("");
        assert_eq!(found.len(), MAX_TENANTS + 1);
        assert_eq!(found[OTHERS].sent_records, 2 * MAX_TENANTS as u64);
    }
}
