//! The form of a layer's files, from the pipeline's definition.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use lakeward_connect::layer::{LayerSpec, ParquetSpec};
use lakeward_core::pipeline::{Encoding, Holds, Layer, Pipeline};

/// The form of every layer's files, by the layer's name.
#[must_use]
pub fn layer_specs(pipeline: &Pipeline) -> BTreeMap<String, LayerSpec> {
    pipeline.layers.iter().map(|layer| (layer.name.clone(), layer_spec(pipeline, layer))).collect()
}

/// How the files of `layer` are written and read.
#[must_use]
pub fn layer_spec(pipeline: &Pipeline, layer: &Layer) -> LayerSpec {
    match (layer.encoding, &layer.holds) {
        (Encoding::RawJson, _) | (_, Holds::Records | Holds::Rejects) => LayerSpec::RawJson,
        (Encoding::Parquet, Holds::Rows { partition_by }) => {
            LayerSpec::Parquet(ParquetSpec::new(pipeline.rows_schema(), partition_by.clone()))
        }
        (Encoding::Parquet, Holds::LateRows { .. }) => {
            LayerSpec::Parquet(ParquetSpec::new(pipeline.late_schema(), Vec::new()))
        }
        (Encoding::Parquet, Holds::FinalWindows { kpi }) => {
            let fields: Vec<_> =
                pipeline.kpis.get(*kpi).map(|k| k.gold.iter().map(|d| d.column.field()).collect()).unwrap_or_default();
            LayerSpec::Parquet(ParquetSpec::new(Arc::new(Schema::new(fields)), Vec::new()))
        }
    }
}
