//! The checksum of files: XXH3-128 (seed 0), 32 hex digits, most significant first.

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// A checksum over bytes that come in pieces.
pub(super) struct Checksum(Box<Xxh3>);

impl Checksum {
    pub(super) fn new() -> Self {
        Self(Box::new(Xxh3::new()))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn hex(&self) -> String {
        format!("{:032x}", self.0.digest128())
    }
}

/// The checksum of bytes in memory, as entries of the log spell it.
#[must_use]
pub fn checksum_of(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_and_whole_agree() {
        let bytes: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        let mut sum = Checksum::new();
        bytes.chunks(777).for_each(|piece| sum.update(piece));
        assert_eq!(sum.hex(), checksum_of(&bytes));
        assert_eq!(checksum_of(b""), "99aa06d3014798d86001c324468d497f");
    }
}
