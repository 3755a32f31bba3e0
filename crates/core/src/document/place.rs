//! From byte offsets to lines and columns, and from characters of a string's value to bytes of its TOML text.

/// Line and column, both from 1, of the byte `offset`; columns count characters.
pub(super) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    let column = before.get(start..).unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// The byte in `raw`, a TOML string with its quotes, at which character `wanted` of the string's value is written.
/// Beyond the value's end it is the closing quote.
pub(super) fn byte_of_character(raw: &str, wanted: usize) -> usize {
    let Some(quote) = raw.chars().next() else { return 0 };
    let triple = if quote == '"' { "\"\"\"" } else { "'''" };
    let multi_line = raw.len() >= 6 && raw.starts_with(triple);
    let quotes = if multi_line { 3 } else { 1 };
    let mut at = quotes;
    if multi_line {
        at += leading_newline(raw.get(at..).unwrap_or_default());
    }
    let end = raw.len().saturating_sub(quotes).max(at);
    let mut seen = 0;
    while at < end {
        let rest = raw.get(at..end).unwrap_or_default();
        let (width, characters) = piece(rest, quote == '"');
        if seen == wanted && characters > 0 {
            return at;
        }
        seen += characters;
        at += width.max(1);
    }
    end
}

/// A newline directly behind the opening quotes is no part of the value.
fn leading_newline(rest: &str) -> usize {
    if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with('\n')) }
}

/// Bytes that the first piece of `rest` takes, and how many characters (0 or 1) it stands for.
fn piece(rest: &str, escapes: bool) -> (usize, usize) {
    let mut chars = rest.chars();
    match (chars.next(), chars.next()) {
        (Some('\\'), Some(c)) if escapes => match c {
            'x' => (4, 1),
            'u' => (6, 1),
            'U' => (10, 1),
            c if c.is_whitespace() => {
                let tail = rest.get(1..).unwrap_or_default();
                (1 + tail.len() - tail.trim_start().len(), 0)
            }
            c => (1 + c.len_utf8(), 1),
        },
        (Some(c), _) => (c.len_utf8(), 1),
        (None, _) => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let text = "a = 1\né = \"x\"\n";
        assert_eq!(line_and_column(text, 0), (1, 1));
        assert_eq!(line_and_column(text, text.find('"').unwrap()), (2, 5));
        assert_eq!(line_and_column(text, 999), (3, 1));
    }

    #[test]
    fn a_character_of_the_value_is_found_in_the_text() {
        let cases = [
            (r#""abc""#, 0, 1),
            (r#""abc""#, 2, 3),
            (r#""abc""#, 9, 4),
            (r#"'a\b'"#, 2, 3),
            (r#""a\"b""#, 2, 4),
            (r#""\u0041b""#, 1, 7),
            (r#""éb""#, 1, 3),
            ("\"\"\"\nab\"\"\"", 1, 5),
            ("\"\"\"a\\\n   b\"\"\"", 1, 9),
            ("''", 0, 1),
        ];
        for (raw, wanted, byte) in cases {
            assert_eq!(byte_of_character(raw, wanted), byte, "{raw} {wanted}");
        }
    }
}
