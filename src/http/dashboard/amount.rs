//! Exact numbers as the mart's texts give them.

use lakeward_core::decimal::{MAX_PRECISION, format_decimal, parse_decimal, quotient, rescale};

/// Digits behind the point of an average beyond those of its sum.
const MORE_DIGITS: i8 = 2;

/// A decimal, or a float where the mart holds one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// `units / 10^scale`.
    Exact { units: i128, scale: i8 },
    /// What was a float already.
    Float(f64),
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self::Exact { units: 0, scale: 0 };

    /// The number of a text; `None` where it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'.'));
        let scale = text.split_once('.').map_or(0, |(_, behind)| behind.len());
        match i8::try_from(scale) {
            Ok(scale) if plain => {
                parse_decimal(text, MAX_PRECISION, scale, false).ok().map(|units| Self::Exact { units, scale })
            }
            _ => text.parse().ok().filter(|number: &f64| number.is_finite()).map(Self::Float),
        }
    }

    /// The sum.
    pub fn plus(self, other: Self) -> Self {
        self.added(other).unwrap_or_else(|| Self::Float(self.float() + other.float()))
    }

    /// The difference.
    pub fn minus(self, other: Self) -> Self {
        match other {
            Self::Exact { units, scale } => self.plus(Self::Exact { units: -units, scale }),
            Self::Float(number) => self.plus(Self::Float(-number)),
        }
    }

    fn added(self, other: Self) -> Option<Self> {
        let (Self::Exact { units: a, scale: m }, Self::Exact { units: b, scale: n }) = (self, other) else {
            return None;
        };
        let scale = m.max(n);
        Some(Self::Exact { units: rescale(a, m, scale)?.checked_add(rescale(b, n, scale)?)?, scale })
    }

    /// The quotient, rounded once; `None` by zero.
    pub fn over(self, count: Self) -> Option<Self> {
        if count.is_zero() {
            return None;
        }
        if let (Self::Exact { units: n, scale: ns }, Self::Exact { units: d, scale: ds }) = (self, count) {
            let scale = ns.saturating_add(MORE_DIGITS);
            return quotient(n, ns, d, ds, scale).map(|units| Self::Exact { units, scale });
        }
        Some(Self::Float(self.float() / count.float()))
    }

    /// Whether it is zero.
    pub fn is_zero(self) -> bool {
        match self {
            Self::Exact { units, .. } => units == 0,
            Self::Float(number) => number == 0.0,
        }
    }

    /// Near enough to be ordered by.
    #[allow(clippy::cast_precision_loss, reason = "for the order of bars and for floats only")]
    pub fn float(self) -> f64 {
        match self {
            Self::Exact { units, scale } => units as f64 / 10f64.powi(i32::from(scale)),
            Self::Float(number) => number,
        }
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact { units, scale } => f.write_str(&format_decimal(*units, *scale)),
            Self::Float(number) => write!(f, "{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_stay_exact() {
        let amount = |text: &str| Amount::parse(text).unwrap();
        let check = |found: Amount, expected: &str| assert_eq!(found.to_string(), expected);
        check(amount("90071992547409.93").plus(amount("0.01")), "90071992547409.94");
        check(amount("0.10").plus(amount("0.2")), "0.30");
        check(amount("3").minus(amount("3.50")), "-0.50");
        check(amount("10.00").over(amount("3")).unwrap(), "3.3333");
        check(amount("-0.05").over(amount("1000")).unwrap(), "-0.0001");
        check(amount("1.5e3").plus(amount("1")), "1501");
        assert_eq!(amount("1").over(Amount::ZERO), None);
        assert_eq!((Amount::parse("NaN"), Amount::parse("x"), Amount::parse("")), (None, None, None));
    }
}
