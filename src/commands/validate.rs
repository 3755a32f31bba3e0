//! `lakeward validate`: says what a pipeline file would run, or what is wrong with it.

use crate::builtin;
use crate::exit::Exit;

/// Prints what would run.
pub fn validate(pipeline: &str) -> Result<(), Exit> {
    crate::text::say!("{}", builtin::load(pipeline)?.describe());
    Ok(())
}
