//! A timing wheel: one timer for each of many probes, set, moved and taken away in constant time and without allocating.
//!
//! Hierarchical, as in G. Varghese and T. Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987), scheme 7: slots of a
//! millisecond, of 64 ms, of 4 s and so on. What lies in a coarse slot is spread over finer ones when its time comes near. A
//! slot's timers are a list that is linked through one array, by the probes' own numbers.

use std::time::Duration;

use crate::moment::Moment;

/// Timers by number; each number has one at the most.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// Milliseconds that have passed: all timers up to here were handed out.
    now: u64,
    /// The first timer of each slot.
    slots: [[u32; SLOTS]; LEVELS],
    /// A bit for each slot that holds one.
    filled: [u64; LEVELS],
    timers: Vec<Timer>,
    /// Timers whose time has come, and that were not handed out yet.
    due: u32,
}

#[derive(Debug, Clone, Copy)]
struct Timer {
    /// In milliseconds, rounded up: a timer is late by less than one, and never early.
    at: u64,
    next: u32,
    before: u32,
    place: Place,
}

/// In which list a timer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Nowhere,
    Due,
    Slot { level: u8, slot: u8 },
}

const SLOTS: usize = 64;
/// The sixth level's slots are 12 days long: no time-out of a plan (32 bits of milliseconds) is beyond the last.
const LEVELS: usize = 6;
const BITS: u32 = SLOTS.trailing_zeros();
const NONE: u32 = u32::MAX;

impl Wheel {
    pub(crate) fn new(now: Moment) -> Self {
        Self {
            now: floor(now),
            slots: [[NONE; SLOTS]; LEVELS],
            filled: [0; LEVELS],
            timers: Vec::new(),
            due: NONE,
        }
    }

    /// Sets the timer of this number, or moves it. One that is past comes due at once.
    pub(crate) fn set(&mut self, number: u32, at: Moment) {
        let place = index(number);
        if place >= self.timers.len() {
            let none = Timer {
                at: 0,
                next: NONE,
                before: NONE,
                place: Place::Nowhere,
            };
            self.timers.resize(place + 1, none);
        }
        self.cancel(number);
        self.timers[place].at = ceiling(at);
        self.link(number);
    }

    /// Takes the timer of this number away, if it has one.
    pub(crate) fn cancel(&mut self, number: u32) {
        let Some(&timer) = self.timers.get(index(number)) else {
            return;
        };
        if timer.place == Place::Nowhere {
            return;
        }
        if timer.before == NONE {
            *self.head(timer.place) = timer.next;
            if let (Place::Slot { level, slot }, NONE) = (timer.place, timer.next) {
                self.filled[usize::from(level)] &= !(1 << slot);
            }
        } else {
            self.timers[index(timer.before)].next = timer.next;
        }
        if timer.next != NONE {
            self.timers[index(timer.next)].before = timer.before;
        }
        self.timers[index(number)].place = Place::Nowhere;
    }

    /// A timer whose time has come by `now`, which is taken away; in no order.
    pub(crate) fn expired(&mut self, now: Moment) -> Option<u32> {
        let until = floor(now);
        while self.due == NONE && self.now < until {
            self.step(until);
        }
        let number = self.due;
        (number != NONE).then(|| {
            self.cancel(number);
            number
        })
    }

    /// Goes to the next moment at which a slot of any level begins and is not empty, or to `until`.
    fn step(&mut self, until: u64) {
        let next = (0..LEVELS).filter_map(|level| self.next_filled(level)).min();
        let Some(next) = next.filter(|next| *next <= until) else {
            self.now = until;
            return;
        };
        self.now = next;
        // Coarse ones first: what is in them may belong in this very millisecond.
        for level in (0..LEVELS).rev() {
            let span = BITS * u32::try_from(level).unwrap_or(0);
            if next & ((1 << span) - 1) != 0 {
                continue;
            }
            let slot = slot_of(next, level);
            let mut number = self.slots[level][slot];
            self.slots[level][slot] = NONE;
            self.filled[level] &= !(1 << slot);
            while number != NONE {
                let following = self.timers[index(number)].next;
                self.link(number);
                number = following;
            }
        }
    }

    /// When the next filled slot of a level begins, after now.
    fn next_filled(&self, level: usize) -> Option<u64> {
        let filled = self.filled[level];
        if filled == 0 {
            return None;
        }
        let span = BITS * u32::try_from(level).unwrap_or(0);
        let here = self.now >> span;
        // The slot after the present one comes first, the present one last, a whole turn later.
        let turned = filled.rotate_right(u32::try_from((here + 1) & (SLOTS as u64 - 1)).unwrap_or(0));
        Some((here + 1 + u64::from(turned.trailing_zeros())) << span)
    }

    /// Puts a timer, which is in no list, where it belongs.
    fn link(&mut self, number: u32) {
        let at = self.timers[index(number)].at;
        let place = if at <= self.now {
            Place::Due
        } else {
            // The highest digit, in base 64, in which it differs from now: there its slot is one that is still to come.
            let level = ((at ^ self.now).ilog2() / BITS) as usize;
            let (level, at) = if level < LEVELS {
                (level, at)
            } else {
                // Beyond the last level's turn: as far as one turn goes, and then looked at anew.
                let span = BITS * u32::try_from(LEVELS - 1).unwrap_or(0);
                (LEVELS - 1, at.min(self.now + ((SLOTS as u64 - 1) << span)))
            };
            let slot = slot_of(at, level);
            self.filled[level] |= 1 << slot;
            Place::Slot {
                level: u8::try_from(level).unwrap_or(0),
                slot: u8::try_from(slot).unwrap_or(0),
            }
        };
        let first = std::mem::replace(self.head(place), number);
        if first != NONE {
            self.timers[index(first)].before = number;
        }
        let timer = &mut self.timers[index(number)];
        (timer.next, timer.before, timer.place) = (first, NONE, place);
    }

    fn head(&mut self, place: Place) -> &mut u32 {
        match place {
            Place::Slot { level, slot } => &mut self.slots[usize::from(level)][usize::from(slot)],
            Place::Due | Place::Nowhere => &mut self.due,
        }
    }
}

fn slot_of(at: u64, level: usize) -> usize {
    let span = BITS * u32::try_from(level).unwrap_or(0);
    index(u32::try_from((at >> span) & (SLOTS as u64 - 1)).unwrap_or(0))
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn floor(moment: Moment) -> u64 {
    u64::try_from(moment.0.as_millis()).unwrap_or(u64::MAX)
}

fn ceiling(moment: Moment) -> u64 {
    floor(moment + Duration::from_nanos(999_999))
}

#[cfg(test)]
#[path = "wheel_tests.rs"]
mod tests;
