//! The normal form of an expression's meaning: typed, conversions shown, constants folded, columns by name.
//!
//! White space, parentheses that change nothing, and the case of keywords leave no trace; a different operator,
//! column, constant or type does.

use std::fmt::Write as _;

use super::eval;
use super::node::{Function, Interval, Kind, Node};

/// The canonical text of a node.
pub(super) fn canonical(node: &Node) -> String {
    let mut out = String::new();
    write_node(&mut out, node);
    out
}

fn write_node(out: &mut String, node: &Node) {
    match &node.kind {
        Kind::Column { name, .. } => push(out, format_args!("column({name:?})")),
        Kind::Literal(value) => match eval::constant_text(value, node.ty) {
            Some(text) => push(out, format_args!("{}({text:?})", node.ty)),
            None => push(out, format_args!("{}(null)", node.ty)),
        },
        Kind::Untyped(Some(text)) => push(out, format_args!("string({text:?})")),
        Kind::Untyped(None) => out.push_str("null"),
        Kind::Cast(arg) => list(out, &format!("cast[{}]", node.ty), [arg.as_ref()]),
        kind => list(out, &name(kind, node), node.children()),
    }
}

/// An operator's name with all that sets it apart but its operands.
fn name(kind: &Kind, node: &Node) -> String {
    match kind {
        Kind::Arithmetic { op, .. } => format!("{op:?}").to_lowercase(),
        Kind::Quotient { .. } => format!("quotient[{}]", node.ty),
        Kind::Negate(_) => "negate".to_owned(),
        Kind::Compare { op, .. } => format!("{op:?}").to_lowercase(),
        Kind::And(..) => "and".to_owned(),
        Kind::Or(..) => "or".to_owned(),
        Kind::Not(_) => "not".to_owned(),
        Kind::IsNull(_) => "is_null".to_owned(),
        Kind::IsBool(_, wanted) => format!("is_{wanted}"),
        Kind::In { .. } => "in".to_owned(),
        Kind::Case { .. } => "case".to_owned(),
        Kind::Coalesce(_) => "coalesce".to_owned(),
        Kind::Like { any_case, .. } => if *any_case { "ilike" } else { "like" }.to_owned(),
        Kind::Concat { skip_null, .. } => if *skip_null { "concat" } else { "join" }.to_owned(),
        Kind::Shift { by: Interval { months, days, micros }, .. } => format!("shift[{months},{days},{micros}]"),
        Kind::Call { function, .. } => call(function),
        Kind::Column { .. } | Kind::Literal(_) | Kind::Untyped(_) | Kind::Cast(_) => String::new(),
    }
}

fn call(function: &Function) -> String {
    match function {
        Function::Extract(field) => format!("extract[{field:?}]").to_lowercase(),
        Function::DateTrunc(field) => format!("date_trunc[{field:?}]").to_lowercase(),
        Function::ToChar(pieces) => format!("to_char{pieces:?}"),
        Function::Trim(side) => format!("trim[{side:?}]").to_lowercase(),
        Function::Round(places) => format!("round[{places}]"),
        Function::Lower => "lower".to_owned(),
        Function::Upper => "upper".to_owned(),
        Function::Substring => "substring".to_owned(),
        Function::Length => "length".to_owned(),
        Function::Floor => "floor".to_owned(),
        Function::Ceil => "ceil".to_owned(),
        Function::Abs => "abs".to_owned(),
    }
}

fn list<'a>(out: &mut String, name: &str, args: impl IntoIterator<Item = &'a Node>) {
    out.push_str(name);
    out.push('(');
    for (i, arg) in args.into_iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write_node(out, arg);
    }
    out.push(')');
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}
