use mesh_proto::IcmpError;
use proptest::prelude::*;

use super::*;

const TIMEOUT: Duration = Duration::from_millis(900);

fn at(millis: u64) -> Moment {
    Moment(Duration::from_millis(millis))
}

fn error(kind: u8, code: u8) -> HopAnswer {
    HopAnswer::Error(IcmpError {
        kind,
        code,
        from: [10, 0, 0, 1].into(),
    })
}

const EXPIRED: fn() -> HopAnswer = || error(11, 0);
const PROHIBITED: fn() -> HopAnswer = || error(3, 13);

/// Sends all that is due, and says with which TTLs.
fn send(walk: &mut Walk, now: Moment) -> Vec<u8> {
    let mut ttls = Vec::new();
    while let Some(number) = walk.poll_transmit(now) {
        walk.handle_sent(number, now);
        ttls.push(number.ttl);
    }
    ttls
}

fn first(ttl: u8) -> TryNumber {
    TryNumber { ttl, turn: 0 }
}

fn answers(walk: &Walk) -> Vec<HopAnswer> {
    walk.hops().iter().map(|hop| hop.answer).collect()
}

#[test]
fn hops_are_tried_without_waiting_and_the_silent_ones_again() {
    let mut walk = Walk::start(4, TIMEOUT, at(0));
    assert_eq!(send(&mut walk, at(0)), [1]);
    assert_eq!(send(&mut walk, at(39)), [0; 0]);
    assert_eq!(send(&mut walk, at(40)), [2]);
    assert_eq!(send(&mut walk, at(120)), [3, 4]);
    walk.handle_answer(first(1), EXPIRED());
    walk.handle_answer(first(4), HopAnswer::Target);
    assert_eq!(send(&mut walk, at(339)), [0; 0]);
    assert_eq!(send(&mut walk, at(380)), [2, 3]);
    walk.handle_answer(TryNumber { ttl: 3, turn: 1 }, EXPIRED());
    assert_eq!(send(&mut walk, at(640)), [2]);
    assert_eq!(send(&mut walk, at(899)), [0; 0]);
    // The last try has as long as lies between two.
    assert!(!walk.is_done(at(939)));
    assert!(walk.is_done(at(940)));
    let seen = [EXPIRED(), HopAnswer::Silence, EXPIRED(), HopAnswer::Target];
    assert_eq!(answers(&walk), seen);
}

#[test]
fn it_is_done_at_once_when_all_hops_to_the_target_are_known() {
    let mut walk = Walk::start(5, TIMEOUT, at(0));
    send(&mut walk, at(200));
    walk.handle_answer(first(3), HopAnswer::Target);
    walk.handle_answer(first(1), EXPIRED());
    assert!(!walk.is_done(at(201)));
    walk.handle_answer(first(2), EXPIRED());
    assert!(walk.is_done(at(201)));
    walk.handle_answer(first(4), HopAnswer::Target);
    assert_eq!(answers(&walk), [EXPIRED(), EXPIRED(), HopAnswer::Target]);
}

#[test]
fn beyond_a_hop_that_goes_no_further_nothing_is_tried() {
    let mut walk = Walk::start(4, TIMEOUT, at(0));
    assert_eq!(send(&mut walk, at(80)), [1, 2, 3]);
    walk.handle_answer(first(2), PROHIBITED());
    assert_eq!(send(&mut walk, at(380)), [1]);
    walk.handle_answer(TryNumber { ttl: 1, turn: 1 }, EXPIRED());
    assert!(walk.is_done(at(381)));
    assert_eq!(answers(&walk), [EXPIRED(), PROHIBITED(), HopAnswer::Silence]);
}

#[test]
fn of_two_answers_to_a_hop_the_one_that_got_further_counts() {
    let mut walk = Walk::start(1, TIMEOUT, at(0));
    send(&mut walk, at(0));
    send(&mut walk, at(300));
    let second = TryNumber { ttl: 1, turn: 1 };
    for (number, answer, stands) in [
        (first(1), EXPIRED(), EXPIRED()),
        (second, PROHIBITED(), PROHIBITED()),
        (first(1), EXPIRED(), PROHIBITED()),
        (second, HopAnswer::Target, HopAnswer::Target),
        (first(1), PROHIBITED(), HopAnswer::Target),
    ] {
        walk.handle_answer(number, answer);
        assert_eq!(answers(&walk), [stands]);
    }
}

#[test]
fn of_hops_that_nothing_left_for_nothing_is_said() {
    let mut walk = Walk::start(3, TIMEOUT, at(0));
    let number = walk.poll_transmit(at(40)).unwrap();
    walk.handle_sent(number, at(40));
    walk.poll_transmit(at(40)).unwrap();
    assert_eq!(answers(&walk), [HopAnswer::Silence]);
    walk.handle_answer(first(3), HopAnswer::Target);
    assert_eq!(
        answers(&walk),
        [HopAnswer::Silence],
        "what was not tried is not answered"
    );
}

proptest! {
    #[test]
    fn a_walk_ends_in_time_whatever_answers(
        hops in 1..=64_u8,
        answered in prop::collection::vec((1..=64_u8, 0..3_u8, 0..3_u8), 0..80),
    ) {
        let mut walk = Walk::start(hops, TIMEOUT, at(0));
        let mut sent = 0;
        let mut answered = answered.into_iter();
        for now in (0..=1_210).step_by(10).map(at) {
            sent += send(&mut walk, now).len();
            if let Some((ttl, turn, kind)) = answered.next() {
                let answer = [HopAnswer::Target, EXPIRED(), PROHIBITED()][usize::from(kind)];
                walk.handle_answer(TryNumber { ttl, turn }, answer);
            }
        }
        prop_assert!(walk.is_done(at(1_210)));
        prop_assert!(sent <= usize::from(hops) * usize::from(TRIES_PER_HOP));
        let seen = walk.hops();
        prop_assert!(seen.len() <= usize::from(hops));
        let target = |hop: &Hop| hop.answer == HopAnswer::Target;
        prop_assert!(seen.iter().position(target).is_none_or(|place| place + 1 == seen.len()));
        for (ttl, hop) in (1..).zip(&seen) {
            prop_assert_eq!(hop.ttl, ttl);
        }
    }

    #[test]
    fn a_try_is_known_by_its_sequence_number(ttl in any::<u8>(), turn in any::<u8>()) {
        let number = TryNumber { ttl, turn };
        prop_assert_eq!(TryNumber::of_sequence(number.sequence()), number);
    }
}
