//! How a member's value is drawn and written. A value is a code: an index, a number, days or an unscaled decimal.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Int32Array};
use arrow::datatypes::Decimal128Type;
use chrono::NaiveDate;

use super::random::{Chance, Random};
use crate::expr::Expr;
use crate::json_line::{write_date, write_integer, write_text};
use crate::types::DataType;

#[derive(Clone, Debug)]
pub(super) enum Rule {
    /// 1, 2, 3 … in a format.
    Sequence(Format),
    /// 1 to `count` in a format.
    Numbered {
        format: Format,
        count: u64,
        skewed: bool,
    },
    /// One of these JSON strings.
    Choice {
        values: Vec<Vec<u8>>,
        skewed: bool,
    },
    /// The string with the same index as that of another member.
    Following {
        leader: usize,
        values: Vec<Vec<u8>>,
    },
    Numbers(Numbers),
    /// Days since 1970-01-01, inclusive.
    Dates {
        from: i64,
        to: i64,
    },
    Integers {
        from: i64,
        to: i64,
    },
    Decimals {
        from: i64,
        to: i64,
        scale: u8,
    },
    Formula(Formula),
}

/// Unscaled decimals to choose from.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    pub values: Vec<i64>,
    pub scale: u8,
}

/// A value computed from numeric members.
#[derive(Clone, Debug)]
pub(super) struct Formula {
    pub expr: Expr,
    /// The members that make its scope.
    pub inputs: Vec<usize>,
    pub scale: i8,
}

/// Text with a number of a fixed width in it.
#[derive(Clone, Debug)]
pub(super) struct Format {
    before: String,
    width: usize,
    after: String,
}

impl Rule {
    pub fn sequence(format: &str) -> Result<Self, String> {
        Ok(Self::Sequence(Format::parse(format)?))
    }

    pub fn numbered(format: &str, count: u64, skewed: bool) -> Result<Self, String> {
        Ok(Self::Numbered { format: Format::parse(format)?, count: count.max(1), skewed })
    }

    pub fn choice(values: &[String], skewed: bool) -> Result<Self, String> {
        if values.is_empty() {
            return Err("needs at least one value".into());
        }
        Ok(Self::Choice { values: values.iter().map(|value| json(value)).collect(), skewed })
    }

    pub fn following(leader: usize, values: &[String]) -> Result<Self, String> {
        Ok(Self::Following { leader, values: values.iter().map(|value| json(value)).collect() })
    }

    /// One word of each list, with a space between.
    pub fn words(lists: &[Vec<String>]) -> Result<Self, String> {
        let mut phrases = vec![String::new()];
        for list in lists {
            let longer = |phrase: &String| {
                let space = if phrase.is_empty() { "" } else { " " };
                list.iter().map(|word| format!("{phrase}{space}{word}")).collect::<Vec<_>>()
            };
            phrases = phrases.iter().flat_map(longer).collect();
        }
        Self::choice(&phrases, false)
    }

    pub fn dates(from: &str, to: &str) -> Result<Self, String> {
        let days = |text: &str| {
            let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|error| format!("{text}: {error}"))?;
            Ok::<_, String>(date.signed_duration_since(NaiveDate::default()).num_days())
        };
        let (from, to) = ordered(days(from)?, days(to)?)?;
        Ok(Self::Dates { from, to })
    }

    pub fn integers(from: i64, to: i64) -> Result<Self, String> {
        let (from, to) = ordered(from, to)?;
        let fits = i32::try_from(from).is_ok() && i32::try_from(to).is_ok();
        if fits { Ok(Self::Integers { from, to }) } else { Err("integers have at most 32 bits".into()) }
    }

    pub fn decimals(from: i64, to: i64, scale: u8) -> Result<Self, String> {
        let (from, to) = ordered(from, to)?;
        Ok(Self::Decimals { from, to, scale })
    }

    /// How many values a choice has; `None` for other rules.
    pub fn choices(&self) -> Option<usize> {
        match self {
            Self::Choice { values, .. } | Self::Following { values, .. } => Some(values.len()),
            _ => None,
        }
    }

    /// The column type under which formulas see the member; `None` for text.
    pub fn numeric_type(&self) -> Option<DataType> {
        let decimal = |largest: u64, scale: u8| {
            let digits = largest.checked_ilog10().map_or(1, |log| log + 1);
            let precision = u8::try_from(digits).unwrap_or(18).max(scale).max(1);
            DataType::Decimal { precision, scale: i8::try_from(scale).unwrap_or(0) }
        };
        match self {
            Self::Integers { .. } => Some(DataType::Int32),
            Self::Decimals { from, to, scale } => Some(decimal(from.unsigned_abs().max(to.unsigned_abs()), *scale)),
            Self::Numbers(Numbers { values, scale }) => {
                Some(decimal(values.iter().map(|value| value.unsigned_abs()).max().unwrap_or(0), *scale))
            }
            Self::Formula(formula) => Some(super::spec::formula_type(formula.scale)),
            _ => None,
        }
    }

    /// Draws `rows` codes; `first` is the number of the first row, `before` holds the codes of the members before.
    pub fn draw(&self, random: &mut Random, skew: Chance, first: u64, rows: usize, before: &[Codes]) -> Codes {
        let signed = |value: u64| Some(i64::try_from(value).unwrap_or(i64::MAX));
        let index = |index: usize| Some(i64::try_from(index).unwrap_or(i64::MAX));
        let mut times = |draw: &mut dyn FnMut(&mut Random) -> Option<i64>| (0..rows).map(|_| draw(random)).collect();
        match self {
            Self::Sequence(_) => (first..).take(rows).map(signed).collect(),
            Self::Numbered { count, skewed, .. } => {
                times(&mut |r| if *skewed && r.happens(skew) { Some(1) } else { signed(r.below(*count) + 1) })
            }
            Self::Choice { values, skewed } => {
                times(&mut |r| if *skewed && r.happens(skew) { Some(0) } else { index(r.index(values.len())) })
            }
            Self::Following { leader, .. } => before.get(*leader).cloned().unwrap_or_default(),
            Self::Numbers(Numbers { values, .. }) => times(&mut |r| values.get(r.index(values.len())).copied()),
            Self::Dates { from, to } | Self::Integers { from, to } | Self::Decimals { from, to, .. } => {
                times(&mut |r| Some(r.within(*from, *to)))
            }
            Self::Formula(_) => Codes::new(),
        }
    }

    /// The member's column for a formula.
    pub fn column(&self, codes: &Codes) -> Option<ArrayRef> {
        Some(match self.numeric_type()? {
            DataType::Decimal { precision, scale } => {
                let values = codes.iter().map(|code| code.map(i128::from)).collect::<Decimal128Array>();
                Arc::new(values.with_precision_and_scale(precision, scale).ok()?)
            }
            _ => Arc::new(
                codes.iter().map(|code| code.and_then(|code| i32::try_from(code).ok())).collect::<Int32Array>(),
            ),
        })
    }

    /// Writes a value as JSON.
    pub fn write(&self, out: &mut Vec<u8>, code: Option<i64>) {
        let Some(code) = code else { return out.extend_from_slice(b"null") };
        match self {
            Self::Sequence(format) | Self::Numbered { format, .. } => format.write(out, code),
            Self::Choice { values, .. } | Self::Following { values, .. } => {
                let value = usize::try_from(code).ok().and_then(|index| values.get(index));
                out.extend_from_slice(value.map_or(b"null", Vec::as_slice));
            }
            Self::Dates { .. } => write_date(out, code),
            Self::Integers { .. } => write_integer(out, code),
            Self::Decimals { scale, .. } | Self::Numbers(Numbers { scale, .. }) => write_decimal(out, code, *scale),
            Self::Formula(formula) => write_decimal(out, code, formula.scale.unsigned_abs()),
        }
    }
}

/// A member's values, row by row; `None` where a formula has no answer.
pub(super) type Codes = Vec<Option<i64>>;

impl Formula {
    /// The answers for `rows` rows of the columns of its inputs.
    pub fn codes(&self, columns: &[ArrayRef], rows: usize) -> Codes {
        let evaluated = self.expr.evaluate(columns, rows);
        match evaluated.values.as_primitive_opt::<Decimal128Type>() {
            Some(values) => values.iter().map(|value| value.and_then(|value| i64::try_from(value).ok())).collect(),
            None => vec![None; rows],
        }
    }
}

impl Format {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} needs one number such as %07d");
        let (before, rest) = text.split_once('%').ok_or_else(wrong)?;
        let (width, after) = rest.split_once('d').ok_or_else(wrong)?;
        let width = if width.is_empty() { Ok(0) } else { width.trim_start_matches('0').parse() };
        let quoted = |part: &str| json(part).get(1..).and_then(|json| json.split_last()).map(|(_, text)| text.to_vec());
        let part = |part: &str| quoted(part).and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        Ok(Self { before: part(before), width: width.map_err(|_| wrong())?, after: part(after) })
    }

    fn write(&self, out: &mut Vec<u8>, number: i64) {
        out.push(b'"');
        out.extend_from_slice(self.before.as_bytes());
        let digits = number.checked_ilog10().map_or(1, |log| usize::try_from(log + 1).unwrap_or(1));
        out.extend(std::iter::repeat_n(b'0', self.width.saturating_sub(digits)));
        write_integer(out, number);
        out.extend_from_slice(self.after.as_bytes());
        out.push(b'"');
    }
}

fn json(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_text(&mut out, text);
    out
}

fn ordered(from: i64, to: i64) -> Result<(i64, i64), String> {
    if from <= to { Ok((from, to)) } else { Err("needs from <= to".into()) }
}

/// Writes an unscaled decimal without needless zeros: `19.1`, `0.0`.
fn write_decimal(out: &mut Vec<u8>, unscaled: i64, scale: u8) {
    let unit = 10_u64.checked_pow(scale.into()).unwrap_or(u64::MAX);
    if unscaled < 0 {
        out.push(b'-');
    }
    let (whole, fraction) = (unscaled.unsigned_abs() / unit, unscaled.unsigned_abs() % unit);
    write_integer(out, i64::try_from(whole).unwrap_or(i64::MAX));
    if scale == 0 {
        return;
    }
    out.push(b'.');
    let start = out.len();
    let (mut rest, mut unit) = (fraction, unit / 10);
    while rest > 0 || out.len() == start {
        out.push(b'0' + u8::try_from(rest / unit.max(1) % 10).unwrap_or(0));
        rest %= unit.max(1);
        unit /= 10;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn decimals_are_written_without_needless_zeros() {
        let check = |unscaled, scale, expected: &str| {
            let mut out = Vec::new();
            write_decimal(&mut out, unscaled, scale);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(10_659, 2, "106.59");
        check(1_910, 2, "19.1");
        check(0, 2, "0.0");
        check(5, 2, "0.05");
        check(-105, 2, "-1.05");
        check(100, 0, "100");
        check(1_000_001, 6, "1.000001");
    }

    #[test]
    fn a_format_pads_its_number() {
        let mut out = Vec::new();
        Format::parse("a\"%05db").unwrap().write(&mut out, 42);
        Format::parse("%d").unwrap().write(&mut out, 7);
        assert_eq!(String::from_utf8(out).unwrap(), r#""a\"00042b""7""#);
    }
}
