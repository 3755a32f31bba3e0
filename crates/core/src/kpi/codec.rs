//! The bytes of a slice's aggregates inside a state object. Little-endian; the first byte is the version (I20). Version 1,
//! which had distinct sets in another way, was in no release and isn't read.

use super::acc::{Acc, Accs, ExactSum};
use super::distinct::Distinct;
use super::float_sum::FloatSum;
use super::value::Value;

/// The version that is written.
const VERSION: u8 = 2;

/// Why bytes are no aggregates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Written by another version of the program: use that one.
    #[error("aggregates of format {0}: this program reads format {VERSION} only; go on with the one that wrote them")]
    Other(u8),
    /// Not what any version writes: the object is damaged.
    #[error("damaged aggregates")]
    Malformed,
}

/// The bytes of `accs`.
#[must_use]
pub fn encode(accs: &Accs) -> Vec<u8> {
    let mut out = vec![VERSION];
    accs.iter().for_each(|acc| encode_acc(acc, &mut out));
    out
}

/// Reads aggregates back.
pub fn decode(bytes: &[u8]) -> Result<Accs, CodecError> {
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        VERSION => {}
        other => return Err(CodecError::Other(other)),
    }
    let mut accs = Vec::new();
    while !reader.is_done() {
        accs.push(decode_acc(&mut reader)?);
    }
    Ok(accs.into_iter().collect())
}

fn encode_acc(acc: &Acc, out: &mut Vec<u8>) {
    match acc {
        Acc::Count(rows) => {
            out.push(1);
            put_u64(out, *rows);
        }
        Acc::Exact(sum) => {
            out.push(2);
            put_u64(out, sum.rows);
            out.extend_from_slice(&sum.low.to_le_bytes());
            out.extend_from_slice(&sum.carry.to_le_bytes());
        }
        Acc::Float { rows, sum } => {
            out.push(3);
            put_u64(out, *rows);
            sum.encode(out);
        }
        Acc::Min(value) => {
            out.push(4);
            encode_value(value.as_ref(), out);
        }
        Acc::Max(value) => {
            out.push(5);
            encode_value(value.as_ref(), out);
        }
        Acc::Distinct(set) => {
            out.push(6);
            set.encode(out);
        }
    }
}

fn decode_acc(reader: &mut Reader<'_>) -> Result<Acc, CodecError> {
    Ok(match reader.u8()? {
        1 => Acc::Count(reader.u64()?),
        2 => Acc::Exact(ExactSum {
            rows: reader.u64()?,
            low: reader.u128()?.cast_signed(),
            carry: reader.u64()?.cast_signed(),
        }),
        3 => Acc::Float { rows: reader.u64()?, sum: FloatSum::decode(reader)? },
        4 => Acc::Min(decode_value(reader)?),
        5 => Acc::Max(decode_value(reader)?),
        6 => Acc::Distinct(Distinct::decode(reader)?),
        _ => return Err(CodecError::Malformed),
    })
}

fn encode_value(value: Option<&Value>, out: &mut Vec<u8>) {
    match value {
        None => out.push(0),
        Some(Value::Bool(b)) => out.extend([1, u8::from(*b)]),
        Some(Value::Int(n)) => {
            out.push(2);
            out.extend_from_slice(&n.to_le_bytes());
        }
        Some(Value::Float(x)) => {
            out.push(3);
            put_u64(out, x.to_bits());
        }
        Some(Value::Decimal(n)) => {
            out.push(4);
            out.extend_from_slice(&n.to_le_bytes());
        }
        Some(Value::Text(text)) => {
            out.push(5);
            put_u32(out, u32::try_from(text.len()).unwrap_or(u32::MAX));
            out.extend_from_slice(text.as_bytes());
        }
    }
}

fn decode_value(reader: &mut Reader<'_>) -> Result<Option<Value>, CodecError> {
    Ok(match reader.u8()? {
        0 => None,
        1 => Some(Value::Bool(reader.u8()? != 0)),
        2 => Some(Value::Int(reader.u64()?.cast_signed())),
        3 => Some(Value::Float(f64::from_bits(reader.u64()?))),
        4 => Some(Value::Decimal(reader.u128()?.cast_signed())),
        5 => {
            let len = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
            let text = std::str::from_utf8(reader.bytes(len)?).map_err(|_| CodecError::Malformed)?;
            Some(Value::Text(text.into()))
        }
        _ => return Err(CodecError::Malformed),
    })
}

pub(super) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Reads numbers from the front of bytes.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(CodecError::Malformed)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn u8(&mut self) -> Result<u8, CodecError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, CodecError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, CodecError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Result<u128, CodecError> {
        self.array().map(u128::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(CodecError::Malformed)?;
        self.rest = rest;
        Ok(*bytes)
    }
}
