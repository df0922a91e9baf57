//! A quick hash for small keys that nobody outside chooses: numbers of cells, nodes and places.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// A map whose keys are hashed quickly.
pub(crate) type QuickMap<K, V> = HashMap<K, V, BuildHasherDefault<Mixing>>;

/// A set of such.
pub(crate) type QuickSet<K> = HashSet<K, BuildHasherDefault<Mixing>>;

/// Multiplies and rotates. Whoever could choose keys gains nothing by collisions but a slow look-up.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Mixing(u64);

impl Hasher for Mixing {
    fn finish(&self) -> u64 {
        // A table takes the upper bits of some and the lower ones of others.
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64((*byte).into());
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(word.into());
    }

    fn write_u16(&mut self, word: u16) {
        self.write_u64(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.write_u64(word.cast_unsigned() as u64);
    }

    fn write_u64(&mut self, word: u64) {
        // The golden ratio's bits (Knuth, "Sorting and Searching", 6.4).
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
