//! Numbers within sentences.

/// A span of microseconds, in at most two units.
#[must_use]
pub fn span(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let two = |n: i64, unit: &str, rest: i64, small: &str| match rest {
        0 => format!("{n} {unit}"),
        rest => format!("{n} {unit} {rest} {small}"),
    };
    match seconds {
        0 => format!("{} ms", micros / 1_000),
        1..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// `1 record`, `12 345 records`.
#[must_use]
pub fn records(n: u64) -> String {
    format!("{} record{}", count(n), if n == 1 { "" } else { "s" })
}

/// Digits in groups of three.
#[must_use]
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A share of 1 as a percentage.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_counts_are_short() {
        let s = 1_000_000;
        let spans = [5_000, 7 * s, 60 * s, 90 * s, 3_600 * s, 90_000 * s].map(span);
        assert_eq!(spans, ["5 ms", "7 s", "1 min", "1 min 30 s", "1 h", "1 d 1 h"]);
        assert_eq!(
            [1, 999, 1_000, 1_234_567].map(records),
            ["1 record", "999 records", "1 000 records", "1 234 567 records"]
        );
    }
}
