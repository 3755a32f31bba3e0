//! The names of types in CAST, `::` and typed constants.

use sqlparser::ast::{self, ExactNumberInfo, TimezoneInfo};

use super::ExprError;
use crate::decimal::MAX_PRECISION;
use crate::types::DataType;

/// The type that SQL's spelling means.
pub(super) fn data_type(ty: &ast::DataType, at: usize) -> Result<DataType, ExprError> {
    use ast::DataType as Sql;
    match ty {
        Sql::Int(None) | Sql::Integer(None) | Sql::Int4(None) | Sql::Int32 => Ok(DataType::Int32),
        Sql::BigInt(None) | Sql::Int8(None) | Sql::Int64 => Ok(DataType::Int64),
        Sql::Numeric(digits) | Sql::Decimal(digits) | Sql::Dec(digits) => decimal(digits, at),
        Sql::DoublePrecision
        | Sql::Double(ExactNumberInfo::None)
        | Sql::Float8
        | Sql::Float64
        | Sql::Float(ExactNumberInfo::None) => Ok(DataType::Float64),
        Sql::Text | Sql::String(None) | Sql::Varchar(None) | Sql::CharacterVarying(None) => Ok(DataType::String),
        Sql::Bool | Sql::Boolean => Ok(DataType::Bool),
        Sql::Date => Ok(DataType::Date),
        Sql::Timestamp(None | Some(6), _) => Ok(DataType::Timestamp),
        Sql::Time(
            _,
            TimezoneInfo::None | TimezoneInfo::WithTimeZone | TimezoneInfo::WithoutTimeZone | TimezoneInfo::Tz,
        ) => Err(unknown("time", at)),
        other => Err(unknown(&other.to_string(), at)),
    }
}

fn decimal(digits: &ExactNumberInfo, at: usize) -> Result<DataType, ExprError> {
    let (precision, scale) = match digits {
        ExactNumberInfo::None => {
            return Err(ExprError::new(
                at,
                "a decimal needs its digits here: write decimal(p,s), such as decimal(12,2)",
            ));
        }
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    let valid = |precision: u8, scale: i8| {
        (1..=MAX_PRECISION).contains(&precision) && scale >= 0 && scale.unsigned_abs() <= precision
    };
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(precision), Ok(scale)) if valid(precision, scale) => Ok(DataType::Decimal { precision, scale }),
        _ => Err(ExprError::new(
            at,
            format!(
                "decimal({precision},{scale}) does not exist: 1 to {MAX_PRECISION} digits, of them 0 to all behind the point"
            ),
        )),
    }
}

fn unknown(name: &str, at: usize) -> ExprError {
    ExprError::new(
        at,
        format!(
            "the type {} is not supported; use text, bool, int32, int64, float64, decimal(p,s), date or timestamp",
            name.to_lowercase()
        ),
    )
}
