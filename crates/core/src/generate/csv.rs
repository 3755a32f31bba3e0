//! A line of CSV as the JSON payload that a producer would send for it.
//!
//! Quoting as in RFC 4180, but one record is one line. The header names the members. A cell of a numeric field becomes
//! a JSON number as it stands; an empty cell becomes null; what doesn't fit its field becomes a string, for decoding to
//! refuse.

use std::borrow::Cow;

use crate::json_line::write_text;
use crate::pipeline::FieldDef;
use crate::types::DataType;

/// Why a line can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// A quote is open at the line's end, or closes in the middle of a cell.
    #[error("cell {0}: unbalanced quotes")]
    Quotes(usize),
    /// The line has another number of cells than the header.
    #[error("{found} cells, the header has {expected}")]
    Cells {
        /// Cells of the line.
        found: usize,
        /// Cells of the header.
        expected: usize,
    },
    /// The header names nothing, or has no cell of this name.
    #[error("the header has no column `{0}`")]
    NoColumn(String),
}

/// How lines under one header become payloads.
#[derive(Clone, Debug)]
pub struct CsvTemplate {
    /// Per cell, `"name":` and whether it holds a literal (a number or a boolean).
    columns: Vec<(Vec<u8>, Kind)>,
    key: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Bool,
}

impl CsvTemplate {
    /// A template for the header `header`; types come from `fields`, what they don't name is text. `key` names the column
    /// that gives the Kafka key.
    pub fn new(header: &str, fields: &[FieldDef], key: &str) -> Result<Self, CsvError> {
        let names = split(header.trim_start_matches('\u{feff}'))?;
        let position = names.iter().position(|name| name == key);
        let key = position.ok_or_else(|| CsvError::NoColumn(key.to_owned()))?;
        let column = |name: &Cow<'_, str>| {
            let mut json = Vec::new();
            write_text(&mut json, name);
            json.push(b':');
            let field = fields.iter().find(|field| field.name == **name);
            (json, field.map_or(Kind::Text, |field| Kind::of(field.ty)))
        };
        Ok(Self { columns: names.iter().map(column).collect(), key })
    }

    /// The Kafka key and the payload of `line`.
    pub fn record(&self, line: &str) -> Result<(Vec<u8>, Vec<u8>), CsvError> {
        let cells = split(line)?;
        if cells.len() != self.columns.len() {
            return Err(CsvError::Cells { found: cells.len(), expected: self.columns.len() });
        }
        let mut payload = Vec::with_capacity(line.len() * 3);
        for (cell, (name, kind)) in cells.iter().zip(&self.columns) {
            payload.push(if payload.is_empty() { b'{' } else { b',' });
            payload.extend_from_slice(name);
            if cell.is_empty() {
                payload.extend_from_slice(b"null");
            } else if kind.takes(cell) {
                payload.extend_from_slice(cell.as_bytes());
            } else {
                write_text(&mut payload, cell);
            }
        }
        payload.push(b'}');
        let key = cells.get(self.key).map_or_else(Vec::new, |cell| cell.as_bytes().to_vec());
        Ok((key, payload))
    }
}

impl Kind {
    fn of(ty: DataType) -> Self {
        match ty {
            DataType::Int32 | DataType::Int64 | DataType::Float64 | DataType::Decimal { .. } => Self::Number,
            DataType::Bool => Self::Bool,
            DataType::String | DataType::Date | DataType::Timestamp => Self::Text,
        }
    }

    /// Whether `cell` can stand in JSON without quotes.
    fn takes(self, cell: &str) -> bool {
        match self {
            Self::Text => false,
            Self::Number => cell.starts_with(|c: char| c == '-' || c.is_ascii_digit()) && is_number(cell),
            Self::Bool => matches!(cell, "true" | "false"),
        }
    }
}

fn is_number(cell: &str) -> bool {
    !cell.ends_with(|c: char| c.is_ascii_whitespace()) && serde_json::from_str::<f64>(cell).is_ok()
}

/// The cells of a line; the line feed and a carriage return before it are not part of it.
fn split(line: &str) -> Result<Vec<Cow<'_, str>>, CsvError> {
    let mut cells = Vec::new();
    let mut rest = line.trim_end_matches(['\n', '\r']);
    loop {
        let (cell, behind) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted).ok_or(CsvError::Quotes(cells.len() + 1))?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (cell, behind) = rest.split_at(end);
                (Cow::Borrowed(cell), behind)
            }
        };
        cells.push(cell);
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None if behind.is_empty() => return Ok(cells),
            None => return Err(CsvError::Quotes(cells.len())),
        }
    }
}

/// A cell whose opening quote was taken, and what follows its closing quote.
fn unquote(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut from = 0;
    loop {
        let quote = from + text.get(from..)?.find('"')?;
        let behind = text.get(quote + 1..)?;
        if !behind.starts_with('"') {
            let cell = text.get(..quote)?;
            let cell = if from == 0 { Cow::Borrowed(cell) } else { Cow::Owned(cell.replace("\"\"", "\"")) };
            return Some((cell, behind));
        }
        from = quote + 2;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn template() -> CsvTemplate {
        let field = |name: &str, ty| FieldDef { name: name.to_owned(), ty, required: false, round: false };
        let price = DataType::Decimal { precision: 10, scale: 2 };
        let fields = [
            field("id", DataType::String),
            field("price", price),
            field("count", DataType::Int32),
            field("ok", DataType::Bool),
        ];
        CsvTemplate::new("\u{feff}id,price,count,ok,more\r\n", &fields, "id").unwrap()
    }

    fn check(line: &str, expected: Result<&str, CsvError>) {
        let got = template().record(line).map(|(_, payload)| String::from_utf8(payload).unwrap());
        assert_eq!(got, expected.map(str::to_owned));
    }

    #[test]
    fn cells_become_members_of_their_types() {
        check("a,1.50,3,true,x\n", Ok(r#"{"id":"a","price":1.50,"count":3,"ok":true,"more":"x"}"#));
        check("1,,,,", Ok(r#"{"id":"1","price":null,"count":null,"ok":null,"more":null}"#));
        check("a,cheap,03,yes,5", Ok(r#"{"id":"a","price":"cheap","count":"03","ok":"yes","more":"5"}"#));
        check(
            r#""a,b","1.5",3,true,"say ""hi""""#,
            Ok(r#"{"id":"a,b","price":1.5,"count":3,"ok":true,"more":"say \"hi\""}"#),
        );
        check(r#"a,1,1,true,"""#, Ok(r#"{"id":"a","price":1,"count":1,"ok":true,"more":null}"#));
        assert_eq!(template().record("k,1,1,true,x").unwrap().0, b"k");
    }

    #[test]
    fn a_line_that_does_not_fit_the_header_is_refused() {
        check("a,1", Err(CsvError::Cells { found: 2, expected: 5 }));
        check(r#"a,"open,1,1,1"#, Err(CsvError::Quotes(2)));
        check(r#""a"b,1,1,1,1"#, Err(CsvError::Quotes(1)));
        assert_eq!(CsvTemplate::new("a,b", &[], "c").unwrap_err(), CsvError::NoColumn("c".into()));
    }
}
