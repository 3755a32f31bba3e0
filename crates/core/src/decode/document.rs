//! What a record means: the plain way to read it, through serde_json. The scanner only repeats what this says.
//!
//! An object is what serde_json takes as one map, with UTF-8 (given), at most 128 levels and no key named twice at any
//! level (N4). So a number beyond a double or a lone surrogate makes the whole payload something else, wherever it
//! stands. Every refusal is made here.

use std::borrow::Cow;
use std::fmt;

use hashbrown::HashSet;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::convert::{self, Token};
use super::fields::Fields;
use super::reason::{Problem, Reason, shown};
use super::staged::{Cell, StagedRecord};
use crate::json_line::Clashes;

/// What a payload is.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub(super) enum Verdict {
    /// An object with good values for all declared fields.
    Good,
    /// An object; a field of it is refused: the first in the declared order.
    BadField(Problem),
    /// Not an object.
    NotAnObject(Problem),
}

/// Reads `text` into `record`. After `NotAnObject` the record holds rubbish; after `BadField` its names are right.
pub(super) fn read(text: &str, fields: &Fields, record: &mut StagedRecord) -> Verdict {
    record.reset();
    record.cells.resize(fields.defs().len(), None);
    let mut found = Found::default();
    let visitor = Document { fields, record, found: &mut found };
    if let Err(problem) = whole(text, visitor) {
        return Verdict::NotAnObject(found.refused.unwrap_or(problem));
    }
    match first_bad(fields, record, found.bad_field) {
        Some(problem) => Verdict::BadField(problem),
        None => Verdict::Good,
    }
}

fn whole(text: &str, visitor: Document<'_>) -> Result<(), Problem> {
    let mut json = serde_json::Deserializer::from_str(text);
    if !text.trim_start().starts_with('{') {
        return Err(match IgnoredAny::deserialize(&mut json) {
            Ok(_) => Problem::new(Reason::NotAnObject, format!("expected an object, found {}", shown(text))),
            Err(error) => syntax(&error),
        });
    }
    json.deserialize_map(visitor).map_err(|error| syntax(&error))?;
    json.end().map_err(|error| Problem::new(Reason::TrailingData, error.to_string()))
}

fn syntax(error: &serde_json::Error) -> Problem {
    let reason = if error.is_eof() { Reason::Truncated } else { Reason::NotJson };
    Problem::new(reason, error.to_string())
}

/// The problem of the field declared first: a value that was refused, or a required field without a value.
fn first_bad(fields: &Fields, record: &StagedRecord, bad: Option<(usize, Problem)>) -> Option<Problem> {
    let bad_index = bad.as_ref().map_or(usize::MAX, |(index, _)| *index);
    let before = fields.defs().iter().zip(&record.cells).take(bad_index);
    let missing = before.into_iter().find_map(|(def, cell)| match cell {
        None if def.required => Some(Problem::new(Reason::MissingField, "missing").in_field(&def.name)),
        Some(Cell::Null) if def.required => Some(Problem::new(Reason::MissingField, "null").in_field(&def.name)),
        _ => None,
    });
    missing.or_else(|| bad.map(|(_, problem)| problem))
}

/// What reading came upon.
#[derive(Default)]
struct Found {
    /// Why the payload is not an object, where serde_json doesn't say it.
    refused: Option<Problem>,
    /// The refused field with the smallest index.
    bad_field: Option<(usize, Problem)>,
}

struct Document<'r> {
    fields: &'r Fields,
    record: &'r mut StagedRecord,
    found: &'r mut Found,
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut unknown = HashSet::new();
        while let Some(Name(name)) = map.next_key()? {
            let raw: &RawValue = map.next_value()?;
            if let Err(problem) = self.member(name, raw.get(), &mut unknown) {
                self.found.refused = Some(problem);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

impl Document<'_> {
    fn member<'de>(
        &mut self,
        name: Cow<'de, str>,
        raw: &str,
        unknown: &mut HashSet<Cow<'de, str>>,
    ) -> Result<(), Problem> {
        let index = self.fields.find(&name);
        let token = token(raw, self.record).map_err(|problem| problem.in_field(&name))?;
        let Some((index, def)) = index.and_then(|index| Some((index, self.fields.def(index)?))) else {
            self.record.clashes.add(Clashes::of(&name));
            let place = self.record.keep(&name);
            self.record.unknown.push(place);
            let shown_name = shown(&name);
            return if unknown.insert(name) { Ok(()) } else { Err(duplicate(&shown_name)) };
        };
        self.record.clashes.add(self.fields.clashes(index));
        let cell = match token.cell(def) {
            Ok(cell) => cell,
            Err(problem) => {
                if self.found.bad_field.as_ref().is_none_or(|(other, _)| index < *other) {
                    self.found.bad_field = Some((index, problem.in_field(&def.name)));
                }
                Cell::Null
            }
        };
        match self.record.cells.get_mut(index) {
            Some(slot) if slot.is_none() => *slot = Some(cell),
            _ => return Err(duplicate(&def.name)),
        }
        Ok(())
    }
}

fn duplicate(name: &str) -> Problem {
    Problem::new(Reason::DuplicateKey, "the key occurs twice in one object").in_field(name)
}

/// A `Token` that owns its text.
enum OwnedToken<'a> {
    Borrowed(Token<'a>),
    Text(String, super::staged::Place),
}

impl OwnedToken<'_> {
    fn cell(&self, def: &crate::pipeline::FieldDef) -> Result<Cell, Problem> {
        match self {
            Self::Borrowed(token) => convert::cell(def, *token),
            Self::Text(text, place) => convert::cell(def, Token::Text(text, *place)),
        }
    }
}

/// The value `raw`, a JSON value without white space around it, read strictly.
fn token<'a>(raw: &'a str, record: &mut StagedRecord) -> Result<OwnedToken<'a>, Problem> {
    let strict = |error: serde_json::Error| Problem::new(Reason::NotJson, error.to_string());
    Ok(OwnedToken::Borrowed(match raw.as_bytes().first() {
        Some(b'n') => Token::Null,
        Some(b't') => Token::Bool(true),
        Some(b'f') => Token::Bool(false),
        Some(b'"') => {
            let text = serde_json::from_str::<String>(raw).map_err(strict)?;
            let place = record.keep(&text);
            return Ok(OwnedToken::Text(text, place));
        }
        Some(b'{' | b'[') => {
            check_nested(raw)?;
            Token::Nested(raw)
        }
        _ => {
            // The payload is no object then (N4), so the code must be one of those that say so: the ledger counts by it.
            serde_json::from_str::<f64>(raw)
                .map_err(|_| Problem::new(Reason::NotJson, format!("{} is beyond a double", shown(raw))))?;
            Token::Number(raw)
        }
    }))
}

/// Refuses an object or array that repeats a key or is too deep. serde_json takes 127 levels: with the record's own
/// object that makes 128.
fn check_nested(raw: &str) -> Result<(), Problem> {
    let mut repeated = None;
    let mut json = serde_json::Deserializer::from_str(raw);
    let result = Nested { repeated: &mut repeated }.deserialize(&mut json);
    match (repeated, result) {
        (Some(name), _) => Err(duplicate(&name)),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) => {
            let text = error.to_string();
            let too_deep = text.starts_with("recursion limit exceeded");
            Err(Problem::new(if too_deep { Reason::TooDeep } else { Reason::NotJson }, text))
        }
    }
}

/// Walks through any value in search of a repeated key.
struct Nested<'r> {
    repeated: &'r mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Nested<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Nested { repeated: self.repeated })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(Name(name)) = map.next_key()? {
            if names.contains(&name) {
                *self.repeated = Some(name.into_owned());
                return Err(A::Error::custom("refused"));
            }
            names.insert(name);
            map.next_value_seed(Nested { repeated: self.repeated })?;
        }
        Ok(())
    }
}

/// A key, borrowed where it has no escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Owned(name.to_owned())))
    }
}
