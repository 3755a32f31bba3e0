//! How a field's type is written: `string`, `int32!`, `decimal(10,2)! round`.

use crate::document::nearest;
use crate::types::DataType;

/// Types without parameters, as a pipeline file spells them.
const PLAIN: [(&str, DataType); 7] = [
    ("string", DataType::String),
    ("bool", DataType::Bool),
    ("int32", DataType::Int32),
    ("int64", DataType::Int64),
    ("float64", DataType::Float64),
    ("date", DataType::Date),
    ("timestamp", DataType::Timestamp),
];

/// What other systems call a type.
const ALIASES: [(&str, &str); 14] = [
    ("int", "int32"),
    ("integer", "int32"),
    ("long", "int64"),
    ("bigint", "int64"),
    ("float", "float64"),
    ("double", "float64"),
    ("text", "string"),
    ("varchar", "string"),
    ("str", "string"),
    ("boolean", "bool"),
    ("datetime", "timestamp"),
    ("timestamptz", "timestamp"),
    ("numeric", "decimal(12,2)"),
    ("money", "decimal(12,2)"),
];

/// Digits that a 128-bit decimal holds.
const MOST_DIGITS: u8 = 38;

/// Why a type was refused, and the near one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TypeRefusal {
    pub(super) message: String,
    pub(super) suggestion: Option<String>,
}

/// A field's type with what stands behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FieldType {
    pub(super) ty: DataType,
    pub(super) required: bool,
    pub(super) round: bool,
}

/// Reads `type`, then `!` for required, then `round` for decimals that come with too many digits.
pub(super) fn parse_field_type(text: &str) -> Result<FieldType, TypeRefusal> {
    let trimmed = text.trim();
    let (rest, round) = match trimmed.strip_suffix("round") {
        Some(rest) if rest.ends_with([' ', '!', ')', '\t']) => (rest.trim_end(), true),
        _ => (trimmed, false),
    };
    let (name, required) = match rest.strip_suffix('!') {
        Some(name) => (name.trim_end(), true),
        None => (rest, false),
    };
    let ty = parse_type(name)?;
    if round && !matches!(ty, DataType::Decimal { .. }) {
        return Err(plain(format!("\"round\" is for decimals; {ty} has nothing to round")));
    }
    Ok(FieldType { ty, required, round })
}

/// Reads a type alone.
pub(super) fn parse_type(text: &str) -> Result<DataType, TypeRefusal> {
    let name = text.trim();
    if let Some((_, ty)) = PLAIN.iter().find(|(plain, _)| *plain == name) {
        return Ok(*ty);
    }
    match name.strip_prefix("decimal") {
        Some(parameters) => parse_decimal(name, parameters.trim_start()),
        None => Err(unknown(name)),
    }
}

fn parse_decimal(name: &str, parameters: &str) -> Result<DataType, TypeRefusal> {
    let inner = parameters.strip_prefix('(').and_then(|p| p.strip_suffix(')'));
    let numbers = inner
        .and_then(|inner| inner.split_once(','))
        .and_then(|(precision, scale)| Some((precision.trim().parse::<u8>().ok()?, scale.trim().parse::<i8>().ok()?)));
    let Some((precision, scale)) = numbers else {
        return Err(plain(format!(
            "\"{name}\" lacks its digits; write decimal(precision,scale), such as decimal(12,2)"
        )));
    };
    if precision == 0 || precision > MOST_DIGITS {
        return Err(plain(format!("decimal({precision},{scale}): the precision goes from 1 to {MOST_DIGITS}")));
    }
    if u8::try_from(scale).map_or(true, |scale| scale > precision) {
        return Err(plain(format!("decimal({precision},{scale}): the scale goes from 0 to the precision")));
    }
    Ok(DataType::Decimal { precision, scale })
}

fn unknown(name: &str) -> TypeRefusal {
    let folded = name.to_lowercase();
    let alias = ALIASES.iter().find(|(other, _)| folded.starts_with(other)).map(|(_, ours)| *ours);
    let names = PLAIN.iter().map(|(name, _)| *name).chain(["decimal(12,2)"]);
    let near = nearest(&folded, names).or(alias);
    let message = format!(
        "unknown type \"{name}\"; the types are string, bool, int32, int64, float64, decimal(p,s), date, timestamp, \
         each with \"!\" behind it if required"
    );
    TypeRefusal { message, suggestion: near.map(str::to_owned) }
}

fn plain(message: String) -> TypeRefusal {
    TypeRefusal { message, suggestion: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_may_be_required_and_a_decimal_rounded() {
        let decimal = DataType::Decimal { precision: 10, scale: 2 };
        let cases = [
            ("string", DataType::String, false, false),
            ("int32!", DataType::Int32, true, false),
            ("decimal(10,2)", decimal, false, false),
            ("decimal( 10 , 2 ) ! round", decimal, true, true),
            ("decimal(10,2)! round", decimal, true, true),
            ("decimal(10,2) round", decimal, false, true),
            ("timestamp !", DataType::Timestamp, true, false),
        ];
        for (text, ty, required, round) in cases {
            assert_eq!(parse_field_type(text), Ok(FieldType { ty, required, round }), "{text}");
        }
    }

    #[test]
    fn a_wrong_type_is_refused_with_the_near_one() {
        let cases = [
            ("strng", "unknown type", Some("string")),
            ("INT32", "unknown type", Some("int32")),
            ("double", "unknown type", Some("float64")),
            ("varchar(20)", "unknown type", Some("string")),
            ("decimal", "lacks its digits", None),
            ("decimal(39,2)", "precision goes", None),
            ("decimal(0,0)", "precision goes", None),
            ("decimal(4,5)", "scale goes", None),
            ("decimal(4,-1)", "scale goes", None),
            ("int32 round", "for decimals", None),
            ("", "unknown type", None),
        ];
        for (text, message, suggestion) in cases {
            let refusal = parse_field_type(text).unwrap_err();
            assert!(refusal.message.contains(message), "{text}: {refusal:?}");
            assert_eq!(refusal.suggestion.as_deref(), suggestion, "{text}");
        }
    }
}
