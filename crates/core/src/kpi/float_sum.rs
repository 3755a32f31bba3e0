//! An exact sum of doubles (N1): whatever the order and grouping, the same bits; rounded once, when asked.
//!
//! The sum is one fixed-point number wide enough for every double: 32 bits per limb, the lowest bit worth 2^-1074. NaN
//! and the infinities are flags. It costs 544 bytes, so it is boxed.

use super::codec::{CodecError, Reader, put_u64};

/// Bits in a limb.
const LIMB: u32 = 32;
/// 2098 bits of doubles, 78 bits of head room for carries.
const LIMBS: usize = 68;
/// A limb holds this many pieces of 32 bits before its 64 bits could overflow; half of it, to allow a merge.
const MAX_PENDING: u32 = 1 << 29;
/// Bits of a double's significand below the implicit one.
const FRACTION: u32 = 52;
const LOW: i64 = 0xffff_ffff;

/// The running sum.
#[derive(Clone, Debug)]
pub struct FloatSum {
    limbs: Box<[i64; LIMBS]>,
    pending: u32,
    specials: Specials,
}

/// Which values that are no numbers were added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Specials {
    nan: bool,
    positive: bool,
    negative: bool,
}

impl Default for FloatSum {
    fn default() -> Self {
        Self { limbs: Box::new([0; LIMBS]), pending: 0, specials: Specials::default() }
    }
}

impl PartialEq for FloatSum {
    fn eq(&self, other: &Self) -> bool {
        self.specials == other.specials && *self.carried() == *other.carried()
    }
}

impl FloatSum {
    /// Adds a value.
    pub fn add(&mut self, x: f64) {
        if x.is_finite() {
            self.add_finite(x);
        } else if x.is_nan() {
            self.specials.nan = true;
        } else if x > 0.0 {
            self.specials.positive = true;
        } else {
            self.specials.negative = true;
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        self.specials.nan |= other.specials.nan;
        self.specials.positive |= other.specials.positive;
        self.specials.negative |= other.specials.negative;
        carry(&mut self.limbs);
        for (limb, more) in self.limbs.iter_mut().zip(other.carried().iter()) {
            *limb += more;
        }
        self.pending = 2;
    }

    /// The double nearest to the exact sum, ties to even; infinite where it is out of range.
    #[must_use]
    pub fn value(&self) -> f64 {
        match self.specials {
            Specials { nan: true, .. } | Specials { positive: true, negative: true, .. } => f64::NAN,
            Specials { positive: true, .. } => f64::INFINITY,
            Specials { negative: true, .. } => f64::NEG_INFINITY,
            _ => self.finite_value(),
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let s = self.specials;
        out.push(u8::from(s.nan) | u8::from(s.positive) << 1 | u8::from(s.negative) << 2);
        let limbs = self.carried();
        let first = limbs.iter().position(|limb| *limb != 0).unwrap_or(LIMBS);
        let last = limbs.iter().rposition(|limb| *limb != 0).map_or(first, |last| last + 1);
        out.extend([first, last].map(|at| u8::try_from(at).unwrap_or(u8::MAX)));
        for limb in limbs.iter().take(last).skip(first) {
            put_u64(out, limb.cast_unsigned());
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let flags = reader.u8()?;
        let specials = Specials { nan: flags & 1 != 0, positive: flags & 2 != 0, negative: flags & 4 != 0 };
        let (first, last) = (usize::from(reader.u8()?), usize::from(reader.u8()?));
        let mut sum = Self { specials, pending: 1, ..Self::default() };
        let limbs = sum.limbs.get_mut(first..last).ok_or(CodecError::Malformed)?;
        for limb in limbs {
            *limb = reader.u64()?.cast_signed();
        }
        Ok(sum)
    }

    fn add_finite(&mut self, x: f64) {
        let bits = x.to_bits();
        let exponent = bits >> FRACTION & 0x7ff;
        let fraction = bits & ((1 << FRACTION) - 1);
        // The value is significand * 2^(position - 1074).
        let (significand, position) =
            if exponent == 0 { (fraction, 0) } else { (fraction | 1 << FRACTION, exponent - 1) };
        let wide = u128::from(significand) << (position % u64::from(LIMB));
        let at = usize::try_from(position / u64::from(LIMB)).unwrap_or(LIMBS);
        let pieces = [wide, wide >> LIMB, wide >> (2 * LIMB)];
        for (limb, piece) in self.limbs.iter_mut().skip(at).zip(pieces) {
            let piece = i64::try_from(piece & u128::from(u32::MAX)).unwrap_or(0);
            *limb += if x.is_sign_negative() { -piece } else { piece };
        }
        self.pending += 1;
        if self.pending >= MAX_PENDING {
            carry(&mut self.limbs);
            self.pending = 1;
        }
    }

    /// The limbs with all carries passed on: every limb but the highest in 0..2^32. Equal sums have equal limbs.
    fn carried(&self) -> Box<[i64; LIMBS]> {
        let mut limbs = self.limbs.clone();
        carry(&mut limbs);
        limbs
    }

    fn finite_value(&self) -> f64 {
        let mut limbs = self.carried();
        let negative = limbs.last().is_some_and(|top| *top < 0);
        if negative {
            limbs.iter_mut().for_each(|limb| *limb = -*limb);
            carry(&mut limbs);
        }
        let magnitude = nearest(&limbs);
        if negative { -magnitude } else { magnitude }
    }
}

fn carry(limbs: &mut [i64; LIMBS]) {
    let mut carried = 0;
    let (top, rest) = match limbs.split_last_mut() {
        Some(parts) => parts,
        None => return,
    };
    for limb in rest {
        let full = *limb + carried;
        *limb = full & LOW;
        carried = full >> LIMB;
    }
    *top += carried;
}

/// The double nearest to a number that is not negative, from its carried limbs.
fn nearest(limbs: &[i64; LIMBS]) -> f64 {
    let Some(top) = limbs.iter().rposition(|limb| *limb != 0) else { return 0.0 };
    let limb = |back: usize| {
        let at = top.checked_sub(back).and_then(|at| limbs.get(at)).copied().unwrap_or(0);
        u128::from(at.cast_unsigned() & LOW.cast_unsigned())
    };
    let head = limb(0) << 96 | limb(1) << 64 | limb(2) << 32 | limb(3);
    // Where the highest bit stands, counted from 2^-1074.
    let highest =
        u64::try_from(top).unwrap_or(0) * u64::from(LIMB) + u64::from(LIMB - 1) - u64::from(head.leading_zeros());
    let Some(position) = highest.checked_sub(u64::from(FRACTION)) else {
        // Fewer bits than a significand has: exact, and the bits of a double near zero are just this integer.
        let down = 96_u32.saturating_sub(u32::try_from(top).unwrap_or(0) * LIMB);
        return f64::from_bits(u64::try_from(head >> down).unwrap_or(0));
    };
    let drop = 127 - head.leading_zeros() - FRACTION;
    let kept = u64::try_from(head >> drop).unwrap_or(0);
    let half = 1_u128 << (drop - 1);
    let rest = head & ((1 << drop) - 1);
    let sticky = limbs.iter().take(top.saturating_sub(3)).any(|limb| *limb != 0);
    let up = rest > half || rest == half && (sticky || kept & 1 == 1);
    // `kept` carries the implicit bit, which adds one to the exponent field; so does a carry out of rounding.
    let bits = (position << FRACTION) + kept + u64::from(up);
    f64::from_bits(bits.min(f64::INFINITY.to_bits()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(values: &[f64]) -> FloatSum {
        let mut sum = FloatSum::default();
        values.iter().for_each(|x| sum.add(*x));
        sum
    }

    #[test]
    fn sums_are_rounded_once() {
        let tiny = f64::from_bits(1);
        for (values, expected) in [
            (&[][..], 0.0),
            (&[0.1, 0.2, 0.3], 0.6),
            (&[1e308, 1e308, -1e308], 1e308),
            (&[1e308, 1e308], f64::INFINITY),
            (&[1.0, 1e100, 1.0, -1e100], 2.0),
            (&[tiny, tiny, -tiny], tiny),
            (&[f64::MIN_POSITIVE, -tiny], f64::from_bits(f64::MIN_POSITIVE.to_bits() - 1)),
            (&[9007199254740992.0, 1.0], 9007199254740992.0),
            (&[9007199254740992.0, 1.0, tiny], 9007199254740994.0),
            (&[9007199254740994.0, 1.0], 9007199254740996.0),
            (&[-9007199254740992.0, -1.0, -tiny], -9007199254740994.0),
            (&[f64::MAX, f64::MAX, -f64::MAX, -f64::MAX], 0.0),
            (&[f64::INFINITY, 1.0], f64::INFINITY),
            (&[f64::NEG_INFINITY, 1.0], f64::NEG_INFINITY),
        ] {
            assert_eq!(sum(values).value().to_bits(), expected.to_bits(), "{values:?}");
        }
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).value().is_nan());
        assert!(sum(&[f64::NAN, 1.0]).value().is_nan());
    }

    fn finite() -> impl Strategy<Value = f64> {
        prop_oneof![any::<i32>().prop_map(|n| f64::from(n) / 100.0), any::<u64>().prop_map(f64::from_bits)]
            .prop_filter("finite", |x| x.is_finite())
    }

    proptest! {
        #[test]
        fn one_or_two_values_add_as_the_processor_adds(a in finite(), b in finite()) {
            prop_assert_eq!(sum(&[a]).value(), a);
            prop_assert_eq!(sum(&[a, b]).value(), a + b);
        }

        #[test]
        fn any_order_and_grouping_gives_the_same_sum(mut values in prop::collection::vec(finite(), 0..20), cut in 0..20_usize) {
            let straight = sum(&values);
            let cut = cut.min(values.len());
            values.rotate_left(cut);
            let (left, right) = values.split_at(values.len() - cut);
            let mut merged = sum(right);
            merged.merge(&sum(left));
            prop_assert_eq!(merged.value().to_bits(), straight.value().to_bits());
            prop_assert_eq!(merged, straight);
        }

        #[test]
        fn a_sum_survives_its_encoding(values in prop::collection::vec(any::<f64>(), 0..10)) {
            let before = sum(&values);
            let mut bytes = Vec::new();
            before.encode(&mut bytes);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(FloatSum::decode(&mut reader), Ok(before));
            prop_assert!(reader.is_done());
        }
    }
}
