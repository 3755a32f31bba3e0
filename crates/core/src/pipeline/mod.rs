//! A pipeline's definition: one validated type, made from a TOML file once, at the edge.

mod dashboard;
mod definition;
mod describe;
mod difference;
mod field_type;
mod model;
mod names;
mod parse;

pub use crate::document::DefinitionError;
pub use dashboard::{BoardMeasure, Chart, Dashboard, Figure, FromKpi, Plot, Tile};
pub use difference::Change;
pub use model::*;
pub use names::check_topic;
