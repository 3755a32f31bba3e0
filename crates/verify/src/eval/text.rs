//! Functions on texts. Positions and lengths count characters.

use lakeward_core::expr::tree::TrimSide;

use super::Failed;
use crate::cell::Cell;

/// `op` of a text.
pub fn map(value: &Cell, op: fn(&str) -> String) -> Result<Cell, Failed> {
    text_of(value).map(|text| Cell::Text(op(text)))
}

/// Characters.
pub fn length(value: &Cell) -> Result<Cell, Failed> {
    let count = text_of(value)?.chars().count();
    i64::try_from(count).map(Cell::Int).map_err(|_| Failed)
}

/// Removes characters of a set, blanks if none is given, from the ends.
pub fn trim(value: &Cell, set: Option<&Cell>, side: TrimSide) -> Result<Cell, Failed> {
    let text = text_of(value)?;
    let set = set.map_or(Ok(" "), text_of)?;
    let of_set = |c: char| set.contains(c);
    let left = if side == TrimSide::Trailing { text } else { text.trim_start_matches(of_set) };
    let both = if side == TrimSide::Leading { left } else { left.trim_end_matches(of_set) };
    Ok(Cell::Text(both.to_owned()))
}

/// `substring(text from start for length)`, counted from 1; what lies outside the text is left out.
pub fn substring(value: &Cell, rest: &[Cell]) -> Result<Cell, Failed> {
    let text = text_of(value)?;
    let [Cell::Int(start), rest @ ..] = rest else { return Err(Failed) };
    let end = match rest {
        [Cell::Int(length)] if *length < 0 => return Err(Failed),
        [Cell::Int(length)] => start.saturating_add(*length),
        _ => i64::MAX,
    };
    let inside = |at: i64| (*start..end).contains(&at);
    let found = (1_i64..).zip(text.chars()).filter(|(at, _)| inside(*at)).map(|(_, c)| c);
    Ok(Cell::Text(found.collect()))
}

/// LIKE: `%` any characters, `_` one, `\` takes the next one as it is.
#[must_use]
pub fn like(text: &str, pattern: &str, any_case: bool) -> bool {
    let folded = |text: &str| if any_case { text.to_lowercase() } else { text.to_owned() };
    let text: Vec<char> = folded(text).chars().collect();
    let pieces = pieces(&folded(pattern));
    let (mut t, mut p) = (0, 0);
    // Where to go on if what follows the last `%` does not fit.
    let mut back = None;
    while t < text.len() {
        match pieces.get(p) {
            Some(Piece::Any) => {
                back = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(Piece::One) => (t, p) = (t + 1, p + 1),
            Some(Piece::Just(c)) if text.get(t) == Some(c) => (t, p) = (t + 1, p + 1),
            _ => match back {
                Some((piece, from)) => {
                    back = Some((piece, from + 1));
                    (t, p) = (from + 1, piece);
                }
                None => return false,
            },
        }
    }
    pieces.iter().skip(p).all(|piece| *piece == Piece::Any)
}

#[derive(PartialEq)]
enum Piece {
    Any,
    One,
    Just(char),
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        found.push(match c {
            '%' => Piece::Any,
            '_' => Piece::One,
            '\\' => Piece::Just(chars.next().unwrap_or('\\')),
            other => Piece::Just(other),
        });
    }
    found
}

/// The text of a value that is not NULL.
pub fn text_of(value: &Cell) -> Result<&str, Failed> {
    match value {
        Cell::Text(text) => Ok(text),
        _ => Err(Failed),
    }
}
