//! A set of ill cells that only shrinks: what is still to be explained.

use crate::matrix::Bits;
use crate::round::CellIndex;

/// Some of the ill cells of a model.
#[derive(Debug)]
pub(super) struct CellSet {
    bits: Bits,
    left: usize,
    /// Those that it began with, in order.
    all: Vec<CellIndex>,
}

impl CellSet {
    /// The given cells, in order, each once.
    pub(super) fn new(cells: &[CellIndex]) -> Self {
        let mut bits = Bits::below(cells.last().map_or(0, |last| last.0 + 1));
        for cell in cells {
            bits.insert(cell.0);
        }
        Self {
            bits,
            left: cells.len(),
            all: cells.to_vec(),
        }
    }

    pub(super) fn contains(&self, cell: CellIndex) -> bool {
        self.bits.contains(cell.0)
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, cell: CellIndex) -> bool {
        let was_there = self.bits.remove(cell.0);
        self.left -= usize::from(was_there);
        was_there
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// What is left, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = CellIndex> {
        self.all.iter().copied().filter(|cell| self.contains(*cell))
    }
}
