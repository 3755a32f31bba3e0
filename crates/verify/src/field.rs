//! A JSON value as a field's type, or why it is refused (I13).

use std::fmt;

use lakeward_core::pipeline::FieldDef;
use lakeward_core::types::DataType;

use crate::calendar::{self, Misread};
use crate::cell::Cell;
use crate::number::{self, NotExact};
use crate::object;

/// Why a record belongs in Quarantine: reason code and the field, check or column concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub reason: &'static str,
    /// What it is about, cut to a hundred characters as Quarantine does.
    pub field: Option<String>,
}

impl Refusal {
    /// One that concerns something with a name.
    #[must_use]
    pub fn of(reason: &'static str, name: &str) -> Self {
        let field = match name.char_indices().nth(100) {
            Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()),
            None => name.to_owned(),
        };
        Self { reason, field: Some(field) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{} ({field})", self.reason),
            None => f.write_str(self.reason),
        }
    }
}

/// The codes of payloads that are no object. Which of them it is, is a matter of the parser: they count as one here.
pub const NO_OBJECT: [&str; 10] = [
    "NOT_UTF8",
    "BOM",
    "EMPTY",
    "TRUNCATED",
    "NOT_JSON",
    "NOT_AN_OBJECT",
    "TRAILING_DATA",
    "DUPLICATE_KEY",
    "TOO_DEEP",
    "TOO_LARGE",
];

/// The value of a field as it stands in the record; `None` where the record doesn't name it.
pub fn cell(field: &FieldDef, raw: Option<&str>) -> Result<Cell, Refusal> {
    let raw = raw.unwrap_or("null");
    if raw == "null" {
        return if field.required { Err(Refusal::of("MISSING_FIELD", &field.name)) } else { Ok(Cell::Null) };
    }
    typed(field, raw).map_err(|reason| Refusal::of(reason, &field.name))
}

fn typed(field: &FieldDef, raw: &str) -> Result<Cell, &'static str> {
    let is_number = raw.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    match field.ty {
        DataType::String => Ok(Cell::Text(text(raw)?.into_owned())),
        DataType::Bool if raw == "true" => Ok(Cell::Bool(true)),
        DataType::Bool if raw == "false" => Ok(Cell::Bool(false)),
        DataType::Int32 if is_number => integer(raw, i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 if is_number => integer(raw, i64::MIN, i64::MAX),
        DataType::Float64 if is_number => raw.parse::<f64>().map(|x| Cell::Float(x + 0.0)).map_err(|_| "OUT_OF_RANGE"),
        DataType::Decimal { precision, scale } if is_number => {
            number::parse(raw, precision, scale, field.round).map(Cell::Decimal).map_err(code)
        }
        DataType::Date => calendar::strict_date(&text(raw)?).map(Cell::Int).ok_or("BAD_DATE"),
        DataType::Timestamp => {
            calendar::strict_instant(&text(raw)?, field.round).map(Cell::Int).map_err(|misread| match misread {
                Misread::Bad => "BAD_TIMESTAMP",
                Misread::TooManyDigits => "TOO_MANY_DIGITS",
                Misread::OutOfRange => "OUT_OF_RANGE",
            })
        }
        _ => Err("WRONG_TYPE"),
    }
}

fn text(raw: &str) -> Result<std::borrow::Cow<'_, str>, &'static str> {
    object::string(raw).ok_or("WRONG_TYPE")
}

/// `3.0` and `3e0` are the integer 3; `3.5` is of the wrong type.
fn integer(raw: &str, least: i64, most: i64) -> Result<Cell, &'static str> {
    let value = match raw.parse::<i64>() {
        Ok(value) => Ok(value),
        Err(_) => match number::parse(raw, number::MOST_DIGITS, 0, false) {
            Ok(value) => i64::try_from(value).map_err(|_| "OUT_OF_RANGE"),
            Err(NotExact::TooManyDigits) => Err("WRONG_TYPE"),
            Err(_) => Err("OUT_OF_RANGE"),
        },
    }?;
    if (least..=most).contains(&value) { Ok(Cell::Int(value)) } else { Err("OUT_OF_RANGE") }
}

fn code(why: NotExact) -> &'static str {
    match why {
        NotExact::NoNumber => "NOT_JSON",
        NotExact::TooManyDigits => "TOO_MANY_DIGITS",
        NotExact::OutOfRange => "OUT_OF_RANGE",
    }
}
