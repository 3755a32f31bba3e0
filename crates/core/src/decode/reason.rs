//! Why a record was refused: a stable code, the field and a short detail (I13).
//!
//! The codes are part of the format of Quarantine: SCREAMING_SNAKE_CASE, never renamed, never reused.

use std::fmt;

/// The longest piece of a value that a detail repeats, in characters.
const SHOWN: usize = 100;

/// A stable reason code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The payload isn't UTF-8.
    NotUtf8,
    /// The payload begins with a byte order mark.
    Bom,
    /// The payload has no bytes, or white space only.
    Empty,
    /// The payload ends in the middle of a JSON value.
    Truncated,
    /// The payload isn't JSON.
    NotJson,
    /// The payload is JSON, but not an object.
    NotAnObject,
    /// Something follows the object.
    TrailingData,
    /// An object names a key twice, at the top or deeper.
    DuplicateKey,
    /// Values are nested more than 128 levels deep.
    TooDeep,
    /// The payload is above the size limit; it was not parsed.
    TooLarge,
    /// A required field is missing or null.
    MissingField,
    /// A field's value has another JSON type, or a fraction where an integer is declared.
    WrongType,
    /// A number or a time is outside of its column's range.
    OutOfRange,
    /// A number or a time has more digits behind the point than its column holds.
    TooManyDigits,
    /// A date isn't `YYYY-MM-DD` or not in the calendar.
    BadDate,
    /// A timestamp isn't RFC 3339.
    BadTimestamp,
    /// The event time is missing.
    NoTimestamp,
    /// The event time is too far ahead of the process's clock (T4).
    Future,
    /// A KPI key is above its size limit (N3), or a text is too long for the name of its folder.
    KeyTooLarge,
    /// A check with `otherwise = "quarantine"` did not pass.
    Check,
    /// A derived value has no representation: overflow, division by zero, failed cast.
    Overflow,
}

impl Reason {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 21] = [
        Self::NotUtf8,
        Self::Bom,
        Self::Empty,
        Self::Truncated,
        Self::NotJson,
        Self::NotAnObject,
        Self::TrailingData,
        Self::DuplicateKey,
        Self::TooDeep,
        Self::TooLarge,
        Self::MissingField,
        Self::WrongType,
        Self::OutOfRange,
        Self::TooManyDigits,
        Self::BadDate,
        Self::BadTimestamp,
        Self::NoTimestamp,
        Self::Future,
        Self::KeyTooLarge,
        Self::Check,
        Self::Overflow,
    ];

    /// Whether the payload is no JSON object that this program reads: such a record is in Quarantine only, any other
    /// one in Bronze too (I4).
    #[must_use]
    pub fn is_no_object(self) -> bool {
        match self {
            Self::NotUtf8 | Self::Bom | Self::Empty | Self::Truncated | Self::NotJson | Self::NotAnObject => true,
            Self::TrailingData | Self::DuplicateKey | Self::TooDeep | Self::TooLarge => true,
            Self::MissingField | Self::WrongType | Self::OutOfRange | Self::TooManyDigits | Self::BadDate => false,
            Self::BadTimestamp | Self::NoTimestamp | Self::Future | Self::KeyTooLarge | Self::Check => false,
            Self::Overflow => false,
        }
    }

    /// The code, as Quarantine, metrics and the ledger spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotUtf8 => "NOT_UTF8",
            Self::Bom => "BOM",
            Self::Empty => "EMPTY",
            Self::Truncated => "TRUNCATED",
            Self::NotJson => "NOT_JSON",
            Self::NotAnObject => "NOT_AN_OBJECT",
            Self::TrailingData => "TRAILING_DATA",
            Self::DuplicateKey => "DUPLICATE_KEY",
            Self::TooDeep => "TOO_DEEP",
            Self::TooLarge => "TOO_LARGE",
            Self::MissingField => "MISSING_FIELD",
            Self::WrongType => "WRONG_TYPE",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::TooManyDigits => "TOO_MANY_DIGITS",
            Self::BadDate => "BAD_DATE",
            Self::BadTimestamp => "BAD_TIMESTAMP",
            Self::NoTimestamp => "NO_TIMESTAMP",
            Self::Future => "FUTURE",
            Self::KeyTooLarge => "KEY_TOO_LARGE",
            Self::Check => "CHECK",
            Self::Overflow => "OVERFLOW",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refused record of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Index into `RawBatch::records`.
    pub record: u32,
    /// Why.
    pub reason: Reason,
    /// The field, check or derived column concerned, if one is.
    pub field: Option<String>,
    /// What was found, for people; at most some hundred characters.
    pub detail: String,
}

/// A reason that is not yet tied to a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub reason: Reason,
    pub field: Option<String>,
    pub detail: String,
}

impl Problem {
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, field: None, detail: detail.into() }
    }

    pub fn in_field(mut self, field: &str) -> Self {
        self.field = Some(shown(field));
        self
    }

    pub fn of_record(self, record: u32) -> Reject {
        Reject { record, reason: self.reason, field: self.field, detail: self.detail }
    }
}

/// `text`, cut to a hundred characters.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn codes_are_distinct_and_screaming() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert!(codes.iter().all(|code| code.chars().all(|c| c == '_' || c.is_ascii_uppercase() || c == '8')));
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        assert_eq!(shown("short"), "short");
        assert_eq!(shown(&"é".repeat(500)).chars().count(), 101);
    }
}
