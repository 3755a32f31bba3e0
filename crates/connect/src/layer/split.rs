//! Splits a batch by its leaf: which rows go to which file.
//!
//! Promises: every row is in exactly one share; rows of a leaf keep their order. One pass groups the rows, one `take`
//! orders them by leaf, shares are slices of that: cost does not grow with the number of leaves.

use std::collections::{BTreeSet, HashMap};

use arrow::{
    array::{Array, ArrayRef, RecordBatch, UInt32Array},
    compute::{take, take_record_batch},
    datatypes::{Field, Schema},
    error::ArrowError,
    row::{RowConverter, Rows, SortField},
};

use super::{LayerError, LeafError, ParquetSpec, leaf};

/// The rows of one leaf in a batch, without the partition columns.
#[derive(Debug)]
pub(super) struct Share {
    /// Number of the leaf: an index into [`Splitter::leaves`].
    pub(super) leaf: usize,
    pub(super) rows: RecordBatch,
}

/// Knows the leaves met so far.
#[derive(Debug)]
pub(super) struct Splitter {
    partition_by: Vec<usize>,
    fields: Vec<Field>,
    file_columns: Vec<usize>,
    max_leaves: usize,
    keys: RowConverter,
    known: HashMap<Box<[u8]>, usize>,
    leaves: Vec<String>,
}

impl Splitter {
    pub(super) fn new(spec: &ParquetSpec) -> Result<Self, LayerError> {
        let missing = |i: &usize| LayerError::Columns(format!("the layer's schema has no column number {i}"));
        let field = |i: &usize| Ok(spec.schema.fields().get(*i).ok_or_else(|| missing(i))?.as_ref().clone());
        let fields = spec.partition_by.iter().map(field).collect::<Result<Vec<Field>, LayerError>>()?;
        let keys = RowConverter::new(fields.iter().map(|f| SortField::new(f.data_type().clone())).collect())?;
        Ok(Self {
            partition_by: spec.partition_by.clone(),
            fields,
            file_columns: spec.file_columns(),
            max_leaves: spec.max_leaves,
            keys,
            known: HashMap::new(),
            leaves: Vec::new(),
        })
    }

    /// The leaves, by number.
    pub(super) fn leaves(&self) -> &[String] {
        &self.leaves
    }

    pub(super) fn split(&mut self, batch: &RecordBatch) -> Result<Vec<Share>, LayerError> {
        let inside = batch.project(&self.file_columns)?;
        if self.partition_by.is_empty() {
            if self.leaves.is_empty() {
                self.leaves.push(String::new());
            }
            return Ok(vec![Share { leaf: 0, rows: inside }]);
        }
        let values: Vec<ArrayRef> = batch.project(&self.partition_by)?.columns().to_vec();
        let keys = self.keys.convert_columns(&values)?;
        let grouped = Grouped::by_key(&keys);
        let mut numbers = Vec::with_capacity(grouped.first_rows.len());
        for row in &grouped.first_rows {
            numbers.push(self.number(&keys, *row, &values)?);
        }
        if let [leaf] = numbers.as_slice() {
            return Ok(vec![Share { leaf: *leaf, rows: inside }]);
        }
        let ordered = take_record_batch(&inside, &UInt32Array::from(grouped.order))?;
        let mut from = 0;
        let slices = numbers.into_iter().zip(grouped.sizes).map(|(leaf, size)| {
            from += size;
            Share { leaf, rows: ordered.slice(from - size, size) }
        });
        Ok(slices.collect())
    }

    fn number(&mut self, keys: &Rows, row: u32, values: &[ArrayRef]) -> Result<usize, LayerError> {
        let key = keys.row(row as usize);
        if let Some(number) = self.known.get(key.as_ref()) {
            return Ok(*number);
        }
        let mut name = String::new();
        for (field, column) in self.fields.iter().zip(values) {
            let one = take(column, &UInt32Array::from(vec![row]), None)?;
            let text = leaf::value_texts(field, &one)?;
            leaf::push(&mut name, field.name(), text.is_valid(0).then(|| text.value(0)))?;
        }
        // NULL and the empty string are two keys but one folder.
        let number = match self.leaves.iter().position(|known| *known == name) {
            Some(number) => number,
            None if self.leaves.len() >= self.max_leaves => return Err(self.too_many().into()),
            None => {
                self.leaves.push(name);
                self.leaves.len() - 1
            }
        };
        self.known.insert(key.as_ref().into(), number);
        Ok(number)
    }

    fn too_many(&self) -> LeafError {
        let distinct =
            |i: usize| self.leaves.iter().filter_map(|leaf| leaf.split('/').nth(i)).collect::<BTreeSet<_>>().len();
        let widest = self.fields.iter().enumerate().map(|(i, field)| (distinct(i), field)).max_by_key(|(n, _)| *n);
        let (distinct, column) = widest.map_or((0, String::new()), |(n, field)| (n, field.name().clone()));
        LeafError::TooMany { column, distinct, cap: self.max_leaves }
    }
}

/// Rows ordered by group, groups in order of first sight.
struct Grouped {
    order: Vec<u32>,
    sizes: Vec<usize>,
    first_rows: Vec<u32>,
}

impl Grouped {
    fn by_key(keys: &Rows) -> Self {
        let mut groups: HashMap<&[u8], usize> = HashMap::new();
        let mut rows_of: Vec<Vec<u32>> = Vec::new();
        let mut last: Option<(&[u8], usize)> = None;
        for (row, key) in (0u32..).zip(keys.iter()) {
            let key = key.data();
            let group = match last {
                Some((known, group)) if known == key => group,
                _ => *groups.entry(key).or_insert_with(|| {
                    rows_of.push(Vec::new());
                    rows_of.len() - 1
                }),
            };
            last = Some((key, group));
            if let Some(rows) = rows_of.get_mut(group) {
                rows.push(row);
            }
        }
        Self {
            sizes: rows_of.iter().map(Vec::len).collect(),
            first_rows: rows_of.iter().filter_map(|rows| rows.first().copied()).collect(),
            order: rows_of.into_iter().flatten().collect(),
        }
    }
}

/// Whether `batch` has exactly the columns that the layer declares.
pub(super) fn check_columns(schema: &Schema, batch: &RecordBatch) -> Result<(), LayerError> {
    let (want, have) = (schema.fields(), batch.schema());
    let same = want.len() == have.fields().len()
        && want.iter().zip(have.fields()).all(|(w, h)| w.name() == h.name() && w.data_type() == h.data_type());
    if !same {
        return Err(LayerError::Columns(format!("rows of {have} for a layer of {schema}")));
    }
    for (field, column) in want.iter().zip(batch.columns()) {
        if !field.is_nullable() && column.null_count() > 0 {
            return Err(LayerError::Columns(format!("NULL in column `{}`, which must not be NULL", field.name())));
        }
    }
    Ok(())
}

impl From<ArrowError> for LayerError {
    fn from(error: ArrowError) -> Self {
        Self::Encode(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{AsArray, Int32Array, StringArray},
        datatypes::{DataType, Int32Type},
    };

    use super::*;

    fn spec(max_leaves: usize) -> ParquetSpec {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int32, false),
            Field::new("shop", DataType::Utf8, true),
            Field::new("day", DataType::Int32, false),
        ]);
        ParquetSpec { max_leaves, ..ParquetSpec::new(schema.into(), vec![2, 1]) }
    }

    fn batch(rows: &[(i32, Option<&str>, i32)]) -> RecordBatch {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|r| r.0).collect::<Int32Array>()),
            Arc::new(rows.iter().map(|r| r.1).collect::<StringArray>()),
            Arc::new(rows.iter().map(|r| r.2).collect::<Int32Array>()),
        ];
        RecordBatch::try_new(spec(10).schema, columns).unwrap()
    }

    fn ids(share: &Share) -> Vec<i32> {
        share.rows.column(0).as_primitive::<Int32Type>().values().to_vec()
    }

    #[test]
    fn every_row_goes_to_its_leaf_in_order() {
        let mut splitter = Splitter::new(&spec(10)).unwrap();
        let rows = [(1, Some("x"), 1), (2, Some("y"), 1), (3, Some("x"), 1), (4, None, 2), (5, Some("y"), 1)];
        let shares = splitter.split(&batch(&rows)).unwrap();
        let got: Vec<_> = shares.iter().map(|s| (splitter.leaves()[s.leaf].as_str(), ids(s))).collect();
        assert_eq!(
            got,
            [
                ("day=1/shop=x", vec![1, 3]),
                ("day=1/shop=y", vec![2, 5]),
                ("day=2/shop=__HIVE_DEFAULT_PARTITION__", vec![4])
            ]
        );
        assert_eq!(shares[0].rows.num_columns(), 1, "partition columns are not in the files");
        let again = splitter.split(&batch(&[(6, Some("y"), 1), (7, Some(""), 2)])).unwrap();
        assert_eq!(again.iter().map(|s| (s.leaf, ids(s))).collect::<Vec<_>>(), [(1, vec![6]), (2, vec![7])]);
    }

    #[test]
    fn too_many_leaves_name_the_column_with_the_most_values() {
        let mut splitter = Splitter::new(&spec(3)).unwrap();
        let error =
            splitter.split(&batch(&[(1, Some("a"), 1), (2, Some("b"), 1), (3, Some("c"), 1), (4, Some("d"), 1)]));
        let text = error.unwrap_err().to_string();
        assert!(text.contains("`shop`") && text.contains("more than 3 leaves"), "{text}");
    }

    #[test]
    fn without_partition_columns_all_rows_are_one_share() {
        let spec = ParquetSpec { partition_by: vec![], ..spec(1) };
        let mut splitter = Splitter::new(&spec).unwrap();
        let shares = splitter.split(&batch(&[(1, None, 1), (2, None, 2)])).unwrap();
        assert_eq!((shares.len(), shares[0].rows.num_columns(), splitter.leaves()), (1, 3, &[String::new()][..]));
    }

    #[test]
    fn rows_that_do_not_fit_the_layer_are_refused() {
        let schema = spec(1).schema;
        assert!(check_columns(&schema, &batch(&[(1, None, 1)])).is_ok());
        let narrower = batch(&[(1, None, 1)]).project(&[0, 1]).unwrap();
        assert!(check_columns(&schema, &narrower).is_err());
    }
}
