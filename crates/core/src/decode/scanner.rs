//! The fast way to read a record: a scanner that is directed by the declared fields.
//!
//! It reads well-formed records without nested values and without escapes, and it only ever says "good" or "don't
//! know". Whatever is odd or wrong is decided by `document`, which defines the meaning; a differential test holds the
//! two together. Values go straight into their columns.

use super::columns::Columns;
use super::convert::{self, Token};
use super::fields::Fields;
use super::number::Short;
use super::staged::{Cell, Place, StagedRecord};
use super::time_text;
use crate::json_line::Clashes;
use crate::types::DataType;

/// Unknown fields of one record beyond this are left to `document`, whose look for duplicates isn't quadratic.
const MAX_UNKNOWN: usize = 16;
/// Longer numbers are left to `document`. With an exponent of at most two digits none of these leaves a double's range.
const MAX_NUMBER: usize = 200;
const MAX_EXPONENT_DIGITS: usize = 2;

/// Reads `text`: the declared fields into `columns`, all else into `record`. `None` means that nothing is known about it and
/// both hold rubbish, which `Columns::take_back` takes out again.
pub(super) fn scan(text: &str, fields: &mut Fields, columns: &mut Columns, record: &mut StagedRecord) -> Option<()> {
    record.reset();
    let mut cursor = Cursor { text, bytes: text.as_bytes(), at: 0, is_plain: is_plain(text.as_bytes()) };
    cursor.skip_space();
    cursor.eat(b'{')?;
    cursor.skip_space();
    if cursor.peek() == Some(b'}') {
        cursor.at += 1;
    } else {
        members(&mut cursor, fields, columns, record)?;
    }
    cursor.skip_space();
    cursor.peek().is_none().then(|| columns.complete(fields.defs()))?
}

fn members(
    cursor: &mut Cursor<'_>,
    fields: &mut Fields,
    columns: &mut Columns,
    record: &mut StagedRecord,
) -> Option<()> {
    for position in 0.. {
        cursor.skip_space();
        // Producers keep their order, so mostly one comparison finds the whole name.
        match fields.expected(position, cursor.rest()) {
            Some((index, length)) => {
                cursor.at += length;
                known(cursor, fields, columns, record, index)?;
            }
            None => named(cursor, fields, columns, record, position)?,
        }
        cursor.skip_space();
        match cursor.take()? {
            b',' => {}
            b'}' => return Some(()),
            _ => return None,
        }
    }
    None
}

/// A member whose name has to be read.
fn named(
    cursor: &mut Cursor<'_>,
    fields: &mut Fields,
    columns: &mut Columns,
    record: &mut StagedRecord,
    position: usize,
) -> Option<()> {
    let name = cursor.string()?;
    let place = cursor.place_of_last(name);
    cursor.skip_space();
    cursor.eat(b':')?;
    if let Some(index) = fields.find_at(position, name) {
        return known(cursor, fields, columns, record, index);
    }
    cursor.skip_space();
    cursor.value()?;
    unknown(cursor, record, name, place)
}

/// The value of field `index`: most go straight into their column.
fn known(
    cursor: &mut Cursor<'_>,
    fields: &Fields,
    columns: &mut Columns,
    record: &mut StagedRecord,
    index: usize,
) -> Option<()> {
    record.clashes.add(fields.clashes(index));
    cursor.skip_space();
    let (column, def) = (columns.vacant(index)?, fields.def(index)?);
    let is_text = cursor.peek()? == b'"';
    match def.ty {
        DataType::String if is_text => {
            column.append_text(cursor.string()?);
            return Some(());
        }
        DataType::Date if is_text => return column.append_integer(time_text::date(cursor.string()?).ok()?),
        DataType::Timestamp if is_text => {
            return column.append_integer(time_text::timestamp(cursor.string()?, def.round).ok()?);
        }
        _ => {}
    }
    if let Some((number, length)) = Short::read(cursor.rest())
        && column.append_number(number, def.round).is_some()
    {
        cursor.at += length;
        return Some(());
    }
    let cell = convert::cell(def, cursor.value()?).ok()?;
    (cell != Cell::Null || !def.required).then(|| column.append(cell))
}

fn unknown(cursor: &Cursor<'_>, record: &mut StagedRecord, name: &str, place: Place) -> Option<()> {
    let repeated = record.unknown.iter().any(|&other| cursor.slice(other) == Some(name));
    if repeated || record.unknown.len() == MAX_UNKNOWN {
        return None;
    }
    record.unknown.push(place);
    record.clashes.add(Clashes::of(name));
    Some(())
}

struct Cursor<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    is_plain: bool,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.take()? == byte).then_some(())
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn slice(&self, place: Place) -> Option<&'a str> {
        self.text.get(place.from..place.to)
    }

    fn value(&mut self) -> Option<Token<'a>> {
        match self.peek()? {
            b'"' => {
                let text = self.string()?;
                Some(Token::Text(text, self.place_of_last(text)))
            }
            b'-' | b'0'..=b'9' => Some(Token::Number(self.number()?)),
            b't' => self.literal(b"true").map(|()| Token::Bool(true)),
            b'f' => self.literal(b"false").map(|()| Token::Bool(false)),
            b'n' => self.literal(b"null").map(|()| Token::Null),
            _ => None,
        }
    }

    fn literal(&mut self, word: &[u8]) -> Option<()> {
        let found = self.rest().starts_with(word);
        self.at += word.len();
        found.then_some(())
    }

    /// A string without escapes and control characters.
    fn string(&mut self) -> Option<&'a str> {
        self.eat(b'"')?;
        let from = self.at;
        self.at = if self.is_plain { quote(self.bytes, from) } else { end_of_plain(self.bytes, from) };
        let text = self.text.get(from..self.at);
        self.eat(b'"')?;
        text
    }

    /// Where the string lies that was read just now.
    fn place_of_last(&self, text: &str) -> Place {
        let to = self.at.saturating_sub(1);
        Place { from: to.saturating_sub(text.len()), to, in_scratch: false }
    }

    fn number(&mut self) -> Option<&'a str> {
        let from = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.take()? {
            b'0' => {}
            b'1'..=b'9' => self.skip_digits(),
            _ => return None,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            let start = self.at;
            self.some_digits()?;
            (self.at - start <= MAX_EXPONENT_DIGITS).then_some(())?;
        }
        (self.at - from <= MAX_NUMBER).then_some(())?;
        self.text.get(from..self.at)
    }

    fn some_digits(&mut self) -> Option<()> {
        let start = self.at;
        self.skip_digits();
        (self.at > start).then_some(())
    }

    fn skip_digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }
}

/// Each byte 1.
const ONES: u64 = 0x0101_0101_0101_0101;
/// Each byte's highest bit.
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Whether there is neither a backslash nor a control character, so that a string ends at the next quote. One look at the
/// whole, which the compiler makes one of many bytes at a time.
fn is_plain(bytes: &[u8]) -> bool {
    !bytes.iter().fold(false, |odd, &byte| odd | (byte < 0x20) | (byte == b'\\'))
}

/// A byte's high bit is set where the byte is below `limit`, which is at most 0x80; borrows disturb only bytes above the
/// first one found.
fn below(word: u64, limit: u64) -> u64 {
    word.wrapping_sub(ONES * limit) & !word & HIGH
}

fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * u64::from(byte)), 1)
}

/// The first quote at or after `at`.
fn quote(bytes: &[u8], at: usize) -> usize {
    first(bytes, at, |word| equal(word, b'"'), |byte| byte == b'"')
}

/// The first byte at or after `at` that is a quote, a backslash or a control character.
fn end_of_plain(bytes: &[u8], at: usize) -> usize {
    let found = |word| equal(word, b'"') | equal(word, b'\\') | below(word, 0x20);
    first(bytes, at, found, |byte| byte == b'"' || byte == b'\\' || byte < 0x20)
}

/// The first byte at or after `at` that is looked for, else the end; eight bytes at a time.
fn first(bytes: &[u8], mut at: usize, in_word: impl Fn(u64) -> u64, is: impl Fn(u8) -> bool) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let found = in_word(u64::from_le_bytes(*chunk));
        if found != 0 {
            return at + usize::try_from(found.trailing_zeros() / 8).unwrap_or(0);
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|&&byte| !is(byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_plain_run_is_found_at_every_place() {
        for stop in [b'"', b'\\', 0, 0x1f, b'\n'] {
            for at in 0..40 {
                for filler in [b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xc3, 0xff] {
                    let mut bytes = vec![filler; 40];
                    bytes[at] = stop;
                    assert_eq!(end_of_plain(&bytes, 0), at, "{stop} behind {filler}");
                }
            }
        }
        assert_eq!(end_of_plain(b"no stop in here at all", 3), 22);
    }
}
