//! A pipeline's definition: one validated type, made from a TOML file once, at the edge.

mod definition;
mod describe;
mod difference;
mod field_type;
mod model;
mod names;
mod parse;

pub use crate::document::DefinitionError;
pub use difference::Change;
pub use model::*;
pub use names::check_topic;
