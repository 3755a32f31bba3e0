//! What is known of one record besides its values in the columns; and, where `document` reads it, those too.

use crate::json_line::Clashes;

/// Where a text lies: in the payload, or unescaped in the record's scratch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub from: usize,
    pub to: usize,
    pub in_scratch: bool,
}

/// A field's value, converted to its column's type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell {
    /// Null or missing.
    Null,
    Bool(bool),
    /// Integers, days of dates and microseconds of timestamps.
    Int(i64),
    Float(f64),
    /// At the column's scale.
    Decimal(i128),
    Text(Place),
}

/// A record being read; reused from record to record.
#[derive(Debug, Default)]
pub(super) struct StagedRecord {
    /// Per declared field, where `document` reads the record; `None` until it is seen.
    pub cells: Vec<Option<Cell>>,
    /// Names of fields that are not declared, in the payload's order.
    pub unknown: Vec<Place>,
    /// Unescaped texts.
    pub scratch: String,
    /// Which of the names that Bronze adds the payload uses itself.
    pub clashes: Clashes,
}

impl StagedRecord {
    /// Forgets the last record; `document` adds the cells.
    pub fn reset(&mut self) {
        self.cells.clear();
        self.unknown.clear();
        self.scratch.clear();
        self.clashes = Clashes::default();
    }

    /// The text at `place`; `payload` is what the record was read from.
    pub fn text<'a>(&'a self, place: Place, payload: &'a str) -> &'a str {
        let home = if place.in_scratch { self.scratch.as_str() } else { payload };
        home.get(place.from..place.to).unwrap_or_default()
    }

    /// Keeps a copy of `text`.
    pub fn keep(&mut self, text: &str) -> Place {
        let from = self.scratch.len();
        self.scratch.push_str(text);
        Place { from, to: self.scratch.len(), in_scratch: true }
    }
}
