//! Exact decimal arithmetic on 128-bit unscaled values (N1).
//!
//! A decimal of scale `s` is the integer `value * 10^s`. Everything here is exact or rounded **once, half away from
//! zero**; nothing passes through a float. Precision is the caller's: [`fits`] tells whether a value has too many
//! digits for its type.

use std::fmt::Write as _;

use arrow::datatypes::i256;

/// The most digits that a decimal has.
pub const MAX_PRECISION: u8 = 38;

/// Why a text is no value of a decimal type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// The text is not a number.
    #[error("not a number")]
    NotANumber,
    /// The number has this many significant digits behind the point beyond the type's scale, and rounding was not
    /// asked for. Zeros at the end don't count.
    #[error("{0} digits too many behind the point")]
    TooManyDigits(u32),
    /// The number has more digits in front of the point than the type.
    #[error("out of range")]
    OutOfRange,
}

/// `10^exponent`, or `None` above `10^38`.
#[must_use]
pub fn pow10(exponent: u32) -> Option<i128> {
    POWERS_OF_TEN.get(usize::try_from(exponent).ok()?).copied()
}

const POWERS_OF_TEN: [i128; 39] = powers_of_ten();

#[allow(clippy::indexing_slicing, reason = "while compiling, and below the length")]
const fn powers_of_ten() -> [i128; 39] {
    let mut powers = [1; 39];
    let mut exponent = 1;
    while exponent < powers.len() {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
}

/// Whether an unscaled value has at most `precision` digits.
#[must_use]
pub fn fits(value: i128, precision: u8) -> bool {
    pow10(u32::from(precision)).is_none_or(|limit| value.unsigned_abs() < limit.unsigned_abs())
}

/// `value / 10^drop_digits`, rounded half away from zero.
#[must_use]
pub fn round_half_away(value: i128, drop_digits: u32) -> i128 {
    match pow10(drop_digits) {
        Some(divisor) => divide_half_away(value, divisor).unwrap_or(0),
        None => 0,
    }
}

/// An unscaled value of scale `from` as one of scale `to`, rounded half away from zero where digits are lost; `None`
/// where it leaves 128 bits.
#[must_use]
pub fn rescale(value: i128, from: i8, to: i8) -> Option<i128> {
    let shift = i32::from(to) - i32::from(from);
    match u32::try_from(shift) {
        Ok(grow) if value != 0 => value.checked_mul(pow10(grow)?),
        Ok(_) => Some(0),
        Err(_) => Some(round_half_away(value, shift.unsigned_abs())),
    }
}

/// The exact quotient of two decimals as an unscaled value of `target_scale`, rounded half away from zero once; `None`
/// for a division by zero and where the result leaves 128 bits.
#[must_use]
pub fn quotient(numerator: i128, n_scale: i8, denominator: i128, d_scale: i8, target_scale: i8) -> Option<i128> {
    let shift = i32::from(d_scale) + i32::from(target_scale) - i32::from(n_scale);
    let (grow, shrink) = if shift >= 0 { (shift.unsigned_abs(), 0) } else { (0, shift.unsigned_abs()) };
    let narrow = || Some((numerator.checked_mul(pow10(grow)?)?, denominator.checked_mul(pow10(shrink)?)?));
    if let Some((n, d)) = narrow() {
        return divide_half_away(n, d);
    }
    // Where even 256 bits don't hold the dividend, the quotient cannot fit 128: the divisor has only 128.
    let n = i256::from_i128(numerator).checked_mul(wide_pow10(grow)?)?;
    let d = i256::from_i128(denominator).checked_mul(wide_pow10(shrink)?)?;
    let (q, r) = (n.checked_div(d)?, n.checked_rem(d)?);
    let (r, d_abs) = (r.wrapping_abs(), d.wrapping_abs());
    let away = if r >= d_abs.wrapping_sub(r) { i256::ONE } else { i256::ZERO };
    let negative = n.is_negative() != d.is_negative();
    let q = if negative { q.checked_sub(away)? } else { q.checked_add(away)? };
    q.to_i128()
}

/// Reads a number exactly as an unscaled value of a `decimal(precision, scale)`.
///
/// Takes every JSON number, exponents included, and beyond JSON what SQL takes too: a leading `+`, leading zeros, and
/// no digits on one side of the point. No white space. Digits beyond the scale are an error unless they are zeros or
/// `round` is set; then the text's value is rounded half away from zero, once.
pub fn parse_decimal(text: &str, precision: u8, scale: i8, round: bool) -> Result<i128, DecimalError> {
    let number = Number::split(text.as_bytes()).ok_or(DecimalError::NotANumber)?;
    let digits = number.len();
    let kept = number.point().saturating_add(i64::from(scale));
    let mut value = number.value_of_first(kept.clamp(0, digits)).ok_or(DecimalError::OutOfRange)?;
    if kept > digits && value != 0 {
        let zeros = u32::try_from(kept - digits).map_err(|_| DecimalError::OutOfRange)?;
        let factor = pow10(zeros).ok_or(DecimalError::OutOfRange)?;
        value = value.checked_mul(factor).ok_or(DecimalError::OutOfRange)?;
    }
    if kept < digits {
        let excess = number.last_nonzero().map_or(0, |last| (last + 1).saturating_sub(kept).max(0));
        if excess > 0 && !round {
            let excess = u32::try_from(excess).unwrap_or(u32::MAX);
            return Err(if fits(value, precision) {
                DecimalError::TooManyDigits(excess)
            } else {
                DecimalError::OutOfRange
            });
        }
        if number.digit(kept).is_some_and(|d| d >= 5) {
            value += 1;
        }
    }
    if !fits(value, precision) {
        return Err(DecimalError::OutOfRange);
    }
    Ok(if number.negative { -value } else { value })
}

/// The plain text of an unscaled value: all digits of the scale, no exponent, as Postgres prints `numeric`.
#[must_use]
pub fn format_decimal(value: i128, scale: i8) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let magnitude = value.unsigned_abs();
    let mut out = String::new();
    let written = match u32::try_from(scale) {
        Ok(0) => write!(out, "{sign}{magnitude}"),
        Ok(places) => {
            let width = usize::try_from(places).unwrap_or(0);
            match 10_u128.checked_pow(places) {
                Some(unit) => write!(out, "{sign}{}.{:0width$}", magnitude / unit, magnitude % unit),
                None => write!(out, "{sign}0.{magnitude:0width$}"),
            }
        }
        Err(_) => {
            let zeros = usize::from(scale.unsigned_abs());
            if value == 0 { write!(out, "0") } else { write!(out, "{sign}{magnitude}{:0zeros$}", 0) }
        }
    };
    debug_assert!(written.is_ok(), "writing to a string does not fail");
    out
}

/// `n / d`, rounded half away from zero; `None` for `d = 0` and for the one overflow, `i128::MIN / -1`.
fn divide_half_away(n: i128, d: i128) -> Option<i128> {
    let q = n.checked_div(d)?;
    let rest = n.checked_rem(d)?.unsigned_abs();
    if rest < d.unsigned_abs() - rest {
        return Some(q);
    }
    if (n < 0) == (d < 0) { q.checked_add(1) } else { q.checked_sub(1) }
}

fn wide_pow10(exponent: u32) -> Option<i256> {
    i256::from_i128(10).checked_pow(exponent)
}

/// A number's text taken apart; its digits are those of `whole` followed by those of `fraction`.
struct Number<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Number<'a> {
    fn split(text: &'a [u8]) -> Option<Self> {
        let (negative, rest) = sign(text);
        let (whole, rest) = digits(rest);
        let (fraction, rest) = match rest.strip_prefix(b".") {
            Some(rest) => digits(rest),
            None => (&[][..], rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let exponent = match rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
            Some(rest) => exponent(rest)?,
            None if rest.is_empty() => 0,
            None => return None,
        };
        Some(Self { negative, whole, fraction, exponent })
    }

    fn len(&self) -> i64 {
        length(self.whole) + length(self.fraction)
    }

    /// How many of the digits stand in front of the point; may be negative or beyond the last digit.
    fn point(&self) -> i64 {
        length(self.whole) + self.exponent
    }

    /// The value of the first `count` digits, or `None` where it leaves 128 bits.
    fn value_of_first(&self, count: i64) -> Option<i128> {
        let count = usize::try_from(count).ok()?;
        let all = self.whole.iter().chain(self.fraction).take(count);
        if count <= 18 {
            return Some(i128::from(all.fold(0_i64, |value, d| value * 10 + i64::from(d - b'0'))));
        }
        let mut value = 0_i128;
        for d in all {
            value = value.checked_mul(10)?.checked_add(i128::from(d - b'0'))?;
        }
        Some(value)
    }

    fn digit(&self, at: i64) -> Option<u8> {
        let at = usize::try_from(at).ok()?;
        let byte = match at.checked_sub(self.whole.len()) {
            Some(behind) => self.fraction.get(behind),
            None => self.whole.get(at),
        };
        byte.map(|d| d - b'0')
    }

    fn last_nonzero(&self) -> Option<i64> {
        let last = |digits: &[u8]| digits.iter().rposition(|d| *d != b'0').and_then(|at| i64::try_from(at).ok());
        last(self.fraction).map(|at| at + length(self.whole)).or_else(|| last(self.whole))
    }
}

fn length(digits: &[u8]) -> i64 {
    i64::try_from(digits.len()).unwrap_or(i64::MAX / 4)
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    }
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len()))
}

/// An exponent, saturated: beyond a few dozen only "huge" and "tiny" matter.
fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, rest) = sign(text);
    let (digits, rest) = digits(rest);
    if digits.is_empty() || !rest.is_empty() {
        return None;
    }
    let size = digits.iter().fold(0_i64, |e, d| e.saturating_mul(10).saturating_add(i64::from(d - b'0')));
    let size = size.min(i64::MAX / 4);
    Some(if negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_exactly_or_refused_for_the_right_reason() {
        use DecimalError::{NotANumber, OutOfRange, TooManyDigits};
        let max = "9".repeat(38);
        type Case<'a> = (&'a str, u8, i8, bool, Result<i128, DecimalError>);
        let cases: &[Case<'_>] = &[
            ("0", 10, 2, false, Ok(0)),
            ("-0.00", 10, 2, false, Ok(0)),
            ("12.5", 10, 2, false, Ok(1250)),
            ("12.500000", 10, 2, false, Ok(1250)),
            ("12.345", 10, 2, false, Err(TooManyDigits(1))),
            ("12.345", 10, 2, true, Ok(1235)),
            ("-12.345", 10, 2, true, Ok(-1235)),
            ("12.3449999999999999999999999999999999999999999999999", 10, 2, true, Ok(1234)),
            ("1e3", 10, 2, false, Ok(100_000)),
            ("2.5E-1", 10, 2, false, Ok(25)),
            ("2.5e-2", 10, 2, false, Err(TooManyDigits(1))),
            ("4e-3", 10, 2, true, Ok(0)),
            ("5e-3", 10, 2, true, Ok(1)),
            ("99e-5", 10, 2, true, Ok(0)),
            ("1e-99999999999999999999", 10, 2, true, Ok(0)),
            ("1e99999999999999999999", 10, 2, true, Err(OutOfRange)),
            ("0e99999999999999999999", 10, 2, true, Ok(0)),
            ("99999999.99", 10, 2, false, Ok(9_999_999_999)),
            ("99999999.995", 10, 2, true, Err(OutOfRange)),
            ("100000000", 10, 2, false, Err(OutOfRange)),
            ("123456789.123", 10, 2, false, Err(OutOfRange)),
            ("1200e-2", 4, 0, false, Ok(12)),
            (&max, 38, 0, false, Ok(10_i128.pow(38) - 1)),
            ("1e38", 38, 0, false, Err(OutOfRange)),
            (".5", 3, 1, false, Ok(5)),
            ("+5.", 3, 1, false, Ok(50)),
            ("", 3, 1, false, Err(NotANumber)),
            ("-", 3, 1, false, Err(NotANumber)),
            (".", 3, 1, false, Err(NotANumber)),
            ("1e", 3, 1, false, Err(NotANumber)),
            ("1 ", 3, 1, false, Err(NotANumber)),
            ("NaN", 3, 1, false, Err(NotANumber)),
            ("1.2.3", 3, 1, false, Err(NotANumber)),
        ];
        for (text, precision, scale, round, expected) in cases {
            assert_eq!(parse_decimal(text, *precision, *scale, *round), *expected, "{text} ({precision},{scale})");
        }
    }

    #[test]
    fn values_print_with_all_digits_of_their_scale() {
        for (value, scale, expected) in [
            (0, 2, "0.00"),
            (-5, 2, "-0.05"),
            (12345, 2, "123.45"),
            (7, 0, "7"),
            (7, -2, "700"),
            (1, 38, "0.00000000000000000000000000000000000001"),
        ] {
            assert_eq!(format_decimal(value, scale), expected);
        }
    }

    #[test]
    fn quotients_round_once_half_away_from_zero() {
        for (n, ns, d, ds, ts, expected) in [
            (1, 0, 3, 0, 4, Some(3333)),
            (2, 0, 3, 0, 4, Some(6667)),
            (-1, 0, 8, 0, 2, Some(-13)),
            (1, 0, -8, 0, 2, Some(-13)),
            (10_000, 2, 3, 0, 4, Some(333_333)),
            (1, 38, 1, 0, 0, Some(0)),
            (1, 0, 0, 0, 2, None),
            (i128::MAX, 0, 1, 38, 38, None),
            (10_i128.pow(37), 0, 10_i128.pow(37), 0, 10, Some(10_i128.pow(10))),
            (10_i128.pow(37), 38, 10_i128.pow(37) * 2, 0, 38, Some(1)),
        ] {
            assert_eq!(quotient(n, ns, d, ds, ts), expected, "{n}e-{ns} / {d}e-{ds}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(value in -10_i128.pow(38) + 1..10_i128.pow(38), scale in 0_i8..=38) {
            prop_assert_eq!(parse_decimal(&format_decimal(value, scale), 38, scale, false), Ok(value));
        }

        #[test]
        fn rounding_is_within_half_a_unit_and_symmetric(value in any::<i64>(), drop in 0_u32..20) {
            let (value, unit) = (i128::from(value), 10_i128.pow(drop));
            let rounded = round_half_away(value, drop);
            prop_assert!((rounded * unit - value).abs() * 2 <= unit);
            prop_assert_eq!(round_half_away(-value, drop), -rounded);
        }

        #[test]
        fn reading_with_rounding_equals_reading_wide_and_rounding_once(value in any::<i64>(), scale in 0_i8..19, to in 0_i8..19) {
            let text = format_decimal(value.into(), scale);
            prop_assert_eq!(parse_decimal(&text, 38, to, true).ok(), rescale(value.into(), scale, to));
        }

        #[test]
        fn a_quotient_is_within_half_a_unit(n in any::<i64>(), d in any::<i64>(), ns in 0_i8..10, ds in 0_i8..10, ts in 0_i8..10) {
            prop_assume!(d != 0);
            let q = quotient(n.into(), ns, d.into(), ds, ts).unwrap();
            let left = 2 * (q * i128::from(d) * 10_i128.pow(ns as u32)
                - i128::from(n) * 10_i128.pow(ds as u32) * 10_i128.pow(ts as u32)).abs();
            prop_assert!(left <= i128::from(d).abs() * 10_i128.pow(ns as u32));
        }

        #[test]
        fn wide_and_narrow_division_agree(n in -10_i128.pow(18)..10_i128.pow(18), d in 1_i128..10_i128.pow(18)) {
            // Scaling both sides by the same power forces the 256-bit path.
            let wide = quotient(n * 10_i128.pow(19), 0, d * 10_i128.pow(19), 0, 9);
            prop_assert_eq!(wide, quotient(n, 0, d, 0, 9));
        }
    }
}
