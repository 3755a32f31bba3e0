//! Names, paths and tables that only one thing may have.

use std::collections::HashMap;

use crate::document::{Entry, Section};

/// Column names that are taken. Case doesn't tell them apart: marts and most readers of the lake fold it.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    taken: HashMap<String, (String, String)>,
}

impl Names {
    /// Takes a name that stands elsewhere; false if it was taken.
    pub(super) fn hold(&mut self, name: &str, key: &str) -> bool {
        self.taken.insert(name.to_lowercase(), (name.to_owned(), key.to_owned())).is_none()
    }

    /// Whether the entry's name is legal and free; complains otherwise. It is taken from then on.
    pub(super) fn claim(&mut self, entry: &Entry<'_>, legal: impl Fn(&str) -> Result<(), String>) -> bool {
        let name = entry.name();
        if let Err(why) = legal(name) {
            entry.complain_key(why);
            return false;
        }
        match self.taken.insert(name.to_lowercase(), (name.to_owned(), entry.key().to_owned())) {
            None => true,
            Some((other, key)) if other == name => {
                entry.complain_key(format!("the name \"{name}\" is already that of {key}"));
                false
            }
            Some((other, key)) => {
                entry.complain_key(format!(
                    "\"{name}\" and \"{other}\" ({key}) differ only in case, which marts and readers don't see"
                ));
                false
            }
        }
    }
}

/// Something that is written to: a folder or a table, with the place that says so.
#[derive(Clone, Debug)]
pub(super) struct Sink<'d> {
    /// Folder or table.
    pub(super) target: String,
    /// Dotted key or section that says it.
    pub(super) key: String,
    /// Where it is spelt; `None` for a default.
    pub(super) entry: Option<Entry<'d>>,
    /// The section it belongs to, if the file has it.
    pub(super) section: Option<Section<'d>>,
}

impl Sink<'_> {
    pub(super) fn complain(&self, root: &Section<'_>, message: String) {
        match (&self.entry, &self.section) {
            (Some(entry), _) => entry.complain(message),
            (None, Some(section)) => section.complain(message),
            (None, None) => root.complain(message),
        }
    }
}

/// Complains about folders that are equal or lie inside each other.
pub(super) fn check_folders(root: &Section<'_>, folders: &[Sink<'_>]) {
    for_pairs(folders, |earlier, later| {
        let (outer, inner) = (&earlier.target, &later.target);
        if outer == inner {
            later.complain(root, format!("\"{inner}\" is already the folder of {}", earlier.key));
        } else if inside(inner, outer) || inside(outer, inner) {
            let message = format!("\"{inner}\" and \"{outer}\" ({}) lie inside each other", earlier.key);
            later.complain(root, message);
        }
    });
}

/// Complains about tables that are equal, or whose stored forms would be.
pub(super) fn check_tables(root: &Section<'_>, tables: &[Sink<'_>]) {
    for_pairs(tables, |earlier, later| {
        let (one, other) = (&earlier.target, &later.target);
        if one == other {
            later.complain(root, format!("\"{other}\" is already the table of {}", earlier.key));
        } else if format!("{one}_raw") == *other || format!("{other}_raw") == *one {
            later
                .complain(root, format!("\"{other}\" and \"{one}\" ({}) clash: SQLite stores t as t_raw", earlier.key));
        }
    });
}

fn for_pairs<'s, 'd>(sinks: &'s [Sink<'d>], mut check: impl FnMut(&'s Sink<'d>, &'s Sink<'d>)) {
    for (n, later) in sinks.iter().enumerate() {
        for earlier in sinks.iter().take(n) {
            check(earlier, later);
        }
    }
}

fn inside(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}
