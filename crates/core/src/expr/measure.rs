//! Measures: one aggregate over one expression, and the type of its answer.

use sqlparser::ast::{self, DuplicateTreatment, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned};

use super::promote::{self, Digits};
use super::resolve::Resolver;
use super::{Aggregate, Expr, ExprError, MeasureExpr, call, parse};
use crate::decimal::MAX_PRECISION;
use crate::types::{Column, DataType};

/// Digits behind the point that an average has beyond its argument's.
const AVG_EXTRA_DIGITS: i8 = 4;

/// Digits behind the point of an average of integers.
const AVG_INTEGER_SCALE: i8 = 6;

/// Parses and types a measure.
pub(super) fn compile(sql: &str, scope: &[Column]) -> Result<MeasureExpr, ExprError> {
    let parsed = parse::parse(sql)?;
    let resolver = Resolver { sql, scope };
    let ast::Expr::Function(function) = &parsed else {
        return Err(not_a_measure(resolver.at(&parsed)));
    };
    let at = parse::position(sql, function.name.span().start);
    let (distinct, arg) = argument(function, at)?;
    let name = function.name.to_string().to_lowercase();
    let aggregate = match (name.as_str(), distinct) {
        ("count", false) => Aggregate::Count,
        ("count", true) => Aggregate::CountDistinct,
        ("min", _) => Aggregate::Min,
        ("max", _) => Aggregate::Max,
        ("sum", false) => Aggregate::Sum,
        ("avg", false) => Aggregate::Avg,
        ("sum" | "avg", true) => {
            return Err(ExprError::new(at, format!("{name}(distinct …) is not supported; only count takes distinct")));
        }
        _ if call::AGGREGATES.contains(&name.as_str()) => {
            return Err(ExprError::new(
                at,
                format!("the aggregate {name} is not supported; use count, sum, avg, min or max"),
            ));
        }
        _ => return Err(not_a_measure(at)),
    };
    let Some(arg) = arg else {
        return match aggregate {
            Aggregate::Count => Ok(MeasureExpr { aggregate, arg: None, ty: DataType::Int64, nullable: false }),
            _ => Err(ExprError::new(at, format!("{name} needs a column or an expression, not *"))),
        };
    };
    let root = promote::operand(resolver.resolve(arg)?)?;
    let ty = answer(aggregate, root.ty).filter(|_| !root.is_untyped()).ok_or_else(|| {
        ExprError::new(root.at, format!("{name} of a {} does not exist; convert it with CAST", root.ty))
    })?;
    let nullable = !matches!(aggregate, Aggregate::Count | Aggregate::CountDistinct);
    Ok(MeasureExpr { aggregate, arg: Some(Expr { root }), ty, nullable })
}

/// The type of an aggregate's answer.
fn answer(aggregate: Aggregate, arg: DataType) -> Option<DataType> {
    match (aggregate, arg) {
        (Aggregate::Count | Aggregate::CountDistinct, _) => Some(DataType::Int64),
        (Aggregate::Min | Aggregate::Max, DataType::Bool) => None,
        (Aggregate::Min | Aggregate::Max, ty) => Some(ty),
        (Aggregate::Sum | Aggregate::Avg, DataType::Float64) => Some(DataType::Float64),
        (Aggregate::Sum, DataType::Int32 | DataType::Int64) => Some(DataType::Int64),
        (Aggregate::Sum, DataType::Decimal { precision, scale }) => {
            Some(DataType::Decimal { precision: if precision <= 16 { 18 } else { MAX_PRECISION }, scale })
        }
        (Aggregate::Avg, ty @ (DataType::Int32 | DataType::Int64)) => {
            promote::digits(ty).map(|digits| Digits { whole: digits.whole, scale: AVG_INTEGER_SCALE }.ty())
        }
        (Aggregate::Avg, DataType::Decimal { precision, scale }) => {
            let whole = Digits::new(precision, scale).whole;
            let most = i8::try_from(MAX_PRECISION.saturating_sub(whole)).unwrap_or(0);
            Some(Digits { whole, scale: scale.saturating_add(AVG_EXTRA_DIGITS).min(most) }.ty())
        }
        (Aggregate::Sum | Aggregate::Avg, DataType::String | DataType::Bool | DataType::Date | DataType::Timestamp) => {
            None
        }
    }
}

/// Whether DISTINCT stands there, and the one argument; `None` for `*`.
fn argument(function: &ast::Function, at: usize) -> Result<(bool, Option<&ast::Expr>), ExprError> {
    let list = match &function.args {
        FunctionArguments::List(list) => list,
        FunctionArguments::Subquery(_) => {
            return Err(ExprError::new(at, "subqueries are refused; a measure sees the rows of its window"));
        }
        FunctionArguments::None => return Err(not_a_measure(at)),
    };
    if function.over.is_some()
        || function.filter.is_some()
        || !function.within_group.is_empty()
        || !list.clauses.is_empty()
    {
        return Err(ExprError::new(
            at,
            "OVER, FILTER and ORDER BY are not supported in a measure; use CASE inside the aggregate",
        ));
    }
    let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] if !distinct => Ok((false, None)),
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))] => Ok((distinct, Some(arg))),
        _ => Err(ExprError::new(at, "a measure takes one argument")),
    }
}

fn not_a_measure(at: usize) -> ExprError {
    ExprError::new(
        at,
        "a measure is one aggregate: count(*), count(x), count(distinct x), sum(x), avg(x), min(x) or max(x)",
    )
}
