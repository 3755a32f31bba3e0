//! From text to sqlparser's tree, and from its lines and columns back to character positions.

use sqlparser::ast;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token};

use super::ExprError;

/// Nesting beyond this is refused before it can exhaust the stack.
const MAX_DEPTH: usize = 64;

/// The longest text of one expression; beyond it something has gone wrong.
const MAX_CHARS: usize = 16 * 1024;

/// Parses one expression that takes up the whole text.
pub(super) fn parse(sql: &str) -> Result<ast::Expr, ExprError> {
    if sql.trim().is_empty() {
        return Err(ExprError::new(0, "the expression is empty; write SQL such as `a + b`"));
    }
    if sql.len() > MAX_CHARS {
        return Err(ExprError::new(
            0,
            format!("the expression is longer than {MAX_CHARS} bytes; split it into several columns"),
        ));
    }
    let mut parser = Parser::new(&PostgreSqlDialect {})
        .with_recursion_limit(MAX_DEPTH)
        .try_with_sql(sql)
        .map_err(|error| refused(sql, &error))?;
    let expr = parser.parse_expr().map_err(|error| refused(sql, &error))?;
    let next = parser.peek_token();
    match next.token {
        Token::EOF => Ok(expr),
        token => Err(ExprError::new(
            position(sql, next.span.start),
            format!("`{token}` is not expected here; the expression ends before it"),
        )),
    }
}

/// The character position of a line and column; positions that sqlparser doesn't know are the text's start.
pub(super) fn position(sql: &str, location: Location) -> usize {
    let line = usize::try_from(location.line).unwrap_or(1).saturating_sub(1);
    let column = usize::try_from(location.column).unwrap_or(1).saturating_sub(1);
    sql.split('\n').take(line).map(|text| text.chars().count() + 1).sum::<usize>() + column
}

fn refused(sql: &str, error: &ParserError) -> ExprError {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => "the expression is nested too deeply; split it into several columns",
    };
    let (message, location) = text.rsplit_once(" at Line: ").unwrap_or((text, ""));
    let at = location
        .split_once(", Column: ")
        .and_then(|(line, column)| Some(Location { line: line.parse().ok()?, column: column.trim().parse().ok()? }))
        .map_or(0, |location| position(sql, location));
    let at = if message.ends_with("found: EOF") { sql.chars().count() } else { at };
    ExprError::new(at, format!("not a SQL expression: {}", lower_first(message)))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}
