//! The probes under way of all jobs, in one table; a packet's token says where in it its probe stands.

use crate::echo_packet::Token;

use super::probe::Probe;

/// A probe's place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(pub(super) u32);

/// The table. Places are used again, the last one first, so that it is as large as the most that were under way at once.
#[derive(Debug)]
pub(super) struct UnderWay {
    rows: Vec<Row>,
    vacant: Vec<Place>,
    /// Makes tokens hard to guess.
    salt: u64,
}

#[derive(Debug)]
struct Row {
    /// Tells the probe that stands here from those that stood here before.
    generation: u32,
    probe: Option<Probe>,
}

/// Of a token: 16 bits for the try, 24 for the place, 24 for the generation.
const TRY_BITS: u32 = 16;
const PLACE_BITS: u32 = 24;
const PLACES: u64 = 1 << PLACE_BITS;
const GENERATIONS: u32 = 1 << 24;

impl UnderWay {
    pub(super) fn new(salt: u64) -> Self {
        Self {
            rows: Vec::new(),
            vacant: Vec::new(),
            salt,
        }
    }

    pub(super) fn insert(&mut self, probe: Probe) -> Place {
        if let Some(place) = self.vacant.pop()
            && let Some(row) = self.row_mut(place)
        {
            row.probe = Some(probe);
            return place;
        }
        // No plan has as many as 2^24: a message of the link would not hold it.
        let place = Place(u32::try_from(self.rows.len()).unwrap_or(u32::MAX));
        self.rows.push(Row {
            generation: 0,
            probe: Some(probe),
        });
        place
    }

    /// Takes a probe out: what still comes in for it belongs to nobody.
    pub(super) fn remove(&mut self, place: Place) -> Option<Probe> {
        let row = self.row_mut(place)?;
        let probe = row.probe.take()?;
        row.generation = (row.generation + 1) % GENERATIONS;
        self.vacant.push(place);
        Some(probe)
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Probe> {
        self.row_mut(place)?.probe.as_mut()
    }

    /// The token of one of a probe's tries; a probe has fewer than 2^16.
    pub(super) fn token(&self, place: Place, number: u32) -> Token {
        let generation = self.row(place).map_or(0, |row| row.generation);
        let (generation, place) = (u64::from(generation), u64::from(place.0) % PLACES);
        let number = u64::from(number) & ((1 << TRY_BITS) - 1);
        Token(self.salt ^ (generation << (TRY_BITS + PLACE_BITS) | place << TRY_BITS | number))
    }

    /// The probe that a token is of, its place and the number of the try.
    pub(super) fn find(&mut self, token: Token) -> Option<(Place, u32, &mut Probe)> {
        let plain = token.0 ^ self.salt;
        let number = u32::try_from(plain & ((1 << TRY_BITS) - 1)).ok()?;
        let place = Place(u32::try_from(plain >> TRY_BITS & (PLACES - 1)).ok()?);
        let generation = plain >> (TRY_BITS + PLACE_BITS);
        let row = self.row_mut(place)?;
        let probe = row
            .probe
            .as_mut()
            .filter(|_| u64::from(row.generation) == generation)?;
        Some((place, number, probe))
    }

    /// The places of a job's probes.
    pub(super) fn of_job(&self, job: u64) -> Vec<Place> {
        let rows = (0..).map(Place).zip(&self.rows);
        rows.filter(|(_, row)| row.probe.as_ref().is_some_and(|probe| probe.job == job))
            .map(|(place, _)| place)
            .collect()
    }

    fn row(&self, place: Place) -> Option<&Row> {
        self.rows.get(usize::try_from(place.0).ok()?)
    }

    fn row_mut(&mut self, place: Place) -> Option<&mut Row> {
        self.rows.get_mut(usize::try_from(place.0).ok()?)
    }
}

#[cfg(test)]
#[path = "under_way_tests.rs"]
mod tests;
