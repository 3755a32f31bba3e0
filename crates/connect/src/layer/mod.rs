//! A layer's files: written under staging (E2), brought into sight (F1), read back.
//!
//! Promises: files hold exactly the rows appended, once; all files of a layer share one readable schema (I22); final
//! names and versions appear nowhere here. Deliberately knows no layer by name: encoding and schema are values.

mod count;
mod encode;
mod epoch_files;
mod leaf;
mod lines;
mod properties;
mod provenance;
mod read;
mod roll_forward;
mod spec;
mod split;

#[cfg(test)]
mod layer_tests;

use thiserror::Error;

pub use self::{
    count::{FileContent, file_content},
    encode::HELD_BYTES,
    epoch_files::EpochFiles,
    leaf::{LeafError, MAX_VALUE_BYTES, NULL_VALUE, read_leaf_values},
    lines::Lines,
    read::{read_live_rows, read_parquet, read_rows},
    roll_forward::{Rolled, roll_forward},
    spec::{AppendMeta, DEFAULT_MAX_LEAVES, LayerSpec, ParquetSpec},
};
use crate::lake::LakeError;

/// Why a layer's files could not be written.
#[derive(Debug, Error)]
pub enum LayerError {
    /// The store failed; its error says who acts.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The user: the layer's partition columns don't suit the data.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// A bug: rows or lines that are not the layer's.
    #[error("the layer was given what it does not hold: {0}")]
    Columns(String),
    /// A bug, or memory: the encoder failed.
    #[error("Parquet encoding failed: {0}")]
    Encode(String),
    /// A bug: used again after an append failed or was given up.
    #[error("the epoch's files were used after a failure; abort them and start a new attempt")]
    Broken,
}
