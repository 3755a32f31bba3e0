//! Spans of time as people write them: `500ms`, `30s`, `10m`, `1h`, `7d`. Kept as microseconds.
//!
//! Months and years are left out on purpose: they have no fixed length.

/// Units and their length in microseconds, longest first.
const UNITS: [(&str, i64); 5] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000)];

/// The microseconds that `text` stands for; zero is a span, a negative one is not.
///
/// # Errors
/// A sentence that says what is wrong and what would be right.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let trimmed = text.trim();
    if trimmed.starts_with('-') {
        return Err(format!("\"{text}\" is negative; a duration is zero or more, such as \"10m\""));
    }
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    let unit = unit.trim_start();
    if number.is_empty() {
        return Err(format!(
            "\"{text}\" is no duration; write a number and a unit, such as \"500ms\", \"30s\" or \"7d\""
        ));
    }
    if unit.is_empty() {
        return Err(format!("\"{text}\" has no unit; write ms, s, m, h or d behind it, such as \"{number}s\""));
    }
    let Some((_, length)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("\"{unit}\" is no unit of time; use ms, s, m, h or d (whole numbers, such as \"90s\")"));
    };
    let micros = number.parse::<i64>().ok().and_then(|n| n.checked_mul(*length));
    micros.ok_or_else(|| format!("\"{text}\" is longer than 292 000 years"))
}

/// `micros` in the largest unit that divides it, as `parse_duration` reads it; sub-millisecond rests are cut.
#[must_use]
pub fn format_duration(micros: i64) -> String {
    let fits = UNITS.iter().find(|(_, length)| micros != 0 && micros % length == 0);
    match fits {
        Some((unit, length)) => format!("{}{unit}", micros / length),
        None if micros == 0 => "0s".to_owned(),
        None => format!("{}ms", micros / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_whole_number_and_a_unit() {
        let cases = [
            ("500ms", 500_000),
            ("30s", 30_000_000),
            ("10m", 600_000_000),
            ("1h", 3_600_000_000),
            ("7d", 604_800_000_000),
            ("0s", 0),
            (" 2 h ", 7_200_000_000),
        ];
        for (text, micros) in cases {
            assert_eq!(parse_duration(text), Ok(micros), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_reason() {
        let cases = [
            ("30", "has no unit"),
            ("-5m", "is negative"),
            ("5 parsecs", "is no unit"),
            ("1.5h", "is no unit"),
            ("", "is no duration"),
            ("h", "is no duration"),
            ("99999999999999999999d", "longer than"),
            ("200000000d", "longer than"),
        ];
        for (text, reason) in cases {
            let refusal = parse_duration(text).unwrap_err();
            assert!(refusal.contains(reason), "{text}: {refusal}");
        }
    }

    #[test]
    fn a_formatted_duration_reads_back() {
        for text in ["500ms", "30s", "90s", "10m", "1h", "7d", "0s"] {
            let micros = parse_duration(text).unwrap();
            assert_eq!(parse_duration(&format_duration(micros)), Ok(micros));
            assert_eq!(format_duration(micros), text);
        }
    }
}
