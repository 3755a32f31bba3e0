//! A table of the document.

use toml::de::DeTable;

use super::suggest::nearest;
use super::{Document, Entry};

/// A table, with its dotted key and where it begins.
#[derive(Clone, Debug)]
pub struct Section<'d> {
    document: &'d Document<'d>,
    key: String,
    start: usize,
    table: &'d DeTable<'d>,
}

impl<'d> Section<'d> {
    pub(super) fn new(document: &'d Document<'d>, key: String, start: usize, table: &'d DeTable<'d>) -> Self {
        Self { document, key, start, table }
    }

    /// Refuses every key that is not in `known`, with the nearest one; those in `later` are said to come later.
    pub fn allow(&self, known: &[&str], later: &[&str]) {
        for entry in self.entries() {
            let name = entry.name();
            if later.contains(&name) {
                entry.complain_key(format!("\"{name}\" is not yet supported"));
            } else if !known.contains(&name) {
                entry.misspelt_key("unknown key", nearest(name, known.iter().copied()));
            }
        }
    }

    /// The entry of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Entry<'d>> {
        let (key, value) = self.table.get_key_value(name)?;
        Some(Entry::new(self.document, self.dotted(name), key, value))
    }

    /// The entry of that name; complains when it is missing, saying what it is for.
    #[must_use]
    pub fn require(&self, name: &str, meaning: &str) -> Option<Entry<'d>> {
        let entry = self.get(name);
        if entry.is_none() {
            self.document.complain(self.start, &self.dotted(name), format!("missing: {meaning}"), None);
        }
        entry
    }

    /// The table of that name.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<Self> {
        self.get(name)?.section()
    }

    /// All entries, in the file's order.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry<'d>> {
        let all = self.table.iter();
        let mut entries: Vec<_> =
            all.map(|(key, value)| Entry::new(self.document, self.dotted(key.get_ref()), key, value)).collect();
        entries.sort_by_key(Entry::start);
        entries
    }

    /// Complains about the table as a whole.
    pub fn complain(&self, message: impl Into<String>) {
        self.document.complain(self.start, &self.key, message.into(), None);
    }

    /// The key of an entry; names that TOML would quote are quoted, so that a message shows every character.
    fn dotted(&self, name: &str) -> String {
        let bare = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
        let name = if bare { name.to_owned() } else { format!("{name:?}") };
        if self.key.is_empty() { name } else { format!("{}.{name}", self.key) }
    }
}
