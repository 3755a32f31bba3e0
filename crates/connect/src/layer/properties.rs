//! How Parquet files are written: what every reader of the support matrix takes, chosen for speed.

use std::collections::HashSet;

use arrow::{
    array::{Array, ArrayRef, RecordBatch},
    datatypes::{DataType, Schema},
    error::ArrowError,
    row::{RowConverter, SortField},
};
use parquet::{
    basic::{Compression, Encoding},
    file::properties::{EnabledStatistics, WriterProperties},
    schema::types::ColumnPath,
};

/// Rows looked at to tell whether a column repeats itself.
const SAMPLE_ROWS: usize = 2048;

/// Fewer values than this say nothing; a file as small is small either way.
const SAMPLE_AT_LEAST: usize = 128;

/// A decimal of more digits is stored as bytes.
const MOST_DIGITS_OF_INT64: u8 = 18;

const ROW_GROUP_ROWS: usize = 512 << 10;

/// Properties for rows like those of `first`. Numbers are stored as packed differences: a dictionary's table would take
/// some 70 KiB per column of each open file, sixty files at a time, and files come out smaller this way. A text that
/// hardly repeats itself goes without a dictionary too, which would be built for nothing and dropped when full.
pub(super) fn choose<'a>(
    schema: &Schema,
    first: impl Iterator<Item = &'a RecordBatch> + Clone,
) -> Result<WriterProperties, ArrowError> {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("lakeward version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS));
    for (i, field) in schema.fields().iter().enumerate() {
        let columns = first.clone().filter_map(|batch| batch.columns().get(i));
        let path = ColumnPath::new(vec![field.name().clone()]);
        if is_packed(field.data_type()) {
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        } else if hardly_repeats(field.data_type(), columns)? {
            properties = properties.set_column_dictionary_enabled(path, false);
        }
    }
    Ok(properties.build())
}

/// Whether Parquet stores the type as INT32 or INT64.
fn is_packed(ty: &DataType) -> bool {
    match ty {
        DataType::Int32 | DataType::Int64 | DataType::Date32 | DataType::Timestamp(..) => true,
        DataType::Decimal128(precision, _) => *precision <= MOST_DIGITS_OF_INT64,
        _ => false,
    }
}

fn hardly_repeats<'a>(ty: &DataType, columns: impl Iterator<Item = &'a ArrayRef>) -> Result<bool, ArrowError> {
    let converter = RowConverter::new(vec![SortField::new(ty.clone())])?;
    let (mut seen, mut values) = (HashSet::new(), 0);
    for column in columns {
        let left = SAMPLE_ROWS.saturating_sub(values);
        if left == 0 {
            break;
        }
        let part = column.slice(0, column.len().min(left));
        values += part.len() - part.null_count();
        seen.extend(converter.convert_columns(&[part])?.iter().map(|row| row.owned()));
    }
    Ok(values >= SAMPLE_AT_LEAST && seen.len() * 2 > values)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{Int64Array, StringArray},
        datatypes::Field,
    };

    use super::*;

    #[test]
    fn numbers_are_packed_and_only_texts_that_repeat_themselves_get_a_dictionary() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("name", DataType::Utf8, false),
            Field::new("colour", DataType::Utf8, true),
            Field::new("rare", DataType::Utf8, true),
        ]));
        let columns: Vec<ArrayRef> = vec![
            Arc::new((0..3000).collect::<Int64Array>()),
            Arc::new((0..3000).map(|i| Some(format!("n{i}"))).collect::<StringArray>()),
            Arc::new((0..3000).map(|i| Some(format!("c{}", i % 7))).collect::<StringArray>()),
            Arc::new((0..3000).map(|i| (i % 1000 == 0).then(|| format!("r{i}"))).collect::<StringArray>()),
        ];
        let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
        let properties = choose(&schema, [&batch, &batch].into_iter()).unwrap();
        let path = |name: &str| ColumnPath::new(vec![name.to_owned()]);
        let on = |name: &str| properties.dictionary_enabled(&path(name));
        assert_eq!((on("id"), on("name"), on("colour"), on("rare")), (false, false, true, true));
        let encoding = |name: &str| properties.encoding(&path(name));
        assert_eq!((encoding("id"), encoding("colour")), (Some(Encoding::DELTA_BINARY_PACKED), None));
    }
}
