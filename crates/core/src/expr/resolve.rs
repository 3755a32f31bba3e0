//! From sqlparser's tree to typed nodes: names become columns, operators get their operands' types, and what
//! expressions don't do is refused with its place and a way out.

use std::sync::Arc;

use sqlparser::ast::{self, BinaryOperator, InTarget, Spanned, UnaryOperator};

use super::node::{Arithmetic, Comparison, Kind, Node};
use super::promote::{self, arithmetic, cast, compare, condition, operand};
use super::{ExprError, literal, parse, types};
use crate::types::{Column, DataType};

/// What names mean, and the text that positions refer to.
pub(super) struct Resolver<'a> {
    pub(super) sql: &'a str,
    pub(super) scope: &'a [Column],
}

impl Resolver<'_> {
    /// The typed node of a parsed expression; it may be an exact quotient without a type.
    pub(super) fn resolve(&self, expr: &ast::Expr) -> Result<Node, ExprError> {
        match expr {
            ast::Expr::Nested(inner) => self.resolve(inner),
            ast::Expr::Identifier(name) => self.column(name),
            ast::Expr::Value(value) => literal::value(value, self.at(expr)),
            ast::Expr::TypedString(typed) => {
                let ty = types::data_type(&typed.data_type, self.at(expr))?;
                cast(literal::value(&typed.value, self.at(expr))?, ty)
            }
            ast::Expr::UnaryOp { op, expr: arg } => self.unary(op, arg),
            ast::Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            ast::Expr::Cast { expr: arg, data_type, kind, .. } => self.cast(kind, arg, data_type),
            ast::Expr::IsNull(arg) => self.is_null(arg, false),
            ast::Expr::IsNotNull(arg) => self.is_null(arg, true),
            ast::Expr::IsTrue(arg) => self.is_bool(arg, true, false),
            ast::Expr::IsNotTrue(arg) => self.is_bool(arg, true, true),
            ast::Expr::IsFalse(arg) => self.is_bool(arg, false, false),
            ast::Expr::IsNotFalse(arg) => self.is_bool(arg, false, true),
            ast::Expr::IsUnknown(arg) => self.is_unknown(arg, false),
            ast::Expr::IsNotUnknown(arg) => self.is_unknown(arg, true),
            ast::Expr::IsDistinctFrom(left, right) => {
                compare(Comparison::Distinct, self.resolve(left)?, self.resolve(right)?)
            }
            ast::Expr::IsNotDistinctFrom(left, right) => {
                compare(Comparison::NotDistinct, self.resolve(left)?, self.resolve(right)?)
            }
            ast::Expr::Between { expr: arg, negated, low, high } => self.between(arg, low, high, *negated),
            ast::Expr::In { expr: arg, target: InTarget::List(list), negated, .. } => self.is_in(arg, list, *negated),
            ast::Expr::Like { negated, any: false, expr: arg, pattern, escape_char } => {
                self.like(arg, pattern, escape_char.as_deref(), false, *negated)
            }
            ast::Expr::ILike { negated, any: false, expr: arg, pattern, escape_char } => {
                self.like(arg, pattern, escape_char.as_deref(), true, *negated)
            }
            ast::Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref(), self.at(expr))
            }
            other => self.resolve_call(other),
        }
    }

    /// The expression as an operand: whatever has a type.
    pub(super) fn operand(&self, expr: &ast::Expr) -> Result<Node, ExprError> {
        operand(self.resolve(expr)?)
    }

    /// The expression as a text; other types are converted if `convert`.
    pub(super) fn text(&self, expr: &ast::Expr, convert: bool) -> Result<Node, ExprError> {
        let node = self.operand(expr)?;
        if node.is_untyped() || node.ty == DataType::String || convert {
            return cast(node, DataType::String);
        }
        Err(ExprError::new(
            node.at,
            format!("a text is needed here, but this is a {}; convert it with ::text", node.ty),
        ))
    }

    /// Where an expression starts, as a character position.
    pub(super) fn at(&self, expr: &ast::Expr) -> usize {
        parse::position(self.sql, expr.span().start)
    }

    pub(super) fn column(&self, name: &ast::Ident) -> Result<Node, ExprError> {
        let at = parse::position(self.sql, name.span.start);
        match self.scope.iter().enumerate().find(|(_, column)| column.name == name.value) {
            Some((index, column)) => {
                let kind = Kind::Column { index, name: Arc::from(name.value.as_str()) };
                Ok(Node::new(kind, column.ty, column.nullable, at))
            }
            None => Err(ExprError::new(at, unknown_column(&name.value, self.scope))),
        }
    }

    fn unary(&self, op: &UnaryOperator, arg: &ast::Expr) -> Result<Node, ExprError> {
        match op {
            UnaryOperator::Not => Ok(negation(condition(self.resolve(arg)?)?)),
            UnaryOperator::Plus => self.number(arg),
            UnaryOperator::Minus => {
                if let Some(node) = literal::negative(arg, self.at(arg)) {
                    return node;
                }
                let node = self.number(arg)?;
                let (ty, nullable, at) = (node.ty, node.nullable, node.at);
                Ok(Node::new(Kind::Negate(Box::new(node)), ty, nullable, at))
            }
            other => Err(ExprError::new(
                self.at(arg),
                format!("the operator {other} is not supported; use + - * / % and NOT"),
            )),
        }
    }

    /// The expression as a number.
    pub(super) fn number(&self, expr: &ast::Expr) -> Result<Node, ExprError> {
        let node = self.operand(expr)?;
        if promote::is_numeric(node.ty) && !node.is_untyped() {
            return Ok(node);
        }
        Err(ExprError::new(node.at, format!("a number is needed here, but this is a {}", node.ty)))
    }

    fn binary(&self, left: &ast::Expr, op: &BinaryOperator, right: &ast::Expr) -> Result<Node, ExprError> {
        if let Some(op) = comparison(op) {
            return compare(op, self.resolve(left)?, self.resolve(right)?);
        }
        match op {
            BinaryOperator::And | BinaryOperator::Or => {
                let (l, r) = (condition(self.resolve(left)?)?, condition(self.resolve(right)?)?);
                let (nullable, at) = (l.nullable || r.nullable, l.at);
                let (l, r) = (Box::new(l), Box::new(r));
                let kind = if *op == BinaryOperator::And { Kind::And(l, r) } else { Kind::Or(l, r) };
                Ok(Node::new(kind, DataType::Bool, nullable, at))
            }
            BinaryOperator::StringConcat => self.join(left, right),
            BinaryOperator::Plus | BinaryOperator::Minus if is_interval(left) || is_interval(right) => {
                self.shift(left, op, right)
            }
            BinaryOperator::Plus => arithmetic(Arithmetic::Add, self.resolve(left)?, self.resolve(right)?),
            BinaryOperator::Minus => arithmetic(Arithmetic::Subtract, self.resolve(left)?, self.resolve(right)?),
            BinaryOperator::Multiply => arithmetic(Arithmetic::Multiply, self.resolve(left)?, self.resolve(right)?),
            BinaryOperator::Divide => arithmetic(Arithmetic::Divide, self.resolve(left)?, self.resolve(right)?),
            BinaryOperator::Modulo => arithmetic(Arithmetic::Remainder, self.resolve(left)?, self.resolve(right)?),
            other => Err(ExprError::new(self.at(left), format!("the operator {other} is not supported"))),
        }
    }

    fn join(&self, left: &ast::Expr, right: &ast::Expr) -> Result<Node, ExprError> {
        let (l, r) = (self.operand(left)?, self.operand(right)?);
        if ![&l, &r].iter().any(|node| node.ty == DataType::String) {
            return Err(ExprError::new(l.at, "|| joins texts, but neither side is one; convert one with ::text"));
        }
        let (l, r) = (cast(l, DataType::String)?, cast(r, DataType::String)?);
        let (nullable, at) = (l.nullable || r.nullable, l.at);
        Ok(Node::new(Kind::Concat { args: vec![l, r], skip_null: false }, DataType::String, nullable, at))
    }

    fn shift(&self, left: &ast::Expr, op: &BinaryOperator, right: &ast::Expr) -> Result<Node, ExprError> {
        let (moment, by) = match (left, right) {
            (moment, ast::Expr::Interval(by)) => (moment, literal::interval(by, self.at(right))?),
            (ast::Expr::Interval(by), moment) if *op == BinaryOperator::Plus => {
                (moment, literal::interval(by, self.at(left))?)
            }
            _ => {
                return Err(ExprError::new(
                    self.at(left),
                    "an interval can be added to or taken from a date or timestamp",
                ));
            }
        };
        let by = if *op == BinaryOperator::Minus { literal::opposite(by, self.at(right))? } else { by };
        let arg = self.moment(moment)?;
        let arg = cast(arg, DataType::Timestamp)?;
        let (nullable, at) = (arg.nullable, arg.at);
        Ok(Node::new(Kind::Shift { arg: Box::new(arg), by }, DataType::Timestamp, nullable, at))
    }

    /// The expression as a date or timestamp.
    pub(super) fn moment(&self, expr: &ast::Expr) -> Result<Node, ExprError> {
        let node = self.operand(expr)?;
        match node.ty {
            DataType::Date | DataType::Timestamp => Ok(node),
            ty => Err(ExprError::new(
                node.at,
                format!(
                    "a date or timestamp is needed here, but this is a {ty}; convert it with ::date or ::timestamp"
                ),
            )),
        }
    }

    fn cast(&self, kind: &ast::CastKind, arg: &ast::Expr, to: &ast::DataType) -> Result<Node, ExprError> {
        match kind {
            ast::CastKind::Cast | ast::CastKind::DoubleColon => {
                cast(self.resolve(arg)?, types::data_type(to, self.at(arg))?)
            }
            _ => Err(ExprError::new(self.at(arg), "a cast that hides failures is not supported; use CAST")),
        }
    }

    fn is_null(&self, arg: &ast::Expr, negated: bool) -> Result<Node, ExprError> {
        let arg = self.operand(arg)?;
        let at = arg.at;
        let node = Node::new(Kind::IsNull(Box::new(arg)), DataType::Bool, false, at);
        Ok(if negated { negation(node) } else { node })
    }

    fn is_unknown(&self, arg: &ast::Expr, negated: bool) -> Result<Node, ExprError> {
        condition(self.resolve(arg)?)?;
        self.is_null(arg, negated)
    }

    fn is_bool(&self, arg: &ast::Expr, wanted: bool, negated: bool) -> Result<Node, ExprError> {
        let arg = condition(self.resolve(arg)?)?;
        let at = arg.at;
        let node = Node::new(Kind::IsBool(Box::new(arg), wanted), DataType::Bool, false, at);
        Ok(if negated { negation(node) } else { node })
    }

    fn between(&self, arg: &ast::Expr, low: &ast::Expr, high: &ast::Expr, negated: bool) -> Result<Node, ExprError> {
        let above = compare(Comparison::GreaterOrEqual, self.resolve(arg)?, self.resolve(low)?)?;
        let below = compare(Comparison::LessOrEqual, self.resolve(arg)?, self.resolve(high)?)?;
        let (nullable, at) = (above.nullable || below.nullable, above.at);
        let node = Node::new(Kind::And(Box::new(above), Box::new(below)), DataType::Bool, nullable, at);
        Ok(if negated { negation(node) } else { node })
    }

    fn is_in(&self, arg: &ast::Expr, list: &[ast::Expr], negated: bool) -> Result<Node, ExprError> {
        let nodes = std::iter::once(arg).chain(list).map(|item| self.operand(item));
        let (mut nodes, _) = promote::unify(nodes.collect::<Result<_, _>>()?)?;
        if nodes.len() < 2 {
            return Err(ExprError::new(self.at(arg), "IN needs at least one value"));
        }
        let list = nodes.split_off(1);
        let nullable = nodes.iter().chain(&list).any(|node| node.nullable);
        let at = self.at(arg);
        let Some(arg) = nodes.pop() else { return Err(ExprError::new(at, "IN needs a value on its left")) };
        let node = Node::new(Kind::In { arg: Box::new(arg), list }, DataType::Bool, nullable, at);
        Ok(if negated { negation(node) } else { node })
    }

    fn like(
        &self,
        arg: &ast::Expr,
        pattern: &ast::Expr,
        escape: Option<&ast::Expr>,
        any_case: bool,
        negated: bool,
    ) -> Result<Node, ExprError> {
        if let Some(escape) = escape {
            return Err(ExprError::new(self.at(escape), "ESCAPE is not supported; \\ escapes in a pattern"));
        }
        let (arg, pattern) = (self.text(arg, false)?, self.text(pattern, false)?);
        let (nullable, at) = (arg.nullable || pattern.nullable, arg.at);
        let kind = Kind::Like { arg: Box::new(arg), pattern: Box::new(pattern), any_case };
        let node = Node::new(kind, DataType::Bool, nullable, at);
        Ok(if negated { negation(node) } else { node })
    }

    fn case(
        &self,
        subject: Option<&ast::Expr>,
        whens: &[ast::CaseWhen],
        otherwise: Option<&ast::Expr>,
        at: usize,
    ) -> Result<Node, ExprError> {
        let mut conditions = Vec::with_capacity(whens.len());
        let mut results = Vec::with_capacity(whens.len() + 1);
        for when in whens {
            conditions.push(match subject {
                Some(subject) => compare(Comparison::Equal, self.resolve(subject)?, self.resolve(&when.condition)?)?,
                None => condition(self.resolve(&when.condition)?)?,
            });
            results.push(self.resolve(&when.result)?);
        }
        results.push(match otherwise {
            Some(otherwise) => self.resolve(otherwise)?,
            None => Node::untyped(None, at),
        });
        let (mut results, ty) = promote::choice(results)?;
        let nullable = results.iter().any(|node| node.nullable);
        let Some(otherwise) = results.pop() else { return Err(ExprError::new(at, "CASE without a result")) };
        let branches = conditions.into_iter().zip(results).collect();
        Ok(Node::new(Kind::Case { branches, otherwise: Box::new(otherwise) }, ty, nullable, at))
    }
}

/// NOT, three-valued.
fn negation(node: Node) -> Node {
    let (nullable, at) = (node.nullable, node.at);
    Node::new(Kind::Not(Box::new(node)), DataType::Bool, nullable, at)
}

fn is_interval(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Interval(_))
}

fn comparison(op: &BinaryOperator) -> Option<Comparison> {
    Some(match op {
        BinaryOperator::Eq => Comparison::Equal,
        BinaryOperator::NotEq => Comparison::NotEqual,
        BinaryOperator::Lt => Comparison::Less,
        BinaryOperator::LtEq => Comparison::LessOrEqual,
        BinaryOperator::Gt => Comparison::Greater,
        BinaryOperator::GtEq => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

/// Says that a column is unknown, and which one may have been meant.
fn unknown_column(name: &str, scope: &[Column]) -> String {
    let distance = |column: &&Column| strsim::damerau_levenshtein(&column.name.to_lowercase(), &name.to_lowercase());
    let near = scope.iter().min_by_key(distance).filter(|column| distance(column) <= 1 + name.chars().count() / 3);
    match near {
        Some(column) => format!("there is no column `{name}`; did you mean `{}`?", column.name),
        None if scope.is_empty() => format!("there is no column `{name}`; no columns can be used here"),
        None => {
            let names: Vec<_> = scope.iter().take(12).map(|column| column.name.as_str()).collect();
            let more = if scope.len() > names.len() { ", …" } else { "" };
            format!("there is no column `{name}`; there are {}{more}", names.join(", "))
        }
    }
}
