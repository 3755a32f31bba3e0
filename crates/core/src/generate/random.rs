//! Seeded randomness: the same seed draws the same on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A stream of draws.
#[derive(Clone, Debug)]
pub(super) struct Random(ChaCha8Rng);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number in `[0, count)`; 0 for a count of 0.
    pub fn below(&mut self, count: u64) -> u64 {
        let product = u128::from(self.0.next_u64()) * u128::from(count);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// A number in `[from, to]`; `from` where `to` is smaller.
    pub fn within(&mut self, from: i64, to: i64) -> i64 {
        let span = to.saturating_sub(from).max(0).unsigned_abs();
        from.saturating_add_unsigned(self.below(span.saturating_add(1)))
    }

    /// An index below `count`.
    pub fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.below(u64::try_from(count).unwrap_or(u64::MAX))).unwrap_or(0)
    }

    pub fn happens(&mut self, chance: Chance) -> bool {
        chance.0 > 0 && self.below(SCALE) < chance.0
    }
}

const SCALE: u64 = 1 << 32;

/// How often something happens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    /// A ratio from 0 (never, also for anything below and NaN) to 1 (always, also for anything above).
    pub fn new(ratio: f64) -> Self {
        // A float of at most 2^32 has an exact integer part; `as` saturates and takes NaN to 0.
        Self(((ratio * 4_294_967_296.0) as u64).min(SCALE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_within_their_bounds_and_reach_them() {
        let mut random = Random::new(1);
        let draws: Vec<_> = (0..1000).map(|_| random.within(-2, 2)).collect();
        assert_eq!((draws.iter().min(), draws.iter().max()), (Some(&-2), Some(&2)));
        assert_eq!((random.within(5, 4), random.index(0)), (5, 0));
    }

    #[test]
    fn a_chance_is_met_about_as_often_as_it_says() {
        let mut random = Random::new(1);
        let mut count = |ratio| (0..10_000).filter(|_| random.happens(Chance::new(ratio))).count();
        assert_eq!((count(0.0), count(1.0), count(-1.0), count(f64::NAN)), (0, 10_000, 0, 0));
        assert!((400..600).contains(&count(0.05)));
    }
}
