//! `sampling`: a share of the lines, by a hash of where they stand.

use tailwater_record::{Level, Severity};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::SamplingConfig;
use crate::draft::Draft;
use crate::error::Fault;
use crate::program::{Flow, ReasonId};

#[derive(Clone, Debug)]
pub(crate) struct Sampling {
    /// Hashes below it stay; none: all do.
    bound: Option<u64>,
    /// Lines of this level and graver ones stay.
    keep: Option<Level>,
    reason: ReasonId,
}

impl Sampling {
    /// Compiles the settings; a fault comes with the name of its key.
    pub(crate) fn new(
        config: &SamplingConfig,
        reason: ReasonId,
    ) -> Result<Self, (&'static str, Fault)> {
        if !(0.0..=1.0).contains(&config.rate) {
            let problem = format!("{} is no share of the lines", config.rate);
            return Err(("rate", Fault::new(problem, "write a number from 0 to 1")));
        }
        let keep = config.keep.as_ref().map(|keep| {
            keep.level.parse().map_err(|_unknown| {
                let problem = format!("`{}` is no level", keep.level);
                let hint = "write `trace`, `debug`, `info`, `warn`, `error` or `fatal`";
                ("keep.level", Fault::new(problem, hint))
            })
        });
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of 2^64 within its range; the digits that are lost are of no account"
        )]
        let bound = (config.rate * 18_446_744_073_709_551_616.0) as u64;
        Ok(Self {
            bound: (config.rate < 1.0).then_some(bound),
            keep: keep.transpose()?,
            reason,
        })
    }

    #[inline(never)]
    pub(crate) fn apply(&self, draft: &Draft<'_>) -> Flow {
        let offset = draft.parts().first().map_or(0, |part| part.span.start);
        let hash = xxh3_64_with_seed(&offset.to_le_bytes(), draft.seed);
        match self.bound {
            Some(bound) if hash >= bound && !self.keeps(draft) => Flow::Drop(self.reason),
            _ => Flow::Next,
        }
    }

    /// Whether the line is too grave to be dropped.
    fn keeps(&self, draft: &Draft<'_>) -> bool {
        self.keep.is_some_and(|kept| {
            let set = draft.severity.map(Severity::level);
            let level = set.or_else(|| Level::detect(draft.line_bytes()));
            level.is_some_and(|level| level >= kept)
        })
    }
}
