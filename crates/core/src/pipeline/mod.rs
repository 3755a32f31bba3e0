//! A pipeline's definition: one validated type, made from a TOML file once, at the edge.

mod field_type;
mod model;
mod names;
mod parse;

pub use crate::document::DefinitionError;
pub use model::*;
pub use names::check_topic;
