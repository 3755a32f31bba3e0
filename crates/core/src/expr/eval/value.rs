//! A column of values on its way through the tree, and the loops over primitive values.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Datum, PrimitiveArray, StringArray, UInt32Array,
    new_null_array,
};
use arrow::compute;
use arrow::error::ArrowError;

use super::failures::{Cause, Failures};
use crate::expr::node::Node;
use crate::types::DataType;

/// Values of one node: one per row, or one for all rows. Failed rows are NULL. A scalar never has failures.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) array: ArrayRef,
    pub(super) scalar: bool,
    pub(super) failures: Failures,
}

impl Datum for Value {
    fn get(&self) -> (&dyn Array, bool) {
        (self.array.as_ref(), self.scalar)
    }
}

impl Value {
    pub(super) fn rows(array: ArrayRef) -> Self {
        Self { array, scalar: false, failures: Failures::default() }
    }

    pub(super) fn with(self, failures: Failures) -> Self {
        Self { failures, ..self }
    }

    /// A constant; for one row it is no scalar, so that folding meets rows only.
    pub(super) fn constant(node: &Node, rows: usize) -> Result<Self, ArrowError> {
        let array = node.value().ok_or_else(|| ArrowError::ComputeError("not a constant".to_owned()))?;
        Ok(Self { array, scalar: rows != 1, failures: Failures::default() })
    }

    /// The value with one entry per row.
    pub(super) fn expand(self, rows: usize) -> Result<Self, ArrowError> {
        if !self.scalar {
            return Ok(self);
        }
        let array = compute::take(&self.array, &UInt32Array::from_value(0, rows), None)?;
        Ok(Self { array, scalar: false, failures: self.failures })
    }

    pub(super) fn booleans(&self) -> Result<&BooleanArray, ArrowError> {
        self.array.as_boolean_opt().ok_or_else(|| wrong_type(self.array.as_ref(), "bool"))
    }

    pub(super) fn strings(&self) -> Result<&StringArray, ArrowError> {
        self.array.as_string_opt::<i32>().ok_or_else(|| wrong_type(self.array.as_ref(), "string"))
    }

    pub(super) fn primitive<T: ArrowPrimitiveType>(&self) -> Result<&PrimitiveArray<T>, ArrowError> {
        self.array.as_primitive_opt::<T>().ok_or_else(|| wrong_type(self.array.as_ref(), "value of its declared type"))
    }

    /// Whether this is NULL for all rows by being a NULL constant.
    pub(super) fn is_null_scalar(&self) -> bool {
        self.scalar && self.array.null_count() > 0
    }
}

fn wrong_type(array: &dyn Array, expected: &str) -> ArrowError {
    ArrowError::ComputeError(format!("a column of Arrow type {} is not a {expected}", array.data_type()))
}

/// `op` over all values that are not NULL; rows where it has no answer fail.
pub(super) fn unary<I: ArrowPrimitiveType, O: ArrowPrimitiveType>(
    value: &Value,
    ty: DataType,
    op: impl Fn(I::Native) -> Result<O::Native, Cause>,
) -> Result<Value, ArrowError> {
    let array = value.primitive::<I>()?;
    let fast = array.try_unary::<_, O, ArrowError>(|v| op(v).map_err(|_| ArrowError::DivideByZero));
    Ok(finish(fast, ty, &value.failures, || slow(array.iter().map(|v| v.map(&op)))))
}

/// `op` over all rows where neither operand is NULL; rows where it has no answer fail. At most one operand is a scalar.
pub(super) fn binary<L: ArrowPrimitiveType, R: ArrowPrimitiveType, O: ArrowPrimitiveType>(
    left: &Value,
    right: &Value,
    ty: DataType,
    op: impl Fn(L::Native, R::Native) -> Result<O::Native, Cause>,
) -> Result<Value, ArrowError> {
    let (l, r) = (left.primitive::<L>()?, right.primitive::<R>()?);
    let failures = left.failures.clone().and(right.failures.clone());
    let rows = if left.scalar { r.len() } else { l.len() };
    if left.is_null_scalar() || right.is_null_scalar() {
        return Ok(Value::rows(new_null_array(&ty.arrow(), rows)).with(failures));
    }
    let stop = |_| ArrowError::DivideByZero;
    if let (true, Some(a)) = (left.scalar, l.values().first().copied()) {
        let fast = r.try_unary::<_, O, ArrowError>(|b| op(a, b).map_err(stop));
        return Ok(finish(fast, ty, &failures, || slow(r.iter().map(|b| b.map(|b| op(a, b))))));
    }
    if let (true, Some(b)) = (right.scalar, r.values().first().copied()) {
        let fast = l.try_unary::<_, O, ArrowError>(|a| op(a, b).map_err(stop));
        return Ok(finish(fast, ty, &failures, || slow(l.iter().map(|a| a.map(|a| op(a, b))))));
    }
    let fast = compute::try_binary::<_, _, _, O>(l, r, |a, b| op(a, b).map_err(stop));
    Ok(finish(fast, ty, &failures, || slow(l.iter().zip(r.iter()).map(|(a, b)| Some(op(a?, b?))))))
}

/// `op` over all texts that are not NULL.
pub(super) fn from_text<O: ArrowPrimitiveType>(
    value: &Value,
    ty: DataType,
    op: impl Fn(&str) -> Result<O::Native, Cause>,
) -> Result<Value, ArrowError> {
    let (array, failures) = slow::<O>(value.strings()?.iter().map(|text| text.map(&op)));
    Ok(typed(array, ty).with(value.failures.clone().and(failures)))
}

/// Row by row, noting what fails.
pub(super) fn slow<O: ArrowPrimitiveType>(
    results: impl Iterator<Item = Option<Result<O::Native, Cause>>>,
) -> (PrimitiveArray<O>, Failures) {
    let mut failures = Failures::default();
    let values = results.enumerate().map(|(row, result)| match result? {
        Ok(value) => Some(value),
        Err(cause) => {
            failures.push(row, cause);
            None
        }
    });
    let array = PrimitiveArray::<O>::from_iter(values);
    (array, failures)
}

fn finish<O: ArrowPrimitiveType>(
    fast: Result<PrimitiveArray<O>, ArrowError>,
    ty: DataType,
    failures: &Failures,
    slow: impl FnOnce() -> (PrimitiveArray<O>, Failures),
) -> Value {
    match fast {
        Ok(array) => typed(array, ty).with(failures.clone()),
        Err(_) => {
            let (array, more) = slow();
            typed(array, ty).with(failures.clone().and(more))
        }
    }
}

fn typed<O: ArrowPrimitiveType>(array: PrimitiveArray<O>, ty: DataType) -> Value {
    Value::rows(Arc::new(array.with_data_type(ty.arrow())))
}
