//! The declared fields, ready to be looked up by name.

use hashbrown::HashMap;

use crate::json_line::Clashes;
use crate::pipeline::FieldDef;

/// The declared fields of a pipeline and the order in which they came last.
#[derive(Debug)]
pub(super) struct Fields {
    defs: Vec<FieldDef>,
    by_name: HashMap<String, usize>,
    /// Per field, its name as a payload holds it; `None` where that needs an escape.
    texts: Vec<Option<NameText>>,
    /// Per field, what it means for Bronze that a payload holds it.
    clashes: Vec<Clashes>,
    /// Per position in a payload, the field that was found there last: producers keep their order.
    expected: Vec<usize>,
}

impl Fields {
    pub fn new(defs: &[FieldDef]) -> Self {
        Self {
            by_name: defs.iter().enumerate().map(|(i, def)| (def.name.clone(), i)).collect(),
            texts: defs.iter().map(|def| NameText::of(&def.name)).collect(),
            clashes: defs.iter().map(|def| Clashes::of(&def.name)).collect(),
            expected: (0..defs.len()).collect(),
            defs: defs.to_vec(),
        }
    }

    pub fn defs(&self) -> &[FieldDef] {
        &self.defs
    }

    pub fn def(&self, index: usize) -> Option<&FieldDef> {
        self.defs.get(index)
    }

    /// The field called `name`, if one is.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The field that was found at this position last, if `rest` begins with its name and a colon; and the length of both.
    pub fn expected(&self, position: usize, rest: &[u8]) -> Option<(usize, usize)> {
        let index = *self.expected.get(position)?;
        let text = self.texts.get(index)?.as_ref()?;
        text.begins(rest).then_some((index, text.bytes.len()))
    }

    /// The field called `name`, tried first where it was found last.
    pub fn find_at(&mut self, position: usize, name: &str) -> Option<usize> {
        let guess = self.expected.get(position).copied();
        if let Some(index) = guess
            && self.defs.get(index).is_some_and(|def| def.name == name)
        {
            return guess;
        }
        let found = self.find(name)?;
        if let Some(slot) = self.expected.get_mut(position) {
            *slot = found;
        }
        Some(found)
    }

    /// The clashes that field `index` causes.
    pub fn clashes(&self, index: usize) -> Clashes {
        self.clashes.get(index).copied().unwrap_or_default()
    }
}

/// A name as a payload holds it, up to and with the colon.
#[derive(Debug)]
struct NameText {
    bytes: Vec<u8>,
    /// Its first 16 bytes, and which of their bits count: mostly one comparison.
    head: u128,
    mask: u128,
}

impl NameText {
    /// `None` where a payload needs an escape in the name.
    fn of(name: &str) -> Option<Self> {
        let is_plain = name.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
        let bytes = is_plain.then(|| format!("\"{name}\":").into_bytes())?;
        let word = |byte: fn(u8) -> u8| bytes.iter().take(16).rev().fold(0, |word, &b| word << 8 | u128::from(byte(b)));
        let (head, mask) = (word(|byte| byte), word(|_| 0xff));
        Some(Self { bytes, head, mask })
    }

    fn begins(&self, rest: &[u8]) -> bool {
        match rest.first_chunk::<16>() {
            Some(chunk) if u128::from_le_bytes(*chunk) & self.mask != self.head => false,
            Some(_) if self.bytes.len() <= 16 => true,
            _ => rest.starts_with(&self.bytes),
        }
    }
}
