//! A key and its value.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::place::{byte_of_character, line_and_column};
use super::suggest::nearest;
use super::{Document, Section};
use crate::duration::parse_duration;

/// A key with its value, or an element of an array; both with their places.
#[derive(Clone, Debug)]
pub struct Entry<'d> {
    document: &'d Document<'d>,
    key: String,
    name: &'d str,
    key_span: Range<usize>,
    value: &'d DeValue<'d>,
    span: Range<usize>,
}

impl<'d> Entry<'d> {
    pub(super) fn new(
        document: &'d Document<'d>,
        key: String,
        name: &'d Spanned<DeString<'d>>,
        value: &'d Spanned<DeValue<'d>>,
    ) -> Self {
        Self { document, key, name: name.get_ref(), key_span: name.span(), value: value.get_ref(), span: value.span() }
    }

    /// The last part of the key.
    #[must_use]
    pub fn name(&self) -> &'d str {
        self.name
    }

    /// The dotted key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// `file:line:column` of the value.
    #[must_use]
    pub fn place(&self) -> String {
        let (line, column) = line_and_column(self.document.text, self.span.start);
        format!("{}:{line}:{column}", self.document.file)
    }

    /// The text, if the value is a string; complains otherwise.
    #[must_use]
    pub fn string(&self) -> Option<&'d str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.wrong_kind("a string");
        }
        text
    }

    /// The truth value; complains when it is none.
    #[must_use]
    pub fn boolean(&self) -> Option<bool> {
        let value = self.value.as_bool();
        if value.is_none() {
            self.wrong_kind("true or false");
        }
        value
    }

    /// The whole number; complains when it is none or out of range.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        let Some(integer) = self.value.as_integer() else {
            self.wrong_kind("a whole number");
            return None;
        };
        let value = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        if value.is_none() {
            self.complain(format!("{integer} does not fit in 64 bits"));
        }
        value
    }

    /// A scalar as text: strings as they are, numbers and truth values as written. Complains about the rest.
    #[must_use]
    pub fn scalar(&self) -> Option<String> {
        match self.value {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(number) => Some(number.to_string()),
            DeValue::Float(number) => Some(number.to_string()),
            DeValue::Boolean(value) => Some(value.to_string()),
            _ => {
                self.wrong_kind("a string, number or truth value");
                None
            }
        }
    }

    /// The table; complains when the value is none.
    #[must_use]
    pub fn section(&self) -> Option<Section<'d>> {
        let Some(table) = self.value.as_table() else {
            self.wrong_kind("a table");
            return None;
        };
        Some(Section::new(self.document, self.key.clone(), self.start(), table))
    }

    /// The array's elements, each under this entry's key; complains when the value is no array.
    #[must_use]
    pub fn elements(&self) -> Option<Vec<Self>> {
        let Some(array) = self.value.as_array() else {
            self.wrong_kind("a list");
            return None;
        };
        let element =
            |value: &'d Spanned<DeValue<'d>>| Self { value: value.get_ref(), span: value.span(), ..self.clone() };
        Some(array.iter().map(element).collect())
    }

    /// The array's elements with their texts; complains about the others.
    #[must_use]
    pub fn strings(&self) -> Vec<(Self, &'d str)> {
        let elements = self.elements().unwrap_or_default();
        elements.into_iter().filter_map(|e| e.string().map(|text| (e, text))).collect()
    }

    /// A duration in microseconds, zero or more; complains otherwise.
    #[must_use]
    pub fn duration(&self) -> Option<i64> {
        if let Some(number) = self.value.as_integer() {
            self.complain(format!("{number} has no unit; write it with one, such as \"{number}s\""));
            return None;
        }
        match parse_duration(self.string()?) {
            Ok(micros) => Some(micros),
            Err(message) => {
                self.complain(message);
                None
            }
        }
    }

    /// A duration in microseconds above zero; complains otherwise.
    #[must_use]
    pub fn positive_duration(&self) -> Option<i64> {
        let micros = self.duration()?;
        if micros == 0 {
            self.complain("must be longer than 0");
            return None;
        }
        Some(micros)
    }

    /// The value that the text stands for; complains with the nearest choice otherwise.
    #[must_use]
    pub fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.string()?;
        let found = choices.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            let message = format!("\"{text}\" is none of {}", names.join(", "));
            self.misspelt(message, nearest(text, names.iter().copied()));
        }
        found.map(|(_, value)| *value)
    }

    /// Whether the value is a table.
    #[must_use]
    pub fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// Whether the value is a list.
    #[must_use]
    pub fn is_list(&self) -> bool {
        self.value.is_array()
    }

    /// Whether the value is `false`.
    #[must_use]
    pub fn is_false(&self) -> bool {
        self.value.as_bool() == Some(false)
    }

    /// Complains at the value.
    pub fn complain(&self, message: impl Into<String>) {
        self.document.complain(self.span.start, &self.key, message.into(), None);
    }

    /// Complains at the value, with the name that was probably meant.
    pub fn misspelt(&self, message: impl Into<String>, suggestion: Option<&str>) {
        self.document.complain(self.span.start, &self.key, message.into(), suggestion.map(str::to_owned));
    }

    /// Complains at the key.
    pub fn complain_key(&self, message: impl Into<String>) {
        self.misspelt_key(message, None);
    }

    /// Complains at the key, with the name that was probably meant.
    pub fn misspelt_key(&self, message: impl Into<String>, suggestion: Option<&str>) {
        self.document.complain(self.start(), &self.key, message.into(), suggestion.map(str::to_owned));
    }

    /// Complains at character `character` (from 0) of the string that is the value.
    pub fn complain_in_text(&self, character: usize, message: impl Into<String>) {
        let raw = self.document.text.get(self.span.clone()).unwrap_or_default();
        let offset = self.span.start + byte_of_character(raw, character);
        self.document.complain(offset, &self.key, message.into(), None);
    }

    /// The byte at which the key begins.
    pub(super) fn start(&self) -> usize {
        self.key_span.start
    }

    fn wrong_kind(&self, expected: &str) {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "a truth value",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.complain(format!("expected {expected}, found {found}"));
    }
}
