//! The declared fields, ready to be looked up by name.

use hashbrown::HashMap;

use crate::json_line::Clashes;
use crate::pipeline::FieldDef;

/// The declared fields of a pipeline and the order in which they came last.
#[derive(Debug)]
pub(super) struct Fields {
    defs: Vec<FieldDef>,
    by_name: HashMap<String, usize>,
    /// Per field, its name as a payload holds it, up to and with the colon; empty where that needs an escape.
    texts: Vec<Vec<u8>>,
    /// Per field, what it means for Bronze that a payload holds it.
    clashes: Vec<Clashes>,
    /// Per position in a payload, the field that was found there last: producers keep their order.
    expected: Vec<usize>,
}

impl Fields {
    pub fn new(defs: &[FieldDef]) -> Self {
        Self {
            by_name: defs.iter().enumerate().map(|(i, def)| (def.name.clone(), i)).collect(),
            texts: defs.iter().map(|def| text(&def.name)).collect(),
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

    /// The field that was found at this position last, and the text of its name.
    pub fn expected(&self, position: usize) -> Option<(usize, &[u8])> {
        let index = *self.expected.get(position)?;
        self.texts.get(index).filter(|text| !text.is_empty()).map(|text| (index, text.as_slice()))
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

fn text(name: &str) -> Vec<u8> {
    let is_plain = name.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    if is_plain { format!("\"{name}\":").into_bytes() } else { Vec::new() }
}
