//! The random numbers of the generator: the same seed gives the same file on every machine.

/// `SplitMix64`: fast, and every seed is a good one.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// Starts the sequence of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number, uniform over all 64 bits.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `[0, bound)`; 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let scaled = (self.next_u64() >> 32).wrapping_mul(u64::from(bound)) >> 32;
        u32::try_from(scaled).unwrap_or(0)
    }

    /// A number in `[0, bound)` that is small more often than large, as popularity is.
    pub(crate) fn skewed_below(&mut self, bound: u32) -> u32 {
        let once = self.below(bound);
        let twice = self.below(once.saturating_add(1));
        self.below(twice.saturating_add(1))
    }

    /// One of `choices`, the first ones more often; the empty string for none.
    pub(crate) fn skewed_choice(&mut self, choices: &[&'static str]) -> &'static str {
        let count = u32::try_from(choices.len()).unwrap_or(u32::MAX);
        let index = usize::try_from(self.skewed_below(count)).unwrap_or(0);
        choices.get(index).copied().unwrap_or_default()
    }

    /// One of `choices`, all as often; the empty string for none.
    pub(crate) fn choice(&mut self, choices: &[&'static str]) -> &'static str {
        let count = u32::try_from(choices.len()).unwrap_or(u32::MAX);
        let index = usize::try_from(self.below(count)).unwrap_or(0);
        choices.get(index).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_below_their_bound_and_reach_all_of_it() {
        let mut random = Random::new(1);
        let mut seen = [false; 7];
        for _ in 0..1000 {
            seen[usize::try_from(random.below(7)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn a_seed_always_gives_the_same_sequence() {
        let mut random = Random::new(0);
        // The first outputs of SplitMix64 for seed 0, as its authors publish them.
        assert_eq!(random.next_u64(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(random.next_u64(), 0x6e78_9e6a_a1b9_65f4);
    }
}
