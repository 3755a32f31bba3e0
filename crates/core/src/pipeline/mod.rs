//! A pipeline's definition: one validated type, made from a TOML file once, at the edge.

mod model;

pub use model::*;
