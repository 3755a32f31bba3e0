//! Pipelines: the built-in ones, embedded at build time, and files of the user's own.

use std::path::Path;

use anyhow::Context;
use lakeward_core::pipeline::Pipeline;

use crate::exit::Exit;

/// Files of `pipelines/`: name and text.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/pipelines.rs"));

const GENERATOR: &str = ".generator.toml";

/// Names of the built-in pipelines.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().filter(|(file, _)| !file.ends_with(GENERATOR)).filter_map(|(file, _)| file.strip_suffix(".toml"))
}

/// The text of a built-in pipeline.
#[must_use]
pub fn text(name: &str) -> Option<&'static str> {
    let wanted = format!("{name}.toml");
    FILES.iter().find(|(file, _)| *file == wanted).map(|(_, text)| *text)
}

/// The generator rules of a pipeline and the name of their file: the built-in ones, or `x.generator.toml` beside a file
/// `x.toml`. `None` if there are none.
pub fn generator(name_or_file: &str) -> Result<Option<(String, String)>, Exit> {
    if !is_file(name_or_file) {
        let wanted = format!("{name_or_file}{GENERATOR}");
        let found = FILES.iter().find(|(file, _)| *file == wanted);
        return Ok(found.map(|(_, text)| ((*text).to_owned(), format!("pipelines/{wanted}"))));
    }
    let file = format!("{}{GENERATOR}", name_or_file.strip_suffix(".toml").unwrap_or(name_or_file));
    if Path::new(&file).exists() { Ok(Some((read(&file)?, file))) } else { Ok(None) }
}

fn is_file(name_or_file: &str) -> bool {
    name_or_file.contains('/') || name_or_file.ends_with(".toml")
}

/// Loads a pipeline by its built-in name or from a file. A name that is both is the built-in one unless it has a
/// path separator or ends in `.toml`.
pub fn load(name_or_file: &str) -> Result<Pipeline, Exit> {
    let (text, file) = match text(name_or_file).filter(|_| !is_file(name_or_file)) {
        Some(text) => (text.to_owned(), format!("pipelines/{name_or_file}.toml")),
        None => (read(name_or_file)?, name_or_file.to_owned()),
    };
    Pipeline::parse(&text, &file).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Exit::usage(lines.join("\n"))
    })
}

fn read(path: &str) -> Result<String, Exit> {
    let known: Vec<&str> = names().collect();
    let bytes = std::fs::read(Path::new(path))
        .with_context(|| format!("{path} is no built-in pipeline (there is {}) and no file", known.join(", ")))
        .map_err(|e| Exit::usage(format!("{e:#}")))?;
    String::from_utf8(bytes).map_err(|e| {
        let place = e.utf8_error().valid_up_to();
        Exit::usage(format!("{path}: not UTF-8 at byte {place}; save the file as UTF-8"))
    })
}
