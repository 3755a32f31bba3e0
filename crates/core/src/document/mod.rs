//! A TOML text whose every complaint names its place: file, line, column and key.
//!
//! Readers walk the document by [`Section`] and [`Entry`] and complain as they go, so that one look shows all that is
//! wrong; [`Document::finish`] then gives the value or the complaints. Nothing here knows what the keys mean.

mod entry;
mod place;
mod section;
mod suggest;

use std::cell::RefCell;
use std::fmt;

use toml::Spanned;
use toml::de::DeTable;

pub use entry::Entry;
pub use section::Section;
pub use suggest::nearest;

use place::line_and_column;

/// What is wrong in a pipeline or configuration file, and where. The user acts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DefinitionError {
    /// The file's name as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Dotted key; empty where no key is concerned.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
    /// The near name that was probably meant.
    pub suggestion: Option<String>,
}

impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.suggestion {
            Some(name) => write!(f, "; did you mean \"{name}\"?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for DefinitionError {}

/// The text of a file's bytes.
///
/// # Errors
/// The place of the first byte that is not UTF-8.
pub fn utf8<'b>(bytes: &'b [u8], file: &str) -> Result<&'b str, Vec<DefinitionError>> {
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default());
        let (line, column) = line_and_column(&valid, valid.len());
        let message = "is not UTF-8; save the file as UTF-8".to_owned();
        vec![DefinitionError { file: file.to_owned(), line, column, key: String::new(), message, suggestion: None }]
    })
}

/// A parsed TOML text and the complaints about it so far.
#[derive(Debug)]
pub struct Document<'t> {
    file: &'t str,
    text: &'t str,
    tree: Spanned<DeTable<'t>>,
    problems: RefCell<Vec<DefinitionError>>,
}

impl<'t> Document<'t> {
    /// Parses `text`; `file` is only used to name places.
    ///
    /// # Errors
    /// Every syntax error, with its place.
    pub fn parse(text: &'t str, file: &'t str) -> Result<Self, Vec<DefinitionError>> {
        let (tree, errors) = DeTable::parse_recoverable(text);
        let document = Self { file, text, tree, problems: RefCell::default() };
        for error in errors {
            let offset = error.span().map_or(0, |span| span.start);
            document.complain(offset, "", error.message().to_owned(), None);
        }
        if document.problems.borrow().is_empty() { Ok(document) } else { Err(document.into_problems()) }
    }

    /// The top-level table.
    #[must_use]
    pub fn root(&self) -> Section<'_> {
        Section::new(self, String::new(), 0, self.tree.get_ref())
    }

    /// The file's name as it was given.
    #[must_use]
    pub fn file(&self) -> &str {
        self.file
    }

    /// Whether anything has been complained about.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    /// Records a complaint at the byte `offset` of the text.
    pub fn complain(&self, offset: usize, key: &str, message: String, suggestion: Option<String>) {
        let (line, column) = line_and_column(self.text, offset);
        let error =
            DefinitionError { file: self.file.to_owned(), line, column, key: key.to_owned(), message, suggestion };
        self.problems.borrow_mut().push(error);
    }

    /// `value` if nothing was complained about.
    ///
    /// # Errors
    /// All complaints, in the order of their places.
    pub fn finish<T>(self, value: T) -> Result<T, Vec<DefinitionError>> {
        if self.is_clean() { Ok(value) } else { Err(self.into_problems()) }
    }

    fn into_problems(self) -> Vec<DefinitionError> {
        let mut problems = self.problems.into_inner();
        problems.sort();
        problems.dedup();
        problems
    }
}
