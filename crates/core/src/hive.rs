//! Names of Hive folders, `column=value`: which characters are escaped, and which values make a name at all.
//!
//! A value that makes none is no reason to stop: its record is quarantined (`KEY_TOO_LARGE`), as one whose KPI key is too
//! large (N3).

/// Longest value of a partition column, in bytes as UTF-8.
pub const MAX_VALUE_BYTES: usize = 200;

/// Longest name of a folder that every store takes.
pub const MAX_NAME_BYTES: usize = 255;

/// Hive's list of characters that are escaped in the name of a folder, as `%` and two hex digits, and NUL, which no store
/// takes. All are ASCII.
#[must_use]
pub fn is_special(c: char) -> bool {
    matches!(
        c,
        '\0'..='\x1f' | '\x7f' | '"' | '#' | '%' | '\'' | '*' | '/' | ':' | '=' | '?' | '\\' | '{' | '[' | ']' | '^'
    )
}

/// Whether `column=value` is the name of a folder.
#[must_use]
pub fn names_a_folder(column: &str, value: &str) -> bool {
    let escaped = |text: &str| text.len() + 2 * text.chars().filter(|c| is_special(*c)).count();
    value.len() <= MAX_VALUE_BYTES && escaped(column) + 1 + escaped(value) <= MAX_NAME_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_names_a_folder_if_it_is_short_enough_as_escaped() {
        let fits = |value: &str| names_a_folder("colour", value);
        assert!(fits("") && fits(&"x".repeat(200)) && !fits(&"x".repeat(201)));
        assert!(fits(&"é".repeat(100)) && !fits(&"é".repeat(101)));
        assert!(fits(&"/".repeat(82)) && !fits(&"/".repeat(83)), "248 bytes are left, of three for each");
        assert!(!names_a_folder(&"c".repeat(100), &"x".repeat(155)));
    }
}
