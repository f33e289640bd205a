//! Random choices that a seed repeats.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::line::mix;

/// A generator; the same seed makes the same choices.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts at a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a generator of its own for part `index` of a run.
    #[must_use]
    pub fn part(&self, index: u64) -> Self {
        Self(mix(self.0 ^ mix(index.wrapping_add(1))))
    }

    /// Returns any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Returns a number of the range, each as likely; its start where the range is empty.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let choices = range.end().saturating_sub(*range.start()).saturating_add(1);
        range.start().saturating_add(self.number() % choices.max(1))
    }

    /// Returns a number of milliseconds of the range.
    pub fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    /// Returns `true` once in so many times.
    pub fn is_one_in(&mut self, times: u64) -> bool {
        self.number().is_multiple_of(times.max(1))
    }

    /// Returns one of the choices.
    ///
    /// # Panics
    /// There is none.
    pub fn one_of<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
        let len = u64::try_from(choices.len()).unwrap_or(u64::MAX);
        let index = usize::try_from(self.number() % len.max(1)).unwrap_or(0);
        choices.get(index).expect("there is a choice")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_choices_and_every_choice_is_made() {
        let choose = |seed| {
            let mut random = Random::new(seed);
            (0..100).map(|_| random.within(3..=7)).collect::<Vec<u64>>()
        };
        assert_eq!(choose(1), choose(1));
        assert_ne!(choose(1), choose(2));
        let mut made = choose(1);
        made.sort_unstable();
        made.dedup();
        assert_eq!(made, [3, 4, 5, 6, 7]);
        assert_ne!(
            Random::new(1).part(0).number(),
            Random::new(1).part(1).number()
        );
    }
}
