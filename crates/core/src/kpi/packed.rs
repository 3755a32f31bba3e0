//! A distinct set's bytes inside a state object: what lies between neighbours instead of the elements themselves.
//!
//! `u32` number of elements; the first element, its top byte lowest; the distance of each further one from the one before
//! it. These are written seven bits per byte, the lowest first, the top bit set where more follow (LEB128). Values that
//! begin alike are near each other, so that most take two or three bytes.

use super::codec::{CodecError, Reader, put_u32};

/// Writes elements that ascend, each once.
pub(super) fn pack(ascending: &[u128], out: &mut Vec<u8>) {
    put_u32(out, u32::try_from(ascending.len()).unwrap_or(u32::MAX));
    let Some(first) = ascending.first() else { return };
    put_varint(first.rotate_left(8), out);
    for (last, element) in ascending.iter().zip(ascending.iter().skip(1)) {
        put_varint(element - last, out);
    }
}

/// Reads them back.
pub(super) fn unpack(reader: &mut Reader<'_>) -> Result<Vec<u128>, CodecError> {
    let len = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
    // Each takes a byte at least: a damaged number asks for no memory.
    let mut elements = Vec::with_capacity(len.min(reader.left()));
    if len == 0 {
        return Ok(elements);
    }
    let mut last = varint(reader)?.rotate_right(8);
    elements.push(last);
    for _ in 1..len {
        let distance = varint(reader)?;
        last = last.checked_add(distance).filter(|_| distance > 0).ok_or(CodecError::Malformed)?;
        elements.push(last);
    }
    Ok(elements)
}

fn put_varint(value: u128, out: &mut Vec<u8>) {
    let Ok(mut low) = u64::try_from(value) else {
        out.push((value & 0x7f) as u8 | 0x80);
        return put_varint(value >> 7, out);
    };
    while low >= 0x80 {
        out.push((low & 0x7f) as u8 | 0x80);
        low >>= 7;
    }
    out.push(low as u8);
}

fn varint(reader: &mut Reader<'_>) -> Result<u128, CodecError> {
    let mut low = 0;
    for shift in (0..63).step_by(7) {
        let byte = reader.u8()?;
        low |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(low.into());
        }
    }
    let mut value = u128::from(low);
    for shift in (63..u128::BITS).step_by(7) {
        let byte = reader.u8()?;
        let bits = u128::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return Err(CodecError::Malformed);
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(CodecError::Malformed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::distinct::element;
    use super::*;

    fn set(values: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<u128> {
        values.into_iter().map(|value| element(value.as_ref())).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn packed(elements: &[u128]) -> Vec<u8> {
        let mut bytes = Vec::new();
        pack(elements, &mut bytes);
        bytes
    }

    fn unpacked(bytes: &[u8]) -> Result<Vec<u128>, CodecError> {
        unpack(&mut Reader::new(bytes))
    }

    #[test]
    fn names_with_numbers_and_numbers_take_few_bytes() {
        let names = set((0..5_000_u64).map(|n| format!("CUST{:06}", n * 10)));
        let numbers = set((0..5_000_u64).map(|n| (n * 10).to_be_bytes()));
        let texts = set((0..5_000_u64).map(|n| format!("{n}, a text of more than fifteen bytes")));
        for (elements, most) in [(&names, 3), (&numbers, 2), (&texts, 18)] {
            let bytes = packed(elements);
            assert!(bytes.len() < most * 5_000, "{} bytes", bytes.len());
            assert_eq!(unpacked(&bytes).as_ref(), Ok(elements));
        }
    }

    #[test]
    fn what_no_set_is_written_as_is_damaged() {
        let bytes = packed(&set(["CUST1", "CUST2", "CUST3"]));
        let cut_off = &bytes[..bytes.len() - 1];
        let twice = [cut_off, &[0]].concat();
        let number = 2_u32.to_le_bytes();
        let beyond = [&number[..], &[0xff; 18], &[3], &[0xff; 18], &[3]].concat();
        let too_wide = [&number[..], &[0xff; 18], &[4, 1]].concat();
        let endless = [&number[..], &[0xff; 30]].concat();
        for damaged in [cut_off.to_vec(), twice, beyond, too_wide, endless, vec![0xff; 10], vec![1]] {
            assert_eq!(unpacked(&damaged), Err(CodecError::Malformed), "{damaged:?}");
        }
    }

    proptest! {
        #[test]
        fn sets_read_back(
            texts in prop::collection::vec("[ab]{0,3}[0-9]{0,14}", 0..80), numbers in prop::collection::vec(any::<i64>(), 0..20),
        ) {
            let values = texts.iter().map(|text| text.as_bytes().to_vec());
            let elements = set(values.chain(numbers.iter().map(|n| n.to_be_bytes().to_vec())));
            prop_assert_eq!(unpacked(&packed(&elements)), Ok(elements));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(elements) = unpacked(&bytes) {
                prop_assert!(elements.is_sorted_by(|a, b| a < b));
            }
        }
    }
}
