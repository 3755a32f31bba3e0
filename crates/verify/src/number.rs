//! Exact decimals, worked out by hand: a number is its digits and where the point stands (N1).

use arrow::datatypes::i256;

/// The most digits that a decimal has.
pub const MOST_DIGITS: u8 = 38;

/// Why a text is no value of a decimal type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotExact {
    /// It is no number.
    NoNumber,
    /// Digits that don't count as zeros lie beyond the scale, and it may not be rounded.
    TooManyDigits,
    /// It has too many digits in front of the point.
    OutOfRange,
}

/// The text's value times 10^`scale`; beyond it rounded half away from zero, once, if `round`.
pub fn parse(text: &str, precision: u8, scale: i8, round: bool) -> Result<i128, NotExact> {
    let (negative, rest) = split_sign(text);
    let (mantissa, exponent) = split_exponent(rest).ok_or(NotExact::NoNumber)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NotExact::NoNumber);
    }
    let point = len(whole.len()).saturating_add(exponent);
    let kept = point.saturating_add(i64::from(scale));
    let count = usize::try_from(kept.clamp(0, len(digits.len()))).unwrap_or(0);
    let (value, dropped) = digits.split_at_checked(count).unwrap_or((&digits, &[]));
    let mut value = value_of(value).ok_or(NotExact::OutOfRange)?;
    if kept > len(digits.len()) && value != 0 {
        value = scale_up(value, kept - len(digits.len())).ok_or(NotExact::OutOfRange)?;
    }
    if dropped.iter().any(|digit| *digit != b'0') {
        if !round {
            return Err(if fits(value, precision) { NotExact::TooManyDigits } else { NotExact::OutOfRange });
        }
        // Where the point lies left of all digits, those that are dropped begin with zeros that nobody wrote.
        let half = kept >= 0 && dropped.first().is_some_and(|digit| *digit >= b'5');
        value += i128::from(half);
    }
    if !fits(value, precision) {
        return Err(NotExact::OutOfRange);
    }
    Ok(if negative { -value } else { value })
}

/// 10^`exponent`; `None` above 10^38.
#[must_use]
pub fn power(exponent: u32) -> Option<i128> {
    10_i128.checked_pow(exponent)
}

/// Whether a value has at most `precision` digits.
#[must_use]
pub fn fits(value: i128, precision: u8) -> bool {
    power(precision.into()).is_none_or(|limit| value.unsigned_abs() < limit.unsigned_abs())
}

/// A value at scale `from` as one at scale `to`, rounded half away from zero; `None` beyond 128 bits.
#[must_use]
pub fn rescale(value: i128, from: i8, to: i8) -> Option<i128> {
    ratio(value, from, 1, 0, to)
}

/// The exact quotient of two decimals at scale `to`, rounded half away from zero once; `None` for a zero divisor and
/// beyond 128 bits.
#[must_use]
pub fn ratio(n: i128, n_scale: i8, d: i128, d_scale: i8, to: i8) -> Option<i128> {
    if d == 0 {
        return None;
    }
    if n == 0 {
        return Some(0);
    }
    let shift = i32::from(to) - i32::from(n_scale) + i32::from(d_scale);
    let wide = |value: i128, exponent: i32| {
        let factor = i256::from_i128(10).checked_pow(u32::try_from(exponent).unwrap_or(0))?;
        i256::from_i128(value).checked_mul(factor)
    };
    let Some(divisor) = wide(d, -shift) else { return Some(0) };
    let dividend = wide(n, shift)?;
    let (quotient, rest) = (dividend.checked_div(divisor)?, dividend.checked_rem(divisor)?);
    let (rest, size) = (rest.wrapping_abs(), divisor.wrapping_abs());
    let up = if rest >= size.wrapping_sub(rest) { i256::ONE } else { i256::ZERO };
    let away = if dividend.is_negative() == divisor.is_negative() { up } else { up.wrapping_neg() };
    quotient.checked_add(away)?.to_i128()
}

/// `value` times 10^`exponent` in 256 bits, for comparing decimals of any scales.
#[must_use]
pub fn widened(value: i128, exponent: u32) -> i256 {
    i256::from_i128(value).wrapping_mul(i256::from_i128(10).wrapping_pow(exponent))
}

/// The plain text: all digits of the scale, no exponent.
#[must_use]
pub fn text(value: i128, scale: i8) -> String {
    let digits = value.unsigned_abs().to_string();
    let sign = if value < 0 { "-" } else { "" };
    let places = usize::try_from(scale).unwrap_or(0);
    if places == 0 {
        return format!("{sign}{digits}");
    }
    let padded = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = padded.split_at(padded.len() - places);
    format!("{sign}{whole}.{fraction}")
}

fn split_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// The part in front of the exponent, and the exponent; one beyond a few dozen only means huge or tiny.
fn split_exponent(text: &str) -> Option<(&str, i64)> {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return Some((text, 0)) };
    let (negative, digits) = split_sign(exponent);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse::<i64>().unwrap_or(i64::MAX).min(i64::MAX / 4);
    Some((mantissa, if negative { -size } else { size }))
}

fn value_of(digits: &[u8]) -> Option<i128> {
    if digits.len() <= 18 {
        return Some(digits.iter().fold(0_i64, |value, digit| value * 10 + i64::from(digit - b'0')).into());
    }
    digits.iter().try_fold(0_i128, |value, digit| value.checked_mul(10)?.checked_add(i128::from(digit - b'0')))
}

fn scale_up(value: i128, zeros: i64) -> Option<i128> {
    value.checked_mul(power(u32::try_from(zeros).ok()?)?)
}

fn len(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_exactly_or_rounded_once() {
        let check = |text: &str, precision, scale, round, expected| {
            assert_eq!(parse(text, precision, scale, round), expected, "{text}");
        };
        check("12.50", 10, 2, false, Ok(1250));
        check("-0.005", 10, 2, true, Ok(-1));
        check("0.004999", 10, 2, true, Ok(0));
        check("71.30000000000001", 10, 2, true, Ok(7130));
        check("71.30000000000001", 10, 2, false, Err(NotExact::TooManyDigits));
        check("1e2", 10, 2, false, Ok(10_000));
        check("5e-3", 10, 2, true, Ok(1));
        check("5e-4", 10, 2, true, Ok(0));
        check("100000000", 10, 2, false, Err(NotExact::OutOfRange));
        check("99999999.995", 10, 2, true, Err(NotExact::OutOfRange));
        check("1e400", 10, 2, true, Err(NotExact::OutOfRange));
        check("0e400", 10, 2, true, Ok(0));
        check("1e-400", 10, 2, true, Ok(0));
        check("", 10, 2, true, Err(NotExact::NoNumber));
        check("1x", 10, 2, true, Err(NotExact::NoNumber));
        check(".5", 10, 2, true, Ok(50));
    }

    #[test]
    fn quotients_and_texts() {
        assert_eq!(ratio(200, 2, 3, 0, 4), Some(6667));
        assert_eq!(ratio(-200, 2, 3, 0, 4), Some(-6667));
        assert_eq!(ratio(5, 1, 1, 0, 0), Some(1));
        assert_eq!(ratio(-5, 1, 1, 0, 0), Some(-1));
        assert_eq!(ratio(1, 0, 0, 0, 0), None);
        assert_eq!(rescale(12_345, 3, 1), Some(123));
        assert_eq!([text(-5, 2), text(12_345, 2), text(7, 0)], ["-0.05", "123.45", "7"]);
    }
}
