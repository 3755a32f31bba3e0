//! Types: how operands meet (int32 < int64 < decimal < float64, date < timestamp, as in Postgres), what type a result
//! has, and which conversions exist.
//!
//! Decimals never lose digits by themselves: a sum has one more digit in front of the point, a product the digits of
//! both; a quotient has no type until one is given (N1).

use arrow::array::{
    AsArray,
    types::{Int32Type, Int64Type},
};

use super::node::{Arithmetic, Comparison, Kind, Node};
use super::{ExprError, eval};
use crate::decimal::MAX_PRECISION;
use crate::types::DataType;

/// Digits and scale of a decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digits {
    /// Digits in front of the point.
    pub(super) whole: u8,
    /// Digits behind it.
    pub(super) scale: i8,
}

impl Digits {
    pub(super) fn new(precision: u8, scale: i8) -> Self {
        Self { whole: precision.saturating_sub(scale.unsigned_abs()), scale }
    }

    /// Digits in all, which may be more than a decimal has.
    pub(super) fn all(self) -> u8 {
        self.whole.saturating_add(self.scale.unsigned_abs())
    }

    /// The type, capped: values that don't fit fail as rows.
    pub(super) fn ty(self) -> DataType {
        DataType::Decimal { precision: self.all().clamp(1, MAX_PRECISION), scale: self.scale }
    }
}

/// The exact digits of a sum, product or remainder of decimals.
pub(super) fn decimal_result(op: Arithmetic, left: Digits, right: Digits) -> Digits {
    let whole = left.whole.max(right.whole);
    let scale = left.scale.max(right.scale);
    match op {
        Arithmetic::Add | Arithmetic::Subtract => Digits { whole: whole.saturating_add(1), scale },
        Arithmetic::Multiply => {
            Digits { whole: left.whole.saturating_add(right.whole), scale: left.scale.saturating_add(right.scale) }
        }
        Arithmetic::Divide | Arithmetic::Remainder => Digits { whole, scale },
    }
}

/// The digits of a decimal type, or of an integer type as one.
pub(super) fn digits(ty: DataType) -> Option<Digits> {
    match ty {
        DataType::Int32 => Some(Digits { whole: 10, scale: 0 }),
        DataType::Int64 => Some(Digits { whole: 19, scale: 0 }),
        DataType::Decimal { precision, scale } => Some(Digits::new(precision, scale)),
        _ => None,
    }
}

/// The type in which values of both types meet.
pub(super) fn common(a: DataType, b: DataType) -> Option<DataType> {
    use DataType::{Date, Float64, Int32, Int64, Timestamp};
    match (a, b) {
        (a, b) if a == b => Some(a),
        (Int32, Int64) | (Int64, Int32) => Some(Int64),
        (Date, Timestamp) | (Timestamp, Date) => Some(Timestamp),
        (Float64, other) | (other, Float64) => digits(other).map(|_| Float64),
        (a, b) => {
            let (a, b) = (digits(a)?, digits(b)?);
            Some(Digits { whole: a.whole.max(b.whole), scale: a.scale.max(b.scale) }.ty())
        }
    }
}

/// Whether `CAST(from AS to)` exists.
pub(super) fn castable(from: DataType, to: DataType) -> bool {
    use DataType::{Bool, Date, Int32, Int64, String, Timestamp};
    let numeric = |ty: DataType| is_numeric(ty);
    from == to
        || from == String
        || to == String
        || (numeric(from) && numeric(to))
        || matches!((from, to), (Bool, Int32 | Int64) | (Int32 | Int64, Bool) | (Date, Timestamp) | (Timestamp, Date))
}

pub(super) fn is_numeric(ty: DataType) -> bool {
    matches!(ty, DataType::Int32 | DataType::Int64 | DataType::Float64 | DataType::Decimal { .. })
}

/// `node` as `ty`, where Postgres converts by itself: constants without a type, and along [`common`].
pub(super) fn coerce(node: Node, ty: DataType) -> Result<Node, ExprError> {
    if node.ty == ty && !node.is_untyped() {
        return Ok(node);
    }
    if node.is_untyped() || common(node.ty, ty) == Some(ty) || digits(node.ty).is_some() && digits(ty).is_some() {
        return cast(node, ty);
    }
    Err(ExprError::new(node.at, format!("this is a {}, but a {ty} is needed here; convert it with CAST", node.ty)))
}

/// `node` converted to `ty`, explicitly; an exact quotient is rounded here, once.
pub(super) fn cast(node: Node, ty: DataType) -> Result<Node, ExprError> {
    if node.pending() {
        return type_quotient(node, ty);
    }
    if let Kind::Untyped(text) = &node.kind {
        return eval::parse_constant(text.as_deref(), ty)
            .map(|value| Node::literal(value, ty, node.at))
            .map_err(|detail| ExprError::new(node.at, detail));
    }
    if node.ty == ty {
        return Ok(node);
    }
    if !castable(node.ty, ty) {
        return Err(ExprError::new(node.at, format!("there is no conversion from {} to {ty}", node.ty)));
    }
    let (nullable, at) = (node.nullable, node.at);
    Ok(Node::new(Kind::Cast(Box::new(node)), ty, nullable, at))
}

fn type_quotient(node: Node, ty: DataType) -> Result<Node, ExprError> {
    let Node { kind, nullable, at, .. } = node;
    match kind {
        Kind::Quotient { left, right, .. } => match ty {
            DataType::Decimal { .. } => Ok(Node::new(Kind::Quotient { left, right, typed: true }, ty, nullable, at)),
            DataType::Float64 => {
                let (left, right) = (Box::new(cast(*left, ty)?), Box::new(cast(*right, ty)?));
                Ok(Node::new(Kind::Arithmetic { op: Arithmetic::Divide, left, right }, ty, nullable, at))
            }
            DataType::Int32 | DataType::Int64 => {
                let whole = DataType::Decimal { precision: MAX_PRECISION, scale: 0 };
                cast(Node::new(Kind::Quotient { left, right, typed: true }, whole, nullable, at), ty)
            }
            _ => Err(ExprError::new(
                at,
                format!("a division of decimals cannot become a {ty}; give it a decimal type first"),
            )),
        },
        Kind::Case { branches, otherwise } => {
            let branches = branches.into_iter().map(|(when, then)| Ok((when, cast(then, ty)?)));
            let kind = Kind::Case {
                branches: branches.collect::<Result<_, ExprError>>()?,
                otherwise: Box::new(cast(*otherwise, ty)?),
            };
            Ok(Node::new(kind, ty, nullable, at))
        }
        Kind::Coalesce(args) => {
            let args = args.into_iter().map(|arg| cast(arg, ty)).collect::<Result<_, _>>()?;
            Ok(Node::new(Kind::Coalesce(args), ty, nullable, at))
        }
        kind => Ok(Node { kind, ty, nullable, at }),
    }
}

/// The refusal of a decimal division without a type.
pub(super) fn untyped_division(at: usize) -> ExprError {
    ExprError::new(
        at,
        "a division of decimals has no scale of its own; write CAST(a / b AS decimal(p,s)) or give the column a type",
    )
}

/// `node` as an operand, which an exact quotient without a type cannot be.
pub(super) fn operand(node: Node) -> Result<Node, ExprError> {
    if node.pending() { Err(untyped_division(node.at)) } else { Ok(node) }
}

/// All nodes as the one type in which they meet.
pub(super) fn unify(nodes: Vec<Node>) -> Result<(Vec<Node>, DataType), ExprError> {
    let ty = meeting(&nodes)?;
    let nodes = nodes.into_iter().map(|node| coerce(node, ty)).collect::<Result<_, _>>()?;
    Ok((nodes, ty))
}

/// The results of a choice (CASE, COALESCE) as one type. Exact quotients among them wait for a type together with all
/// others, so that each is rounded once.
pub(super) fn choice(nodes: Vec<Node>) -> Result<(Vec<Node>, DataType), ExprError> {
    if !nodes.iter().any(Node::pending) {
        return unify(nodes);
    }
    match meeting(&nodes)? {
        DataType::Float64 => {
            let nodes = nodes.into_iter().map(|node| cast(node, DataType::Float64)).collect::<Result<_, _>>()?;
            Ok((nodes, DataType::Float64))
        }
        ty => Ok((nodes, ty)),
    }
}

/// The type in which all nodes meet; constants without a type don't count, and are texts if nothing else is there.
pub(super) fn meeting(nodes: &[Node]) -> Result<DataType, ExprError> {
    let decimal = nodes.iter().any(|node| matches!(node.ty, DataType::Decimal { .. }));
    let mut met: Option<DataType> = None;
    for node in nodes.iter().filter(|node| !node.is_untyped()) {
        let own = literal_digits(node).filter(|_| decimal).map_or(node.ty, Digits::ty);
        let so_far = met.unwrap_or(own);
        met = Some(common(so_far, own).ok_or_else(|| {
            ExprError::new(node.at, format!("a {own} and a {so_far} cannot meet here; convert one with CAST"))
        })?);
    }
    Ok(met.unwrap_or(DataType::String))
}

/// Arithmetic on two nodes.
pub(super) fn arithmetic(op: Arithmetic, left: Node, right: Node) -> Result<Node, ExprError> {
    let (left, right) = (operand(left)?, operand(right)?);
    let (left, right) = match (left.is_untyped(), right.is_untyped()) {
        (true, false) if is_numeric(right.ty) => (cast(left, right.ty)?, right),
        (false, true) if is_numeric(left.ty) => {
            let ty = left.ty;
            (left, cast(right, ty)?)
        }
        _ => (left, right),
    };
    if left.ty == DataType::Date || left.ty == DataType::Timestamp || right.ty == DataType::Date {
        return date_arithmetic(op, left, right);
    }
    for node in [&left, &right] {
        if !is_numeric(node.ty) {
            return Err(ExprError::new(node.at, format!("arithmetic needs numbers, but this is a {}", node.ty)));
        }
    }
    let (at, nullable) = (left.at, left.nullable || right.nullable);
    let ty = common(left.ty, right.ty).ok_or_else(|| ExprError::new(at, "these numbers cannot meet"))?;
    match ty {
        DataType::Decimal { .. } => decimal_arithmetic(op, left, right),
        DataType::Float64 if op == Arithmetic::Remainder => {
            Err(ExprError::new(at, "% is not defined for float64; convert to a decimal or an integer with CAST"))
        }
        ty => {
            let (left, right) = (Box::new(cast(left, ty)?), Box::new(cast(right, ty)?));
            Ok(Node::new(Kind::Arithmetic { op, left, right }, ty, nullable, at))
        }
    }
}

fn decimal_arithmetic(op: Arithmetic, left: Node, right: Node) -> Result<Node, ExprError> {
    let (at, nullable) = (left.at, left.nullable || right.nullable);
    let (left, right) = (as_decimal(left)?, as_decimal(right)?);
    let (Some(l), Some(r)) = (digits(left.ty), digits(right.ty)) else {
        return Err(ExprError::new(at, "these numbers cannot meet"));
    };
    let result = decimal_result(op, l, r);
    if result.scale.unsigned_abs() > MAX_PRECISION {
        return Err(ExprError::new(
            at,
            format!(
                "the product has {} digits behind the point, more than the {MAX_PRECISION} of a decimal; narrow an operand with CAST",
                result.scale
            ),
        ));
    }
    let (left, right) = (Box::new(left), Box::new(right));
    Ok(match op {
        Arithmetic::Divide => {
            let ty = DataType::Decimal { precision: MAX_PRECISION, scale: result.scale.max(6) };
            Node::new(Kind::Quotient { left, right, typed: false }, ty, nullable, at)
        }
        op => Node::new(Kind::Arithmetic { op, left, right }, result.ty(), nullable, at),
    })
}

/// A number as a decimal; a constant has only the digits that it shows.
fn as_decimal(node: Node) -> Result<Node, ExprError> {
    match literal_digits(&node).or_else(|| digits(node.ty)) {
        Some(digits) => cast(node, digits.ty()),
        None => Ok(node),
    }
}

/// The digits of an integer constant.
fn literal_digits(node: &Node) -> Option<Digits> {
    let Kind::Literal(value) = &node.kind else { return None };
    let number = match node.ty {
        DataType::Int32 => i64::from(*value.as_primitive_opt::<Int32Type>()?.values().first()?),
        DataType::Int64 => *value.as_primitive_opt::<Int64Type>()?.values().first()?,
        _ => return None,
    };
    let whole = u8::try_from(number.unsigned_abs().checked_ilog10().unwrap_or(0) + 1).ok()?;
    Some(Digits { whole, scale: 0 })
}

fn date_arithmetic(op: Arithmetic, left: Node, right: Node) -> Result<Node, ExprError> {
    use Arithmetic::{Add, Subtract};
    use DataType::{Date, Int32, Int64};
    let (at, nullable) = (left.at, left.nullable || right.nullable);
    let (left, right, ty) = match (left.ty, op, right.ty) {
        (Date, Add | Subtract, Int32 | Int64) => (left, cast(right, Int32)?, Date),
        (Int32 | Int64, Add, Date) => (right, cast(left, Int32)?, Date),
        (Date, Subtract, Date) => (left, coerce(right, Date)?, Int32),
        (l, _, r) => {
            return Err(ExprError::new(
                at,
                format!(
                    "this arithmetic on a {l} and a {r} is not supported; use date + days, date - date, + INTERVAL '1 day', or extract(epoch from …)"
                ),
            ));
        }
    };
    Ok(Node::new(Kind::Arithmetic { op, left: Box::new(left), right: Box::new(right) }, ty, nullable, at))
}

/// A comparison of two nodes.
pub(super) fn compare(op: Comparison, left: Node, right: Node) -> Result<Node, ExprError> {
    let (left, right) = (operand(left)?, operand(right)?);
    let at = left.at;
    let nullable = !matches!(op, Comparison::Distinct | Comparison::NotDistinct) && (left.nullable || right.nullable);
    let (left, right) = match (digits(left.ty), digits(right.ty)) {
        (Some(l), Some(r))
            if Digits { whole: l.whole.max(r.whole), scale: l.scale.max(r.scale) }.all() > MAX_PRECISION
                && !left.is_untyped()
                && !right.is_untyped() =>
        {
            (as_decimal(left)?, as_decimal(right)?)
        }
        _ => {
            let ty = meeting(&[left.clone(), right.clone()])?;
            (coerce(left, ty)?, coerce(right, ty)?)
        }
    };
    let kind = Kind::Compare { op, left: Box::new(left), right: Box::new(right) };
    Ok(Node::new(kind, DataType::Bool, nullable, at))
}

/// `node` as a condition.
pub(super) fn condition(node: Node) -> Result<Node, ExprError> {
    let node = operand(node)?;
    if node.is_untyped() || node.ty == DataType::Bool {
        return cast(node, DataType::Bool);
    }
    Err(ExprError::new(
        node.at,
        format!("a condition is needed here, but this is a {}; compare it with something", node.ty),
    ))
}
