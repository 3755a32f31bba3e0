//! Accumulators: the running aggregates of one slice. Their merge is associative and commutative, so that any batching,
//! any order of partitions and any compaction of state gives the same KPI (N1, N2).

use super::column::TypedColumn;
use super::distinct::Distinct;
use super::float_sum::FloatSum;
use super::value::{AccValue, Value, exact_as, scale_of};
use crate::decimal::quotient;
use crate::expr::Aggregate;
use crate::pipeline::Kpi;
use crate::types::DataType;

/// What a measure aggregates and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccSpec {
    /// The aggregate.
    pub aggregate: Aggregate,
    /// The argument's type; `None` for `count(*)`.
    pub arg: Option<DataType>,
    /// The answer's type.
    pub ty: DataType,
}

/// The running aggregate of one measure.
#[derive(Clone, Debug, PartialEq)]
pub enum Acc {
    /// Rows, or rows where the argument is not NULL.
    Count(u64),
    /// Sum or average of integers or decimals.
    Exact(ExactSum),
    /// Sum or average of doubles.
    Float {
        /// Values added.
        rows: u64,
        /// Their exact sum.
        sum: FloatSum,
    },
    /// The smallest value.
    Min(Option<Value>),
    /// The largest value.
    Max(Option<Value>),
    /// The distinct values.
    Distinct(Distinct),
}

/// A sum of 192 bits, `carry * 2^128 + low`: no order of additions and no grouping can overflow it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExactSum {
    /// Values added.
    pub rows: u64,
    /// The sum's lower 128 bits.
    pub low: i128,
    /// How often `low` wrapped.
    pub carry: i64,
}

/// The aggregates of a slice, one per measure, in the KPI's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accs(Box<[Acc]>);

/// An aggregate's answer.
#[must_use]
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A value, or NULL where no value was added.
    Value(AccValue),
    /// The answer does not fit its type: NULL, to be counted (N1).
    Overflow,
}

/// Two slices of different measures were merged: state of another definition, or a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("aggregates of different measures cannot be merged; the state belongs to another definition")]
pub struct MergeError;

impl AccSpec {
    /// The specs of a KPI's measures.
    #[must_use]
    pub fn of(kpi: &Kpi) -> Vec<Self> {
        let spec = |m: &crate::pipeline::Measure| Self {
            aggregate: m.expr.aggregate,
            arg: m.expr.arg.as_ref().map(crate::expr::Expr::ty),
            ty: m.ty,
        };
        kpi.measures.iter().map(spec).collect()
    }
}

impl Acc {
    /// Nothing aggregated yet.
    #[must_use]
    pub fn new(spec: &AccSpec) -> Self {
        match (spec.aggregate, spec.arg) {
            (Aggregate::Count, _) => Self::Count(0),
            (Aggregate::Sum | Aggregate::Avg, Some(DataType::Float64)) => {
                Self::Float { rows: 0, sum: FloatSum::default() }
            }
            (Aggregate::Sum | Aggregate::Avg, _) => Self::Exact(ExactSum::default()),
            (Aggregate::Min, _) => Self::Min(None),
            (Aggregate::Max, _) => Self::Max(None),
            (Aggregate::CountDistinct, _) => Self::Distinct(Distinct::default()),
        }
    }

    /// Adds a row's argument; `None` is `count(*)`'s. NULL adds nothing.
    pub fn update(&mut self, column: Option<&TypedColumn<'_>>, row: usize) {
        match (self, column) {
            (Self::Count(rows), column) => *rows += u64::from(column.is_none_or(|c| !c.is_null(row))),
            (_, None) => {}
            (Self::Exact(sum), Some(column)) => {
                if let Some(value) = column.exact(row) {
                    sum.add(value, 1);
                }
            }
            (Self::Float { rows, sum }, Some(column)) => {
                if let Some(value) = column.float(row) {
                    *rows += 1;
                    sum.add(value);
                }
            }
            (Self::Min(least), Some(column)) => replace_if(least, column, row, std::cmp::Ordering::Less),
            (Self::Max(most), Some(column)) => replace_if(most, column, row, std::cmp::Ordering::Greater),
            (Self::Distinct(set), Some(column)) => set.add(column, row),
        }
    }

    /// Takes up another slice of the same measure.
    pub fn merge(&mut self, other: &Self) -> Result<(), MergeError> {
        match (self, other) {
            (Self::Count(rows), Self::Count(more)) => *rows += more,
            (Self::Exact(sum), Self::Exact(more)) => sum.merge(*more),
            (Self::Float { rows, sum }, Self::Float { rows: more, sum: other }) => {
                *rows += more;
                sum.merge(other);
            }
            (Self::Min(least), Self::Min(other)) => merge_if(least, other.as_ref(), std::cmp::Ordering::Less),
            (Self::Max(most), Self::Max(other)) => merge_if(most, other.as_ref(), std::cmp::Ordering::Greater),
            (Self::Distinct(set), Self::Distinct(other)) => set.merge(other),
            _ => return Err(MergeError),
        }
        Ok(())
    }

    /// The answer, of type `spec.ty`, rounded once.
    pub fn finish(&self, spec: &AccSpec) -> Answer {
        match self {
            Self::Count(rows) => Answer::of(exact_as((*rows).into(), 0, spec.ty)),
            Self::Distinct(set) => Answer::of(i128::try_from(set.len()).ok().and_then(|n| exact_as(n, 0, spec.ty))),
            Self::Exact(ExactSum { rows: 0, .. }) | Self::Float { rows: 0, .. } => Answer::Value(None),
            Self::Exact(sum) => Answer::of(sum.finish(spec)),
            Self::Float { rows, sum } => Answer::of(finish_float(sum.value(), *rows, spec)),
            Self::Min(value) | Self::Max(value) => match (value, spec.arg) {
                (Some(value), Some(from)) => Answer::of(value.clone().convert(from, spec.ty)),
                _ => Answer::Value(None),
            },
        }
    }

    /// Estimated memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Float { .. } => 544,
                Self::Distinct(set) => set.bytes(),
                Self::Min(Some(Value::Text(text))) | Self::Max(Some(Value::Text(text))) => text.len(),
                _ => 0,
            }
    }
}

impl Accs {
    /// Nothing aggregated yet.
    #[must_use]
    pub fn new(specs: &[AccSpec]) -> Self {
        specs.iter().map(Acc::new).collect()
    }

    /// The measures' aggregates.
    pub fn iter(&self) -> impl Iterator<Item = &Acc> {
        self.0.iter()
    }

    /// The aggregate of measure `index`.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut Acc> {
        self.0.get_mut(index)
    }

    /// Takes up another slice of the same KPI.
    pub fn merge(&mut self, other: &Self) -> Result<(), MergeError> {
        if self.0.len() != other.0.len() {
            return Err(MergeError);
        }
        self.0.iter_mut().zip(other.iter()).try_for_each(|(acc, other)| acc.merge(other))
    }

    /// The answers, and how many of them overflowed into NULL.
    #[must_use]
    pub fn finish(&self, specs: &[AccSpec]) -> (Vec<AccValue>, u64) {
        let mut overflows = 0;
        let answer = |(acc, spec): (&Acc, &AccSpec)| match acc.finish(spec) {
            Answer::Value(value) => value,
            Answer::Overflow => {
                overflows += 1;
                None
            }
        };
        (self.iter().zip(specs).map(answer).collect(), overflows)
    }

    /// Brings what was merged into its smallest form, before it rests.
    pub fn settle(&mut self) {
        for acc in &mut self.0 {
            if let Acc::Distinct(set) = acc {
                set.settle();
            }
        }
    }

    /// Estimated memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.iter().map(Acc::bytes).sum()
    }
}

impl FromIterator<Acc> for Accs {
    fn from_iter<I: IntoIterator<Item = Acc>>(accs: I) -> Self {
        Self(accs.into_iter().collect())
    }
}

impl Answer {
    fn of(value: Option<Value>) -> Self {
        value.map_or(Self::Overflow, |value| Self::Value(Some(value)))
    }
}

impl ExactSum {
    fn add(&mut self, value: i128, rows: u64) {
        let (low, wrapped) = self.low.overflowing_add(value);
        self.low = low;
        self.rows += rows;
        if wrapped {
            self.carry += if value < 0 { -1 } else { 1 };
        }
    }

    fn merge(&mut self, other: Self) {
        self.add(other.low, other.rows);
        self.carry += other.carry;
    }

    fn finish(self, spec: &AccSpec) -> Option<Value> {
        let scale = spec.arg.map_or(0, scale_of);
        if self.carry != 0 {
            return None;
        }
        if spec.aggregate != Aggregate::Avg {
            return exact_as(self.low, scale, spec.ty);
        }
        match (spec.ty, exact_as(self.low, scale, DataType::Float64)) {
            (DataType::Float64, Some(Value::Float(sum))) => Some(Value::Float(sum / rows_as_float(self.rows))),
            (ty, _) => {
                let target = scale_of(ty);
                exact_as(quotient(self.low, scale, self.rows.into(), 0, target)?, target, ty)
            }
        }
    }
}

fn finish_float(sum: f64, rows: u64, spec: &AccSpec) -> Option<Value> {
    let value = if spec.aggregate == Aggregate::Avg { sum / rows_as_float(rows) } else { sum };
    match spec.ty {
        DataType::Float64 => Some(Value::Float(value)),
        DataType::Decimal { precision, scale } => {
            crate::decimal::parse_decimal(&value.to_string(), precision, scale, true).ok().map(Value::Decimal)
        }
        _ => None,
    }
}

/// Exact below 2^53 rows, which no window reaches.
fn rows_as_float(rows: u64) -> f64 {
    let half = |bits: u64| f64::from(u32::try_from(bits).unwrap_or(u32::MAX));
    half(rows >> 32) * 4_294_967_296.0 + half(rows & u64::from(u32::MAX))
}

fn replace_if(held: &mut Option<Value>, column: &TypedColumn<'_>, row: usize, wanted: std::cmp::Ordering) {
    // Texts are compared before they are copied.
    if let (Some(Value::Text(held)), Some(text)) = (held.as_ref(), column.text(row))
        && text.cmp(held) != wanted
    {
        return;
    }
    merge_if(held, column.value(row).as_ref(), wanted);
}

fn merge_if(held: &mut Option<Value>, value: Option<&Value>, wanted: std::cmp::Ordering) {
    let Some(value) = value else { return };
    if held.as_ref().is_none_or(|held| value.order(held) == wanted) {
        *held = Some(value.clone());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int32Array, StringArray};
    use proptest::prelude::*;

    use super::super::codec;
    use super::*;

    const MONEY: DataType = DataType::Decimal { precision: 12, scale: 2 };

    fn spec(aggregate: Aggregate, arg: DataType, ty: DataType) -> AccSpec {
        AccSpec { aggregate, arg: Some(arg), ty }
    }

    fn money(values: &[Option<i128>]) -> ArrayRef {
        Arc::new(Decimal128Array::from(values.to_vec()).with_precision_and_scale(12, 2).unwrap())
    }

    fn answer(spec: &AccSpec, column: &ArrayRef) -> Answer {
        let mut acc = Acc::new(spec);
        let typed = TypedColumn::new(column).unwrap();
        (0..column.len()).for_each(|row| acc.update(Some(&typed), row));
        acc.finish(spec)
    }

    #[test]
    fn each_aggregate_answers_as_postgres_does() {
        use Aggregate::{Avg, Count, CountDistinct, Max, Min, Sum};
        let amounts = money(&[Some(1050), None, Some(-250), Some(1050)]);
        let none = money(&[None]);
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.1, 0.2, 0.3]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), Some("a"), None, Some("b")]));
        let ints: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 4]));
        let (int, float, text) = (DataType::Int64, DataType::Float64, DataType::String);
        let narrow = DataType::Decimal { precision: 3, scale: 1 };
        let quarter = DataType::Decimal { precision: 14, scale: 4 };
        let value = |v| Answer::Value(Some(v));
        for (aggregate, column, arg, ty, expected) in [
            (Count, &amounts, MONEY, int, value(Value::Int(3))),
            (Count, &none, MONEY, int, value(Value::Int(0))),
            (Sum, &amounts, MONEY, MONEY, value(Value::Decimal(1850))),
            (Sum, &none, MONEY, MONEY, Answer::Value(None)),
            (Sum, &amounts, MONEY, narrow, value(Value::Decimal(185))),
            (Sum, &money(&[Some(10_000)]), MONEY, narrow, Answer::Overflow),
            (Avg, &amounts, MONEY, quarter, value(Value::Decimal(61_667))),
            (Avg, &none, MONEY, quarter, Answer::Value(None)),
            (Min, &amounts, MONEY, MONEY, value(Value::Decimal(-250))),
            (Max, &amounts, MONEY, MONEY, value(Value::Decimal(1050))),
            (CountDistinct, &amounts, MONEY, int, value(Value::Int(2))),
            (Sum, &floats, float, float, value(Value::Float(0.6))),
            (Avg, &floats, float, float, value(Value::Float(0.6 / 3.0))),
            (Min, &texts, text, text, value(Value::Text("a".into()))),
            (Max, &texts, text, text, value(Value::Text("b".into()))),
            (CountDistinct, &texts, text, int, value(Value::Int(2))),
            (Sum, &ints, DataType::Int32, int, value(Value::Int(7))),
            (Avg, &ints, DataType::Int32, quarter, value(Value::Decimal(23_333))),
            (Avg, &ints, DataType::Int32, float, value(Value::Float(7.0 / 3.0))),
        ] {
            assert_eq!(answer(&spec(aggregate, arg, ty), column), expected, "{aggregate:?} as {ty}");
        }
    }

    #[test]
    fn a_sum_that_leaves_128_bits_and_comes_back_is_exact() {
        let big = i128::MAX - 5;
        let spec = spec(Aggregate::Sum, DataType::Decimal { precision: 38, scale: 0 }, DataType::Int64);
        let mut sum = ExactSum::default();
        for value in [big, big, big, -big, -big, 7, -big] {
            sum.add(value, 1);
        }
        assert_eq!(Acc::Exact(sum).finish(&spec), Answer::Value(Some(Value::Int(7))));
        sum.add(big, 1);
        sum.add(big, 1);
        assert_eq!(Acc::Exact(sum).finish(&spec), Answer::Overflow);
    }

    #[test]
    fn different_measures_do_not_merge() {
        assert_eq!(Acc::Count(1).merge(&Acc::Min(None)), Err(MergeError));
        let one: Accs = [Acc::Count(1)].into_iter().collect();
        assert_eq!(Accs::new(&[]).merge(&one), Err(MergeError));
    }

    fn all_specs() -> Vec<AccSpec> {
        use Aggregate::{Avg, Count, CountDistinct, Max, Min, Sum};
        let wide = DataType::Decimal { precision: 38, scale: 2 };
        let decimals = [Count, Sum, Avg, Min, Max, CountDistinct].map(|a| spec(a, wide, wide));
        let floats = [Sum, Avg, Min, Max, CountDistinct].map(|a| spec(a, DataType::Float64, DataType::Float64));
        decimals.into_iter().chain(floats).collect()
    }

    fn accs(rows: &[(Option<i128>, f64)]) -> Accs {
        let specs = all_specs();
        let mut accs = Accs::new(&specs);
        let decimals: ArrayRef =
            Arc::new(Decimal128Array::from_iter(rows.iter().map(|r| r.0)).with_precision_and_scale(38, 2).unwrap());
        let floats: ArrayRef = Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.1)));
        for (i, spec) in specs.iter().enumerate() {
            let column = if spec.arg == Some(DataType::Float64) { &floats } else { &decimals };
            let typed = TypedColumn::new(column).unwrap();
            (0..rows.len()).for_each(|row| accs.get_mut(i).unwrap().update(Some(&typed), row));
        }
        accs
    }

    fn merged(parts: &[&Accs]) -> Accs {
        let mut all = Accs::new(&all_specs());
        parts.iter().for_each(|part| all.merge(part).unwrap());
        all
    }

    fn rows() -> impl Strategy<Value = Vec<(Option<i128>, f64)>> {
        let numbers = prop_oneof![any::<i128>(), (-999..999_i128)];
        let floats = prop_oneof![any::<i16>().prop_map(|n| f64::from(n) / 10.0), -1e300..1e300];
        prop::collection::vec((prop::option::of(numbers), floats), 0..40)
    }

    proptest! {
        #[test]
        fn merging_is_associative_and_commutative_and_equals_one_run(a in rows(), b in rows(), c in rows()) {
            let whole = accs(&[a.clone(), b.clone(), c.clone()].concat());
            let (a, b, c) = (accs(&a), accs(&b), accs(&c));
            prop_assert_eq!(merged(&[&a, &b, &c]), whole.clone());
            prop_assert_eq!(merged(&[&c, &a, &b]), whole.clone());
            prop_assert_eq!(merged(&[&a, &merged(&[&b, &c])]), whole.clone());
            let specs = all_specs();
            prop_assert_eq!(merged(&[&merged(&[&c, &b]), &a]).finish(&specs), whole.finish(&specs));
        }

        #[test]
        fn aggregates_survive_their_encoding(rows in rows()) {
            let accs = accs(&rows);
            prop_assert_eq!(codec::decode(&codec::encode(&accs)), Ok(accs));
        }

        #[test]
        fn damaged_bytes_are_refused_or_read_but_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = codec::decode(&[&[2], &bytes[..]].concat());
        }
    }
}
