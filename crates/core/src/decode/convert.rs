//! One JSON value to one column's type: all that `document` reads, and what `scanner` does not convert at once. What it does,
//! it reads by the same `number` and `time_text`, and a differential test holds both together.

use super::number;
use super::reason::{Problem, Reason, shown};
use super::staged::{Cell, Place};
use super::time_text;
use crate::pipeline::FieldDef;
use crate::types::DataType;

/// A JSON value as it stands in a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Null,
    Bool(bool),
    /// The number's text.
    Number(&'a str),
    /// A string, unescaped, and where it lies.
    Text(&'a str, Place),
    /// An object or an array, whole.
    Nested(&'a str),
}

/// The value of `field`. A null is `Cell::Null` for every type; whether that is allowed is judged at the record's end.
pub(super) fn cell(field: &FieldDef, token: Token<'_>) -> Result<Cell, Problem> {
    match (field.ty, token) {
        (_, Token::Null) => Ok(Cell::Null),
        (DataType::String, Token::Text(_, place)) => Ok(Cell::Text(place)),
        (DataType::Bool, Token::Bool(value)) => Ok(Cell::Bool(value)),
        (DataType::Int32, Token::Number(text)) => {
            number::integer(text, i32::MIN.into(), i32::MAX.into()).map(Cell::Int)
        }
        (DataType::Int64, Token::Number(text)) => number::integer(text, i64::MIN, i64::MAX).map(Cell::Int),
        (DataType::Float64, Token::Number(text)) => float(text),
        (DataType::Decimal { precision, scale }, Token::Number(text)) => {
            number::decimal(text, precision, scale, field.round).map(Cell::Decimal)
        }
        (DataType::Date, Token::Text(text, _)) => time_text::date(text).map(Cell::Int),
        (DataType::Timestamp, Token::Text(text, _)) => time_text::timestamp(text, field.round).map(Cell::Int),
        (ty, token) => Err(Problem::new(Reason::WrongType, format!("expected {ty}, found {}", described(token)))),
    }
}

/// The nearest double; negative zero becomes zero.
fn float(text: &str) -> Result<Cell, Problem> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Cell::Float(value + 0.0)),
        _ => Err(Problem::new(Reason::OutOfRange, format!("{} is beyond a double", shown(text)))),
    }
}

fn described(token: Token<'_>) -> String {
    match token {
        Token::Null => "null".to_owned(),
        Token::Bool(value) => format!("{value}"),
        Token::Number(text) => format!("the number {}", shown(text)),
        Token::Text(text, _) => format!("the string {:?}", shown(text)),
        Token::Nested(text) => shown(text),
    }
}
