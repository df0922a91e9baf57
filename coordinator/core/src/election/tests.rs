use std::time::Duration;

use proptest::prelude::*;

use super::{Election, ElectionStep, ElectionTiming, Holder, Role, Seat, SeatVersion, SeatWritten};
use crate::moment::Moment;

fn at(millis: u64) -> Moment {
    Moment(Duration::from_millis(millis))
}

fn seat(holder: Option<&str>, version: &str) -> Seat {
    Seat {
        holder: holder.map(|name| Holder(name.to_owned())),
        version: SeatVersion(version.to_owned()),
    }
}

fn election() -> Election {
    Election::start(Holder("a".to_owned()), ElectionTiming::default(), at(0))
}

fn done(version: &str) -> SeatWritten {
    SeatWritten::Done(SeatVersion(version.to_owned()))
}

fn write(over: &str, is_new: bool) -> ElectionStep {
    ElectionStep::Write {
        over: Some(SeatVersion(over.to_owned())),
        is_new,
    }
}

fn leading() -> Election {
    let mut election = election();
    election.handle_read(None, at(0));
    election.handle_written(done("1"), at(0), at(100));
    election
}

#[test]
fn who_finds_no_seat_makes_it_and_leads_until_it_cannot_renew() {
    let mut election = election();
    assert_eq!(election.next(at(0)), ElectionStep::Read);
    assert_eq!(election.role(at(0)), Role::Follows(None));
    election.handle_read(None, at(10));
    let make = ElectionStep::Write {
        over: None,
        is_new: true,
    };
    assert_eq!(election.next(at(10)), make);
    // Counted from when it asked, not from when it heard.
    election.handle_written(done("1"), at(10), at(3_000));
    assert_eq!(election.role(at(10_009)), Role::Leads);
    assert_eq!(election.role(at(10_010)), Role::CutOff(at(10_010)));
    assert_eq!(election.next(at(5_009)), ElectionStep::Wait(at(5_010)));
    assert_eq!(election.next(at(5_010)), write("1", false));
    election.handle_written(done("2"), at(5_010), at(5_020));
    assert_eq!(election.role(at(15_009)), Role::Leads);
    assert_eq!(election.role_ends(at(5_020)), Some(at(15_010)));
}

#[test]
fn a_seat_that_changes_is_not_taken_and_one_that_stands_still_is() {
    let mut election = election();
    election.handle_read(Some(seat(Some("b"), "1")), at(0));
    assert_eq!(election.role(at(0)), Role::Follows(Some(Holder("b".to_owned()))));
    assert_eq!(election.next(at(4_999)), ElectionStep::Wait(at(5_000)));
    election.handle_read(Some(seat(Some("b"), "2")), at(14_000));
    election.handle_read(Some(seat(Some("b"), "2")), at(28_000));
    assert_eq!(
        election.next(at(28_999)),
        ElectionStep::Wait(at(29_000)),
        "no later than it is free"
    );
    assert_eq!(election.next(at(29_000)), ElectionStep::Read);
    election.handle_read(Some(seat(Some("b"), "2")), at(29_000));
    assert_eq!(election.next(at(29_000)), write("2", true));
    election.handle_written(SeatWritten::Beaten, at(29_000), at(29_010));
    assert_eq!(election.next(at(29_010)), ElectionStep::Read);
    election.handle_read(Some(seat(Some("c"), "3")), at(29_020));
    assert_eq!(
        election.role(at(29_020)),
        Role::Follows(Some(Holder("c".to_owned())))
    );
    // Given back: taken at once.
    election.handle_read(Some(seat(None, "4")), at(34_020));
    assert_eq!(election.next(at(34_020)), write("4", true));
}

#[test]
fn cut_off_it_goes_on_and_leads_again_or_follows_whoever_was_faster() {
    let mut alone = leading();
    alone.handle_written(SeatWritten::Unknown, at(5_000), at(10_000));
    assert_eq!(alone.next(at(10_000)), ElectionStep::Wait(at(12_000)));
    alone.handle_silence(at(3_600_000));
    assert_eq!(alone.role(at(3_600_000)), Role::CutOff(at(10_000)));
    // The write of which nothing was heard had been done.
    alone.handle_read(Some(seat(Some("a"), "2")), at(3_602_000));
    assert_eq!(
        alone.role(at(3_602_000)),
        Role::CutOff(at(10_000)),
        "a read is no renewal"
    );
    assert_eq!(alone.next(at(3_602_000)), write("2", false));
    alone.handle_written(done("3"), at(3_602_000), at(3_602_010));
    assert_eq!(alone.role(at(3_602_010)), Role::Leads);

    let mut beaten = leading();
    beaten.handle_written(SeatWritten::Beaten, at(16_000), at(16_010));
    beaten.handle_read(Some(seat(Some("b"), "7")), at(16_020));
    assert_eq!(
        beaten.role(at(16_020)),
        Role::Follows(Some(Holder("b".to_owned())))
    );
}

#[test]
fn a_leader_gives_back_what_it_has_and_nothing_else() {
    let mut leader = leading();
    assert_eq!(leader.resign(), Some(SeatVersion("1".to_owned())));
    assert_eq!(leader.role(at(200)), Role::Follows(None));
    let mut follower = election();
    follower.handle_read(Some(seat(Some("b"), "1")), at(0));
    assert_eq!(follower.resign(), None);
}

/// A request on its way: when it arrives, when its answer does, and whether that is lost.
#[derive(Debug, Clone)]
struct UnderWay {
    step: ElectionStep,
    asked: u64,
    arrives: u64,
    answered: u64,
    is_lost: bool,
    outcome: Option<Outcome>,
}

#[derive(Debug, Clone)]
enum Outcome {
    Read(Option<Seat>),
    Write(SeatWritten),
}

/// A driver gives up a request after this.
const PATIENCE: u64 = 5_000;

struct Coordinator {
    election: Election,
    /// Its clock's speed, in thousandths.
    speed: u64,
    under_way: Option<UnderWay>,
    /// The answer is not waited for any more, but the request may still arrive.
    stray: Vec<UnderWay>,
}

impl Coordinator {
    fn local(&self, now: u64) -> Moment {
        at(now * self.speed / 1_000)
    }
}

/// What a request meets.
#[derive(Debug, Clone, Copy)]
struct Weather {
    to: u64,
    back: u64,
    is_lost: bool,
    is_away: bool,
}

fn weather() -> impl Strategy<Value = Weather> {
    let delay = || prop_oneof![4 => 1u64..300, 1 => 300u64..9_000];
    (
        delay(),
        delay(),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.15),
    )
        .prop_map(|(to, back, is_lost, is_away)| Weather {
            to,
            back,
            is_lost,
            is_away,
        })
}

struct World {
    seat: Option<Seat>,
    writes: u64,
    coordinators: Vec<Coordinator>,
    /// The most that led at once.
    most: usize,
}

impl World {
    fn new(speeds: &[u64], timing: ElectionTiming) -> Self {
        let coordinator = |(number, speed): (usize, &u64)| Coordinator {
            election: Election::start(Holder(format!("c{number}")), timing, at(0)),
            speed: *speed,
            under_way: None,
            stray: Vec::new(),
        };
        Self {
            seat: None,
            writes: 0,
            coordinators: speeds.iter().enumerate().map(coordinator).collect(),
            most: 0,
        }
    }

    fn arrive(&mut self, who: usize, step: &ElectionStep) -> Outcome {
        match step {
            ElectionStep::Write { over, .. } => {
                let known = self.seat.as_ref().map(|seat| seat.version.clone());
                if known != *over {
                    return Outcome::Write(SeatWritten::Beaten);
                }
                self.writes += 1;
                let version = SeatVersion(self.writes.to_string());
                self.seat = Some(Seat {
                    holder: Some(Holder(format!("c{who}"))),
                    version: version.clone(),
                });
                Outcome::Write(SeatWritten::Done(version))
            }
            ElectionStep::Read | ElectionStep::Wait(_) => Outcome::Read(self.seat.clone()),
        }
    }

    /// One step of 50 ms.
    fn step(&mut self, now: u64, weather: &mut impl FnMut(usize, u64) -> Weather) {
        for who in 0..self.coordinators.len() {
            let stray = std::mem::take(&mut self.coordinators[who].stray);
            for one in stray {
                if one.arrives <= now {
                    self.arrive(who, &one.step);
                } else {
                    self.coordinators[who].stray.push(one);
                }
            }
            let mut under_way = self.coordinators[who].under_way.take();
            if let Some(one) = under_way
                .as_mut()
                .filter(|one| one.outcome.is_none() && one.arrives <= now)
            {
                one.outcome = Some(self.arrive(who, &one.step));
            }
            let coordinator = &mut self.coordinators[who];
            let (local, election) = (coordinator.local(now), &mut coordinator.election);
            if let Some(one) = under_way {
                let asked = at(one.asked * coordinator.speed / 1_000);
                let is_silent = now >= one.asked + PATIENCE;
                match (&one.outcome, &one.step) {
                    (Some(outcome), _) if !one.is_lost && one.answered <= now && !is_silent => {
                        match outcome.clone() {
                            Outcome::Read(seat) => election.handle_read(seat, local),
                            Outcome::Write(written) => election.handle_written(written, asked, local),
                        }
                    }
                    (outcome, step) if is_silent => {
                        match step {
                            ElectionStep::Write { .. } => {
                                election.handle_written(SeatWritten::Unknown, asked, local);
                            }
                            ElectionStep::Read | ElectionStep::Wait(_) => election.handle_silence(local),
                        }
                        if outcome.is_none() {
                            coordinator.stray.push(one);
                        }
                    }
                    _ => coordinator.under_way = Some(one),
                }
            }
            if coordinator.under_way.is_none() {
                let step = coordinator.election.next(local);
                if !matches!(step, ElectionStep::Wait(_)) {
                    let met = weather(who, now);
                    let never = |time| if met.is_away { u64::MAX } else { time };
                    coordinator.under_way = Some(UnderWay {
                        step,
                        asked: now,
                        arrives: never(now + met.to),
                        answered: never(now + met.to + met.back),
                        is_lost: met.is_lost,
                        outcome: None,
                    });
                }
            }
        }
        self.most = self.most.max(self.leaders(now));
    }

    fn leaders(&self, now: u64) -> usize {
        let leads = |one: &&Coordinator| one.election.role(one.local(now)) == Role::Leads;
        self.coordinators.iter().filter(leads).count()
    }

    /// Ten minutes with such requests, then two without trouble.
    fn live(&mut self, mut weather: impl FnMut(usize, u64) -> Weather) {
        for now in (0..600_000).step_by(50) {
            self.step(now, &mut weather);
        }
        for now in (600_000..720_000).step_by(50) {
            self.step(now, &mut |_, _| WELL);
        }
    }
}

const WELL: Weather = Weather {
    to: 20,
    back: 20,
    is_lost: false,
    is_away: false,
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Slow, lost and stray requests, clocks of different speed: never two at once, and in the end one.
    #[test]
    fn never_do_two_lead_at_once_and_soon_one_does(
        speeds in prop::collection::vec(950u64..1_050, 2..5),
        met in prop::collection::vec(weather(), 20..200),
    ) {
        let mut world = World::new(&speeds, ElectionTiming::default());
        let mut number = 0;
        world.live(|_, _| {
            number += 1;
            met[number % met.len()]
        });
        prop_assert!(world.most <= 1, "{} led at once", world.most);
        prop_assert_eq!(world.leaders(719_950), 1);
    }
}

/// The simulation sees two leaders where the numbers let there be two.
#[test]
fn an_authority_longer_than_the_lease_would_be_seen() {
    let timing = ElectionTiming {
        authority: Duration::from_secs(40),
        ..ElectionTiming::default()
    };
    let mut world = World::new(&[1_000, 1_000], timing);
    // The first of them finds no API server for a minute.
    world.live(|who, now| Weather {
        is_away: who == 0 && (60_000..120_000).contains(&now),
        ..WELL
    });
    assert!(world.most > 1);
}
