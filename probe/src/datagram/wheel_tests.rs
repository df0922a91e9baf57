use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// Sets a timer so many microseconds from now.
    Set(u32, u64),
    Cancel(u32),
    /// Lets so many microseconds pass.
    Pass(u64),
}

/// Spans of all sizes that a wheel's levels differ in, from nothing to more than a whole turn of the last.
fn span() -> impl Strategy<Value = u64> {
    (0_u32..49, any::<u64>()).prop_map(|(bits, noise)| noise & ((1 << bits) - 1))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u32..40, span()).prop_map(|(number, after)| Step::Set(number, after)),
        1 => (0_u32..50).prop_map(Step::Cancel),
        3 => span().prop_map(Step::Pass),
    ]
}

fn at(micros: u64) -> Moment {
    Moment(Duration::from_micros(micros))
}

proptest! {
    #[test]
    fn it_hands_out_what_a_plain_map_does(start in span(), steps in prop::collection::vec(step(), 1..200)) {
        let mut now = start;
        let mut wheel = Wheel::new(at(now));
        let mut model: BTreeMap<u32, u64> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Set(number, after) => {
                    wheel.set(number, at(now + after));
                    model.insert(number, now + after);
                }
                Step::Cancel(number) => {
                    wheel.cancel(number);
                    model.remove(&number);
                }
                Step::Pass(micros) => {
                    now += micros;
                    let mut expired = Vec::new();
                    while let Some(number) = wheel.expired(at(now)) {
                        expired.push(number);
                    }
                    expired.sort_unstable();
                    // Whole milliseconds: late by less than one, never early.
                    let due = |of: &u64| of.div_ceil(1_000) <= now / 1_000;
                    let expected: Vec<u32> = model.iter().filter(|(_, of)| due(of)).map(|(number, _)| *number).collect();
                    prop_assert_eq!(expired, expected);
                    model.retain(|_, of| !due(of));
                }
            }
        }
    }
}

#[test]
fn a_timer_that_is_set_while_others_are_handed_out_waits_for_its_time() {
    let mut wheel = Wheel::new(at(0));
    wheel.set(1, at(5_000));
    wheel.set(2, at(5_000));
    assert!(wheel.expired(at(5_000)).is_some());
    wheel.set(3, at(6_000));
    wheel.set(4, at(1_000));
    let mut rest: Vec<u32> = std::iter::from_fn(|| wheel.expired(at(5_000))).collect();
    rest.sort_unstable();
    assert_eq!(rest.len(), 2);
    assert!(rest.contains(&4), "{rest:?}");
    assert_eq!(wheel.expired(at(6_000)), Some(3));
}
