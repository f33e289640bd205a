//! `sampling`: a share of the lines, by a hash of where they stand.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::SamplingConfig;
use crate::draft::Draft;
use crate::error::Fault;
use crate::program::{Flow, ReasonId};

#[derive(Clone, Debug)]
pub(crate) struct Sampling {
    /// Hashes below it stay; none: all do.
    bound: Option<u64>,
    reason: ReasonId,
}

impl Sampling {
    pub(crate) fn new(config: &SamplingConfig, reason: ReasonId) -> Result<Self, Fault> {
        if !(0.0..=1.0).contains(&config.rate) {
            return Err(Fault::new(
                format!("{} is no share of the lines", config.rate),
                "write a number from 0 to 1",
            ));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of 2^64 within its range; the digits that are lost are of no account"
        )]
        let bound = (config.rate * 18_446_744_073_709_551_616.0) as u64;
        Ok(Self {
            bound: (config.rate < 1.0).then_some(bound),
            reason,
        })
    }

    #[inline(never)]
    pub(crate) fn apply(&self, draft: &Draft<'_>) -> Flow {
        let offset = draft.parts().first().map_or(0, |part| part.span.start);
        let hash = xxh3_64_with_seed(&offset.to_le_bytes(), draft.seed);
        match self.bound {
            Some(bound) if hash >= bound => Flow::Drop(self.reason),
            _ => Flow::Next,
        }
    }
}
