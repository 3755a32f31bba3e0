//! The typed tree of an expression: what resolution makes and evaluation walks.
//!
//! Every node knows its type; operands already have the types that their operator works on, so evaluation never
//! promotes. Constant parts are folded when a node is made, unless folding fails: then the failure belongs to the rows.
//! Others may walk it, as `expr::tree`: making one is resolution's affair.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, new_null_array};

use super::to_char::Piece;
use crate::types::DataType;

/// A typed expression.
#[derive(Clone, Debug)]
pub struct Node {
    pub kind: Kind,
    pub ty: DataType,
    pub nullable: bool,
    /// Character position in the text, from 0.
    pub at: usize,
}

/// What a node does.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A column of the scope.
    Column { index: usize, name: Arc<str> },
    /// A typed constant: an array of one value.
    Literal(ArrayRef),
    /// A quoted text or NULL that takes its type from where it stands, as in Postgres; a text if nothing decides.
    Untyped(Option<Arc<str>>),
    /// Arithmetic on operands of one family.
    Arithmetic { op: Arithmetic, left: Box<Node>, right: Box<Node> },
    /// An exact decimal quotient; until `typed` it has no scale and cannot be evaluated.
    Quotient { left: Box<Node>, right: Box<Node>, typed: bool },
    /// Sign change.
    Negate(Box<Node>),
    /// Comparison of two operands of one family.
    Compare { op: Comparison, left: Box<Node>, right: Box<Node> },
    /// Three-valued AND.
    And(Box<Node>, Box<Node>),
    /// Three-valued OR.
    Or(Box<Node>, Box<Node>),
    /// Three-valued NOT.
    Not(Box<Node>),
    /// IS NULL.
    IsNull(Box<Node>),
    /// IS TRUE or IS FALSE.
    IsBool(Box<Node>, bool),
    /// IN over a list.
    In { arg: Box<Node>, list: Vec<Node> },
    /// The first branch whose condition is TRUE.
    Case { branches: Vec<(Node, Node)>, otherwise: Box<Node> },
    /// The first value that is not NULL.
    Coalesce(Vec<Node>),
    /// Conversion to the node's type.
    Cast(Box<Node>),
    /// LIKE or ILIKE.
    Like { arg: Box<Node>, pattern: Box<Node>, any_case: bool },
    /// Texts joined; NULL operands make the result NULL, or are skipped.
    Concat { args: Vec<Node>, skip_null: bool },
    /// A point in time moved by a calendar interval.
    Shift { arg: Box<Node>, by: Interval },
    /// A function.
    Call { function: Function, args: Vec<Node> },
}

/// The arithmetic operators that have a type of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// The comparison operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Distinct,
    NotDistinct,
}

/// A calendar interval: months and days are added on the calendar, microseconds on the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    pub months: i32,
    pub days: i32,
    pub micros: i64,
}

/// The functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Function {
    Extract(TimeField),
    DateTrunc(TimeField),
    ToChar(Arc<[Piece]>),
    Lower,
    Upper,
    Trim(TrimSide),
    Substring,
    Length,
    /// Rounds to this many digits behind the point, half away from zero (floats: to even, as Postgres).
    Round(i8),
    Floor,
    Ceil,
    Abs,
}

/// Which end is trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimSide {
    Both,
    Leading,
    Trailing,
}

/// A part of a date or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeField {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Weekday,
    IsoWeekday,
    DayOfYear,
    Epoch,
}

impl Node {
    /// A node, folded to a literal where it has no columns and no failure.
    pub(super) fn new(kind: Kind, ty: DataType, nullable: bool, at: usize) -> Self {
        let node = Self { kind, ty, nullable, at };
        let leaf = matches!(node.kind, Kind::Column { .. } | Kind::Literal(_) | Kind::Untyped(_));
        if leaf || node.pending() || !node.children().iter().all(|child| child.constant()) {
            return node;
        }
        match super::eval::constant(&node) {
            Some(value) => Self::literal(value, ty, at),
            None => node,
        }
    }

    pub(super) fn literal(value: ArrayRef, ty: DataType, at: usize) -> Self {
        let nullable = value.null_count() > 0;
        Self { kind: Kind::Literal(value), ty, nullable, at }
    }

    pub(super) fn null(ty: DataType, at: usize) -> Self {
        Self::literal(new_null_array(&ty.arrow(), 1), ty, at)
    }

    pub(super) fn untyped(text: Option<&str>, at: usize) -> Self {
        Self { kind: Kind::Untyped(text.map(Arc::from)), ty: DataType::String, nullable: text.is_none(), at }
    }

    /// The constant's value, if the node is one.
    pub(super) fn value(&self) -> Option<ArrayRef> {
        match &self.kind {
            Kind::Literal(value) => Some(Arc::clone(value)),
            Kind::Untyped(text) => Some(Arc::new(StringArray::from(vec![text.as_deref()]))),
            _ => None,
        }
    }

    pub(super) fn constant(&self) -> bool {
        matches!(self.kind, Kind::Literal(_) | Kind::Untyped(_))
    }

    pub(super) fn is_untyped(&self) -> bool {
        matches!(self.kind, Kind::Untyped(_))
    }

    /// Whether the result still is an exact quotient without a scale.
    pub(super) fn pending(&self) -> bool {
        match &self.kind {
            Kind::Quotient { typed, .. } => !typed,
            Kind::Case { branches, otherwise } => {
                branches.iter().any(|(_, then)| then.pending()) || otherwise.pending()
            }
            Kind::Coalesce(args) => args.iter().any(Self::pending),
            _ => false,
        }
    }

    /// The operands, in the text's order.
    pub(super) fn children(&self) -> Vec<&Self> {
        match &self.kind {
            Kind::Column { .. } | Kind::Literal(_) | Kind::Untyped(_) => Vec::new(),
            Kind::Arithmetic { left, right, .. }
            | Kind::Quotient { left, right, .. }
            | Kind::Compare { left, right, .. }
            | Kind::And(left, right)
            | Kind::Or(left, right)
            | Kind::Like { arg: left, pattern: right, .. } => vec![left, right],
            Kind::Negate(arg)
            | Kind::Not(arg)
            | Kind::IsNull(arg)
            | Kind::IsBool(arg, _)
            | Kind::Cast(arg)
            | Kind::Shift { arg, .. } => vec![arg],
            Kind::In { arg, list } => std::iter::once(arg.as_ref()).chain(list).collect(),
            Kind::Case { branches, otherwise } => {
                branches.iter().flat_map(|(when, then)| [when, then]).chain([otherwise.as_ref()]).collect()
            }
            Kind::Coalesce(args) | Kind::Concat { args, .. } | Kind::Call { args, .. } => args.iter().collect(),
        }
    }

    /// Adds the indices of all columns read.
    pub(super) fn collect_columns(&self, into: &mut Vec<usize>) {
        if let Kind::Column { index, .. } = self.kind {
            into.push(index);
        }
        for child in self.children() {
            child.collect_columns(into);
        }
    }
}
