//! Functions, by name and by SQL's own syntax: which exist, what they take, what they give.

use std::sync::Arc;

use sqlparser::ast::{self, CeilFloorKind, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned, TrimWhereField};

use super::node::{Comparison, Function, Kind, Node, TimeField, TrimSide};
use super::promote::{self, Digits, cast, coerce, compare};
use super::resolve::Resolver;
use super::{ExprError, eval, parse, to_char};
use crate::decimal::MAX_PRECISION;
use crate::types::DataType;

/// Functions whose value changes without the row changing.
const UNSTABLE: [&str; 18] = [
    "now",
    "random",
    "current_timestamp",
    "current_date",
    "current_time",
    "localtimestamp",
    "localtime",
    "clock_timestamp",
    "statement_timestamp",
    "transaction_timestamp",
    "timeofday",
    "gen_random_uuid",
    "uuid_generate_v4",
    "current_user",
    "session_user",
    "user",
    "nextval",
    "setseed",
];

/// Functions over many rows.
pub(super) const AGGREGATES: [&str; 14] = [
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "stddev",
    "variance",
    "string_agg",
    "array_agg",
    "bool_and",
    "bool_or",
    "every",
    "approx_count_distinct",
    "percentile_cont",
];

/// All functions called by name, for suggestions.
const KNOWN: [&str; 25] = [
    "coalesce",
    "nullif",
    "extract",
    "date_part",
    "date_trunc",
    "to_char",
    "lower",
    "upper",
    "trim",
    "btrim",
    "ltrim",
    "rtrim",
    "concat",
    "substr",
    "substring",
    "length",
    "char_length",
    "character_length",
    "round",
    "abs",
    "floor",
    "ceil",
    "ceiling",
    "mod",
    "cast",
];

impl Resolver<'_> {
    /// Functions and SQL's syntax for them; all else is refused.
    pub(super) fn resolve_call(&self, expr: &ast::Expr) -> Result<Node, ExprError> {
        match expr {
            ast::Expr::Function(function) => self.function(function),
            ast::Expr::Extract { field, expr: arg, .. } => self.extract(&field.to_string(), arg),
            ast::Expr::Floor { expr: arg, field } => self.whole(Function::Floor, arg, field),
            ast::Expr::Ceil { expr: arg, field } => self.whole(Function::Ceil, arg, field),
            ast::Expr::Substring { expr: arg, substring_from, substring_for, .. } => {
                self.substring(arg, substring_from.as_deref(), substring_for.as_deref())
            }
            ast::Expr::Trim { expr: arg, trim_where, trim_what, trim_characters } => {
                let set = trim_what.as_deref().or_else(|| trim_characters.as_ref().and_then(|set| set.first()));
                let side = match trim_where {
                    Some(TrimWhereField::Leading) => TrimSide::Leading,
                    Some(TrimWhereField::Trailing) => TrimSide::Trailing,
                    Some(TrimWhereField::Both) | None => TrimSide::Both,
                };
                self.trim(arg, set, side)
            }
            other => Err(ExprError::new(self.at(other), refusal(other))),
        }
    }

    fn function(&self, function: &ast::Function) -> Result<Node, ExprError> {
        let at = parse::position(self.sql, function.name.span().start);
        let name = function.name.to_string().to_lowercase();
        if matches!(function.args, FunctionArguments::None) {
            // Words such as `user` are functions in Postgres, but a column of that name is what is meant.
            if let Some(ast::ObjectNamePart::Identifier(ident)) = function.name.0.first()
                && self.scope.iter().any(|column| column.name == ident.value)
            {
                return self.column(ident);
            }
        }
        if UNSTABLE.contains(&name.as_str()) {
            return Err(ExprError::new(
                at,
                format!("{name} gives another value at each replay and is refused; use the record's own times"),
            ));
        }
        if function.over.is_some() || AGGREGATES.contains(&name.as_str()) {
            return Err(ExprError::new(
                at,
                format!("{name} is an aggregate over many rows; aggregates belong into the measures of a KPI"),
            ));
        }
        let args = arguments(function, at)?;
        self.by_name(&name, &args, at)
    }

    fn by_name(&self, name: &str, args: &[&ast::Expr], at: usize) -> Result<Node, ExprError> {
        match (name, args) {
            ("coalesce", [_, ..]) => self.coalesce(args, at),
            ("nullif", [left, right]) => self.nullif(left, right),
            ("date_part", [field, arg]) => self.extract(&self.constant_text(field)?, arg),
            ("date_trunc", [field, arg]) => self.date_trunc(field, arg),
            ("to_char", [arg, pattern]) => self.to_char(arg, pattern),
            ("lower", [arg]) => self.text_call(Function::Lower, DataType::String, arg),
            ("upper", [arg]) => self.text_call(Function::Upper, DataType::String, arg),
            ("length" | "char_length" | "character_length", [arg]) => {
                self.text_call(Function::Length, DataType::Int32, arg)
            }
            ("trim" | "btrim", [arg]) => self.trim(arg, None, TrimSide::Both),
            ("trim" | "btrim", [arg, set]) => self.trim(arg, Some(set), TrimSide::Both),
            ("ltrim", [arg]) => self.trim(arg, None, TrimSide::Leading),
            ("ltrim", [arg, set]) => self.trim(arg, Some(set), TrimSide::Leading),
            ("rtrim", [arg]) => self.trim(arg, None, TrimSide::Trailing),
            ("rtrim", [arg, set]) => self.trim(arg, Some(set), TrimSide::Trailing),
            ("concat", [_, ..]) => {
                let args = args.iter().map(|arg| self.text(arg, true)).collect::<Result<_, _>>()?;
                Ok(Node::new(Kind::Concat { args, skip_null: true }, DataType::String, false, at))
            }
            ("substr" | "substring", [arg, from]) => self.substring(arg, Some(from), None),
            ("substr" | "substring", [arg, from, length]) => self.substring(arg, Some(from), Some(length)),
            ("round", [arg]) => self.round(arg, 0, at),
            ("round", [arg, places]) => {
                let places = self.places(places)?;
                self.round(arg, places, at)
            }
            ("abs", [arg]) => {
                let arg = self.number(arg)?;
                let ty = arg.ty;
                Ok(call(Function::Abs, vec![arg], ty, at))
            }
            ("floor", [arg]) => self.whole_number(Function::Floor, arg),
            ("ceil" | "ceiling", [arg]) => self.whole_number(Function::Ceil, arg),
            ("mod", [left, right]) => {
                promote::arithmetic(super::node::Arithmetic::Remainder, self.resolve(left)?, self.resolve(right)?)
            }
            (known, _) if KNOWN.contains(&known) => {
                Err(ExprError::new(at, format!("{name} does not take {} arguments", args.len())))
            }
            _ => Err(ExprError::new(at, unknown_function(name))),
        }
    }

    fn coalesce(&self, args: &[&ast::Expr], at: usize) -> Result<Node, ExprError> {
        let args = args.iter().map(|arg| self.resolve(arg)).collect::<Result<_, _>>()?;
        let (args, ty) = promote::choice(args)?;
        let nullable = args.iter().all(|arg| arg.nullable);
        Ok(Node::new(Kind::Coalesce(args), ty, nullable, at))
    }

    fn nullif(&self, left: &ast::Expr, right: &ast::Expr) -> Result<Node, ExprError> {
        let value = self.operand(left)?;
        let equal = compare(Comparison::Equal, value.clone(), self.resolve(right)?)?;
        let value = if value.is_untyped() { cast(value, DataType::String)? } else { value };
        let (ty, at) = (value.ty, value.at);
        let kind = Kind::Case { branches: vec![(equal, Node::null(ty, at))], otherwise: Box::new(value) };
        Ok(Node::new(kind, ty, true, at))
    }

    fn extract(&self, field: &str, arg: &ast::Expr) -> Result<Node, ExprError> {
        let arg = self.moment(arg)?;
        let at = arg.at;
        let field = time_field(field, at)?;
        if arg.ty == DataType::Date && matches!(field, TimeField::Hour | TimeField::Minute | TimeField::Second) {
            return Err(ExprError::new(at, "a date has no time of day; extract it from a timestamp"));
        }
        let ty = if field == TimeField::Epoch { DataType::Int64 } else { DataType::Int32 };
        Ok(call(Function::Extract(field), vec![arg], ty, at))
    }

    fn date_trunc(&self, field: &ast::Expr, arg: &ast::Expr) -> Result<Node, ExprError> {
        let at = self.at(field);
        let unit = time_field(&self.constant_text(field)?, at)?;
        if matches!(unit, TimeField::Weekday | TimeField::IsoWeekday | TimeField::DayOfYear | TimeField::Epoch) {
            return Err(ExprError::new(at, "date_trunc takes year, quarter, month, week, day, hour, minute or second"));
        }
        let arg = cast(self.moment(arg)?, DataType::Timestamp)?;
        Ok(call(Function::DateTrunc(unit), vec![arg], DataType::Timestamp, at))
    }

    fn to_char(&self, arg: &ast::Expr, pattern: &ast::Expr) -> Result<Node, ExprError> {
        let arg = self.moment(arg)?;
        let pieces = to_char::compile(&self.constant_text(pattern)?)
            .map_err(|message| ExprError::new(self.at(pattern), message))?;
        let at = arg.at;
        Ok(call(Function::ToChar(Arc::from(pieces)), vec![arg], DataType::String, at))
    }

    fn text_call(&self, function: Function, ty: DataType, arg: &ast::Expr) -> Result<Node, ExprError> {
        let arg = self.text(arg, false)?;
        let at = arg.at;
        Ok(call(function, vec![arg], ty, at))
    }

    fn trim(&self, arg: &ast::Expr, set: Option<&ast::Expr>, side: TrimSide) -> Result<Node, ExprError> {
        let mut args = vec![self.text(arg, false)?];
        args.extend(set.map(|set| self.text(set, false)).transpose()?);
        let at = self.at(arg);
        Ok(call(Function::Trim(side), args, DataType::String, at))
    }

    fn substring(
        &self,
        arg: &ast::Expr,
        from: Option<&ast::Expr>,
        length: Option<&ast::Expr>,
    ) -> Result<Node, ExprError> {
        let at = self.at(arg);
        let integer = |expr: &ast::Expr| -> Result<Node, ExprError> {
            let node = self.operand(expr)?;
            match node.ty {
                DataType::Int32 | DataType::Int64 => coerce(node, DataType::Int64),
                _ if node.is_untyped() => cast(node, DataType::Int64),
                ty => Err(ExprError::new(node.at, format!("an integer is needed here, but this is a {ty}"))),
            }
        };
        let start = from.map(integer).transpose()?.map_or_else(|| literal_one(at), Ok)?;
        let mut args = vec![self.text(arg, false)?, start];
        args.extend(length.map(integer).transpose()?);
        Ok(call(Function::Substring, args, DataType::String, at))
    }

    fn whole(&self, function: Function, arg: &ast::Expr, field: &CeilFloorKind) -> Result<Node, ExprError> {
        match field {
            CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) => self.whole_number(function, arg),
            _ => {
                Err(ExprError::new(self.at(arg), "floor and ceil take one number; use round(x, places) or date_trunc"))
            }
        }
    }

    fn whole_number(&self, function: Function, arg: &ast::Expr) -> Result<Node, ExprError> {
        let arg = self.number(arg)?;
        let (ty, at) = (arg.ty, arg.at);
        match ty {
            DataType::Decimal { precision, scale } => {
                let whole = Digits::new(precision, scale).whole.saturating_add(1);
                Ok(call(function, vec![arg], Digits { whole, scale: 0 }.ty(), at))
            }
            DataType::Float64 => Ok(call(function, vec![arg], ty, at)),
            _ => Ok(arg),
        }
    }

    fn round(&self, arg: &ast::Expr, places: i8, at: usize) -> Result<Node, ExprError> {
        let node = self.resolve(arg)?;
        let scale = places.max(0);
        if node.pending() {
            if places < 0 {
                return Err(promote::untyped_division(node.at));
            }
            return cast(node, DataType::Decimal { precision: MAX_PRECISION, scale });
        }
        if !promote::is_numeric(node.ty) || node.is_untyped() {
            return Err(ExprError::new(node.at, format!("a number is needed here, but this is a {}", node.ty)));
        }
        match (node.ty, places) {
            (DataType::Float64, 0) => Ok(call(Function::Round(0), vec![node], DataType::Float64, at)),
            (DataType::Float64, _) => Err(ExprError::new(
                node.at,
                "a float64 has no digits to round to; convert it to a decimal with CAST first",
            )),
            (DataType::Int32 | DataType::Int64, 0..) => Ok(node),
            (ty, places) => {
                let digits = promote::digits(ty).unwrap_or(Digits { whole: MAX_PRECISION, scale: 0 });
                let node = cast(node, digits.ty())?;
                let rounded = Digits { whole: digits.whole.saturating_add(1), scale };
                Ok(call(Function::Round(places), vec![node], rounded.ty(), at))
            }
        }
    }

    fn places(&self, expr: &ast::Expr) -> Result<i8, ExprError> {
        let node = cast(self.operand(expr)?, DataType::String)?;
        let places = node
            .value()
            .and_then(|value| eval::constant_text(&value, DataType::String))
            .and_then(|text| text.parse().ok());
        let limit = i8::try_from(MAX_PRECISION).unwrap_or(i8::MAX);
        places.filter(|places: &i8| (-limit..=limit).contains(places)).ok_or_else(|| {
            ExprError::new(node.at, format!("the number of places must be a constant from -{limit} to {limit}"))
        })
    }

    fn constant_text(&self, expr: &ast::Expr) -> Result<String, ExprError> {
        let node = self.text(expr, false)?;
        node.value()
            .and_then(|value| eval::constant_text(&value, DataType::String))
            .ok_or_else(|| ExprError::new(node.at, "a quoted constant is needed here"))
    }
}

fn call(function: Function, args: Vec<Node>, ty: DataType, at: usize) -> Node {
    let nullable = args.iter().any(|arg| arg.nullable);
    Node::new(Kind::Call { function, args }, ty, nullable, at)
}

fn literal_one(at: usize) -> Result<Node, ExprError> {
    cast(Node::untyped(Some("1"), at), DataType::Int64)
}

/// The plain positional arguments of a call.
pub(super) fn arguments(function: &ast::Function, at: usize) -> Result<Vec<&ast::Expr>, ExprError> {
    let refused = |what: &str| Err(ExprError::new(at, format!("{what} is not supported in a function call")));
    let list = match &function.args {
        FunctionArguments::None => return Ok(Vec::new()),
        FunctionArguments::Subquery(_) => return refused("a subquery"),
        FunctionArguments::List(list) => list,
    };
    if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
        return refused("DISTINCT or a clause");
    }
    if function.filter.is_some() || function.over.is_some() || !function.within_group.is_empty() {
        return refused("FILTER, OVER or WITHIN GROUP");
    }
    let plain = |arg| match arg {
        &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref expr)) => Ok(expr),
        _ => Err(ExprError::new(at, "a named argument or * is not supported in a function call")),
    };
    list.args.iter().map(plain).collect()
}

fn time_field(name: &str, at: usize) -> Result<TimeField, ExprError> {
    Ok(match name.to_lowercase().as_str() {
        "year" | "years" => TimeField::Year,
        "quarter" => TimeField::Quarter,
        "month" | "months" => TimeField::Month,
        "week" | "weeks" => TimeField::Week,
        "day" | "days" => TimeField::Day,
        "hour" | "hours" => TimeField::Hour,
        "minute" | "minutes" => TimeField::Minute,
        "second" | "seconds" => TimeField::Second,
        "dow" => TimeField::Weekday,
        "isodow" => TimeField::IsoWeekday,
        "doy" => TimeField::DayOfYear,
        "epoch" => TimeField::Epoch,
        other => {
            return Err(ExprError::new(
                at,
                format!(
                    "the field {other} is not supported; use year, quarter, month, week, day, hour, minute, second, dow, isodow, doy or epoch"
                ),
            ));
        }
    })
}

fn unknown_function(name: &str) -> String {
    let near = KNOWN.iter().min_by_key(|known| strsim::damerau_levenshtein(known, name));
    match near.filter(|known| strsim::damerau_levenshtein(known, name) <= 2) {
        Some(near) => format!("there is no function {name}; did you mean {near}?"),
        None => format!("the function {name} is not supported; there are {}", KNOWN.join(", ")),
    }
}

/// Why a form of SQL is refused, and what to do instead.
fn refusal(expr: &ast::Expr) -> &'static str {
    match expr {
        ast::Expr::Subquery(_) | ast::Expr::Exists { .. } | ast::Expr::In { .. } => {
            "subqueries are refused; an expression sees one row only"
        }
        ast::Expr::CompoundIdentifier(_) | ast::Expr::CompoundFieldAccess { .. } => {
            "names have no table or schema in front; write the column's name alone"
        }
        ast::Expr::Wildcard(_) | ast::Expr::QualifiedWildcard(..) => "* is only for count(*) in a measure",
        ast::Expr::Interval(_) => "an interval can only be added to or taken from a date or timestamp",
        ast::Expr::AtTimeZone { .. } => "all times are UTC; AT TIME ZONE is not supported",
        ast::Expr::SimilarTo { .. } | ast::Expr::RLike { .. } => {
            "regular expressions are not supported; use LIKE or ILIKE"
        }
        ast::Expr::Like { .. } | ast::Expr::ILike { .. } => "LIKE ANY is not supported; join several LIKE with OR",
        _ => "this form of SQL is not supported in an expression",
    }
}
