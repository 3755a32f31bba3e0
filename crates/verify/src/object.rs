//! What counts as one JSON object (N4): UTF-8, at most 128 levels, no key twice at any level, numbers within a double,
//! whole surrogate pairs, nothing behind it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object: names, unescaped, and values as they stand there.
pub type Members<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// The members of the one object that `text` is; `None` if it is anything else.
#[must_use]
pub fn read(text: &str) -> Option<Members<'_>> {
    let mut json = serde_json::Deserializer::from_str(text);
    let members = json.deserialize_map(Top).ok()?;
    json.end().ok()?;
    let mut names = BTreeSet::new();
    let fine = members.iter().all(|(name, value)| names.insert(name.as_ref()) && is_strict(value.get()));
    fine.then_some(members)
}

/// The text of a JSON string; `None` for any other value.
#[must_use]
pub fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(raw).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

/// Whether a value that parsed leniently stands strict reading.
fn is_strict(raw: &str) -> bool {
    match raw.as_bytes().first() {
        Some(b'"') => string(raw).is_some(),
        Some(b'{' | b'[') => Nested.deserialize(&mut serde_json::Deserializer::from_str(raw)).is_ok(),
        Some(b'-' | b'0'..=b'9') => raw.len() < 300 && !raw.contains(['e', 'E']) || is_double(raw),
        _ => true,
    }
}

fn is_double(raw: &str) -> bool {
    raw.parse::<f64>().is_ok_and(f64::is_finite)
}

struct Top;

impl<'de> Visitor<'de> for Top {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(32);
        while let Some(name) = map.next_key_seed(Name)? {
            members.push((name, map.next_value()?));
        }
        Ok(members)
    }
}

/// A name, borrowed where it has no escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// Walks through a nested value. serde_json takes 127 levels: with the record's own object that makes 128.
#[derive(Clone, Copy)]
struct Nested;

impl<'de> DeserializeSeed<'de> for Nested {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
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
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = map.next_key_seed(Name)? {
            if !names.insert(name) {
                return Err(A::Error::custom("a name twice"));
            }
            map.next_value_seed(self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strict_objects_are_objects() {
        for text in [r#"{"a":1}"#, " {} ", r#"{"a":{"b":[1,{"b":2}]},"b":"\u0000"}"#, r#"{"a":-0.0e10}"#] {
            assert!(read(text).is_some(), "{text}");
        }
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&nested(127)).is_some());
        let refused = [
            "",
            " ",
            "[]",
            "1",
            "{",
            r#"{"a":1}x"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":1e400}"#,
            r#"{"a":[1e400]}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":01}"#,
            r#"{"a":NaN}"#,
            r#"{"a":1,}"#,
            &nested(128),
        ];
        for text in refused {
            assert!(read(text).is_none(), "{text}");
        }
    }
}
