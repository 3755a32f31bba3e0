//! JSON number text to integers and decimals, exactly: never through a float (N1).

use crate::decimal::{DecimalError, MAX_PRECISION, fits, parse_decimal, pow10};

use super::reason::{Problem, Reason, shown};

/// Digits that surely fit a `u64`.
const FAST_DIGITS: usize = 18;

/// An integer in `[min, max]`. `3.0` and `3e0` are the integer 3; `3.5` is of the wrong type.
pub(super) fn integer(text: &str, min: i64, max: i64) -> Result<i64, Problem> {
    let value = match text.parse::<i64>() {
        Ok(value) => Some(value),
        Err(_) if text.contains(['.', 'e', 'E']) => integral(text)?,
        Err(_) => None,
    };
    match value.filter(|value| (min..=max).contains(value)) {
        Some(value) => Ok(value),
        None => Err(Problem::new(Reason::OutOfRange, format!("{} is not within {min} to {max}", shown(text)))),
    }
}

fn integral(text: &str) -> Result<Option<i64>, Problem> {
    match decimal(text, MAX_PRECISION, 0, false) {
        Ok(value) => Ok(i64::try_from(value).ok()),
        Err(problem) if problem.reason == Reason::TooManyDigits => {
            Err(Problem::new(Reason::WrongType, format!("expected an integer, found {}", shown(text))))
        }
        Err(_) => Ok(None),
    }
}

/// The value times 10^`scale`. Digits beyond the scale are rounded half away from zero if `round`, else refused unless
/// they are zeros.
pub(super) fn decimal(text: &str, precision: u8, scale: i8, round: bool) -> Result<i128, Problem> {
    let short = Short::read(text.as_bytes()).filter(|(_, length)| *length == text.len());
    match short.and_then(|(number, _)| number.decimal(scale, round)) {
        Some(value) if fits(value, precision) => Ok(value),
        Some(_) => Err(out_of_range(text, precision, scale)),
        None => long_decimal(text, precision, scale, round),
    }
}

/// A number of at most 18 digits without an exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short {
    digits: u64,
    /// How many of the digits stand behind the point.
    behind: u8,
    negative: bool,
}

impl Short {
    /// The number at the beginning of `bytes` and its length. `None` where none stands there, and where the long way has to
    /// decide.
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let negative = bytes.first() == Some(&b'-');
        let start = usize::from(negative);
        let (whole, mut at) = digits(bytes, start, 0)?;
        if bytes.get(start) == Some(&b'0') && at > start + 1 {
            return None;
        }
        let (mut all, mut behind) = (whole, 0);
        if bytes.get(at) == Some(&b'.') {
            let point = at;
            (all, at) = digits(bytes, at + 1, whole)?;
            behind = at - point - 1;
        }
        let is_whole = !matches!(bytes.get(at), Some(b'e' | b'E'));
        let is_short = at - start <= FAST_DIGITS;
        (is_whole && is_short).then_some((Self { digits: all, behind: u8::try_from(behind).ok()?, negative }, at))
    }

    /// The value, if no digit stands behind a point.
    pub fn integer(self) -> Option<i64> {
        let value = i64::try_from(self.digits).ok().filter(|_| self.behind == 0)?;
        Some(if self.negative { -value } else { value })
    }

    /// The nearest double, where it is the quotient of two doubles that hold digits and power of ten exactly; that
    /// quotient is rounded once (W. Clinger, "How to read floating point numbers accurately", 1990).
    pub fn float(self) -> Option<f64> {
        const EXACT: u64 = 1 << 53;
        let power = POWERS_OF_TEN.get(usize::from(self.behind))?;
        #[allow(clippy::cast_precision_loss, reason = "below 2^53 nothing is lost")]
        let value = (self.digits <= EXACT).then(|| self.digits as f64 / power)?;
        Some(if self.negative && self.digits != 0 { -value } else { value })
    }

    /// The value times 10^`scale`, rounded half away from zero. `None` where digits would be lost without `round`.
    pub fn decimal(self, scale: i8, round: bool) -> Option<i128> {
        let (behind, scale) = (i64::from(self.behind), i64::from(scale));
        let scaled = if behind <= scale {
            i128::from(self.digits) * i128::from(power(scale - behind)?)
        } else {
            let unit = power(behind - scale)?;
            let (whole, rest) = (self.digits / unit, self.digits % unit);
            if rest != 0 && !round {
                return None;
            }
            i128::from(whole) + i128::from(rest >= unit - rest)
        };
        Some(if self.negative { -scaled } else { scaled })
    }
}

/// Goes on from `value` with the digits at `at`, one at least; answers where they end. Beyond twenty digits the value is
/// rubbish.
fn digits(bytes: &[u8], mut at: usize, mut value: u64) -> Option<(u64, usize)> {
    let start = at;
    while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        value = value.wrapping_mul(10).wrapping_add(digit.into());
        at += 1;
    }
    (at > start).then_some((value, at))
}

/// Powers of ten that a double holds exactly.
const POWERS_OF_TEN: [f64; 19] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

/// 10^`exponent`, if it fits.
fn power(exponent: i64) -> Option<u64> {
    u64::try_from(pow10(u32::try_from(exponent).ok()?)?).ok()
}

/// Any JSON number, in time linear in its length.
fn long_decimal(text: &str, precision: u8, scale: i8, round: bool) -> Result<i128, Problem> {
    parse_decimal(text, precision, scale, round).map_err(|error| match error {
        DecimalError::TooManyDigits(_) => {
            let detail = format!("{} has more than {scale} digits behind the point", shown(text));
            Problem::new(Reason::TooManyDigits, detail)
        }
        DecimalError::OutOfRange => out_of_range(text, precision, scale),
        DecimalError::NotANumber => Problem::new(Reason::NotJson, format!("{} is not a number", shown(text))),
    })
}

fn out_of_range(text: &str, precision: u8, scale: i8) -> Problem {
    Problem::new(Reason::OutOfRange, format!("{} does not fit decimal({precision},{scale})", shown(text)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(text: &str, scale: i8, round: bool, expected: Result<i128, Reason>) {
        let got = decimal(text, 10, scale, round).map_err(|problem| problem.reason);
        assert_eq!(got, expected, "{text} scale {scale} round {round}");
    }

    #[test]
    fn decimals_are_read_from_their_text() {
        check("106.59", 2, false, Ok(10659));
        check("-106.59", 2, false, Ok(-10659));
        check("0", 2, false, Ok(0));
        check("-0", 2, false, Ok(0));
        check("-0.0", 2, false, Ok(0));
        check("5", 2, false, Ok(500));
        check("1.500", 2, false, Ok(150));
        check("1e2", 2, false, Ok(10_000));
        check("1.5E+1", 2, false, Ok(1500));
        check("150e-2", 2, false, Ok(150));
        check("1e-2", 2, false, Ok(1));
        check("99999999.99", 2, false, Ok(9_999_999_999));
        check("9999999999", 0, false, Ok(9_999_999_999));
    }

    #[test]
    fn digits_beyond_the_scale_are_rounded_half_away_from_zero_once_or_refused() {
        check("1.005", 2, false, Err(Reason::TooManyDigits));
        check("1.005", 2, true, Ok(101));
        check("-1.005", 2, true, Ok(-101));
        check("1.0049999999999999999999999999", 2, true, Ok(100));
        check("1.00500000000000000000000000000001", 2, true, Ok(101));
        check("108.39000000000001", 2, true, Ok(10839));
        check("0.005", 2, true, Ok(1));
        check("0.0049", 2, true, Ok(0));
        check("5e-3", 2, true, Ok(1));
        check("5e-4", 2, true, Ok(0));
        check("9e-400", 2, true, Ok(0));
        check("9e-400", 2, false, Err(Reason::TooManyDigits));
        check("0e-400", 2, false, Ok(0));
        check("0e99999999999999999999", 2, false, Ok(0));
        check("1e-99999999999999999999", 2, true, Ok(0));
    }

    #[test]
    fn what_does_not_fit_is_out_of_range() {
        check("100000000", 2, true, Err(Reason::OutOfRange));
        check("99999999.995", 2, true, Err(Reason::OutOfRange));
        check("-99999999.995", 2, true, Err(Reason::OutOfRange));
        check("1e300", 2, true, Err(Reason::OutOfRange));
        check(&"9".repeat(100_000), 2, true, Err(Reason::OutOfRange));
        check(&format!("1.{}", "1".repeat(100_000)), 2, true, Ok(111));
        check(&format!("0.{}1", "0".repeat(100_000)), 2, true, Ok(0));
        check(&format!("0.{}1e100002", "0".repeat(100_000)), 2, true, Ok(1000));
        assert_eq!(decimal(&"9".repeat(38), 38, 0, false).unwrap(), 10_i128.pow(38) - 1);
        assert!(decimal(&format!("1{}", "0".repeat(38)), 38, 0, false).is_err());
    }

    #[test]
    fn the_short_and_the_long_way_agree() {
        for text in ["0", "1", "-1", "0.5", "-0.5", "12.345", "12.344999", "-99.995", "1234567.890625", "0.000001"] {
            for scale in 0..6 {
                for round in [false, true] {
                    let long = long_decimal(text, 10, scale, round);
                    assert_eq!(decimal(text, 10, scale, round), long, "{text} {scale} {round}");
                }
            }
        }
    }

    #[test]
    fn integers_take_integral_numbers_only() {
        let read = |text| integer(text, i32::MIN.into(), i32::MAX.into()).map_err(|problem| problem.reason);
        assert_eq!(read("3"), Ok(3));
        assert_eq!(read("3.0"), Ok(3));
        assert_eq!(read("3e0"), Ok(3));
        assert_eq!(read("-30e-1"), Ok(-3));
        assert_eq!(read("-0"), Ok(0));
        assert_eq!(read("3.5"), Err(Reason::WrongType));
        assert_eq!(read("2147483648"), Err(Reason::OutOfRange));
        assert_eq!(read("1e300"), Err(Reason::OutOfRange));
        assert_eq!(read(&"9".repeat(100)), Err(Reason::OutOfRange));
    }
}
