//! The notes of one row, in as few bytes as its numbers need: four each where both fit two, which is so in rows of up to 65,536 cells
//! that fared in as many ways at the most, and eight else.

use super::outcome::OutcomeId;

/// One cell that is not plainly whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Note {
    /// Its place in the row of its source.
    pub(crate) place: u32,
    pub(crate) outcome: OutcomeId,
}

/// A note whose numbers are small.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Narrow {
    place: u16,
    outcome: u16,
}

impl Narrow {
    fn of(note: Note) -> Option<Self> {
        Some(Self {
            place: u16::try_from(note.place).ok()?,
            outcome: u16::try_from(note.outcome.0).ok()?,
        })
    }

    fn note(self) -> Note {
        Note {
            place: self.place.into(),
            outcome: OutcomeId(self.outcome.into()),
        }
    }
}

/// The notes of a row, as they came or in order.
#[derive(Debug, Clone)]
pub(crate) enum Notes {
    Narrow(Vec<Narrow>),
    Wide(Vec<Note>),
}

impl Default for Notes {
    fn default() -> Self {
        Self::Narrow(Vec::new())
    }
}

impl Notes {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Narrow(notes) => notes.len(),
            Self::Wide(notes) => notes.len(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Note> {
        self.after(0)
    }

    /// Those from the one with this number on.
    pub(super) fn after(&self, first: usize) -> impl Iterator<Item = Note> {
        let (narrow, wide): (&[Narrow], &[Note]) = match self {
            Self::Narrow(notes) => (&notes[first..], &[]),
            Self::Wide(notes) => (&[], &notes[first..]),
        };
        narrow.iter().map(|note| note.note()).chain(wide.iter().copied())
    }

    pub(super) fn get(&self, number: usize) -> Note {
        match self {
            Self::Narrow(notes) => notes[number].note(),
            Self::Wide(notes) => notes[number],
        }
    }

    pub(super) fn push(&mut self, note: Note) {
        match (&mut *self, Narrow::of(note)) {
            (Self::Narrow(notes), Some(narrow)) => notes.push(narrow),
            _ => self.widen().push(note),
        }
    }

    pub(super) fn set(&mut self, number: usize, outcome: OutcomeId) {
        let note = Note {
            outcome,
            ..self.get(number)
        };
        match (&mut *self, Narrow::of(note)) {
            (Self::Narrow(notes), Some(narrow)) => notes[number] = narrow,
            _ => self.widen()[number] = note,
        }
    }

    pub(super) fn remove(&mut self, number: usize) {
        match self {
            Self::Narrow(notes) => _ = notes.remove(number),
            Self::Wide(notes) => _ = notes.remove(number),
        }
    }

    /// Puts them in the order of their cells.
    pub(super) fn sort(&mut self) {
        match self {
            Self::Narrow(notes) => notes.sort_unstable_by_key(|note| note.place),
            Self::Wide(notes) => notes.sort_unstable_by_key(|note| note.place),
        }
    }

    /// Gives back memory that no note is in.
    pub(super) fn shrink(&mut self) {
        match self {
            Self::Narrow(notes) => notes.shrink_to_fit(),
            Self::Wide(notes) => notes.shrink_to_fit(),
        }
    }

    /// The number of the note of a cell, if it is one of the first ones, which are in order.
    pub(super) fn find(&self, sorted: usize, place: u32) -> Option<usize> {
        match self {
            Self::Narrow(notes) => notes[..sorted]
                .binary_search_by_key(&place, |note| note.place.into())
                .ok(),
            Self::Wide(notes) => notes[..sorted]
                .binary_search_by_key(&place, |note| note.place)
                .ok(),
        }
    }

    fn widen(&mut self) -> &mut Vec<Note> {
        if let Self::Narrow(narrow) = self {
            *self = Self::Wide(narrow.iter().map(|note| note.note()).collect());
        }
        match self {
            Self::Wide(notes) => notes,
            Self::Narrow(_) => unreachable!("it was widened above"),
        }
    }
}
