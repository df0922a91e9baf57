use proptest::prelude::*;

use super::*;

const CONFIG: EchoConfig = EchoConfig {
    id: ProbeId(1),
    flows: 4,
    tries: 3,
    interval: Duration::from_millis(40),
    timeout: Duration::from_millis(3_500),
};

/// Runs a probe in virtual time. `fate` says what becomes of a try: its flow and number decide.
fn run(config: EchoConfig, mut fate: impl FnMut(Transmit) -> Fate) -> (Observation, Duration) {
    let mut now = Moment(Duration::from_secs(100));
    let begin = now;
    let mut probe = EchoProbe::start(config, now);
    let mut coming: Vec<(Moment, u32, Fate)> = Vec::new();
    loop {
        coming.sort_by_key(|(at, ..)| *at);
        while coming.first().is_some_and(|(at, ..)| *at <= now) {
            let (_, number, fate) = coming.remove(0);
            match fate {
                Fate::Answer(rtt) => probe.handle_answer(number, rtt),
                Fate::Fail(reason) => probe.handle_failure(number, Failure::new(reason)),
                Fate::Vanish => {}
            }
        }
        while let Some(transmit) = probe.poll_transmit(now) {
            probe.handle_sent(transmit.number, now);
            let fate = fate(transmit);
            let delay = match fate {
                Fate::Answer(rtt) => rtt,
                _ => Duration::from_millis(1),
            };
            coming.push((now + delay, transmit.number, fate));
        }
        probe.handle_timeout(now);
        let Some(deadline) = probe.next_deadline() else {
            break;
        };
        let next = coming
            .iter()
            .map(|(at, ..)| *at)
            .chain([deadline])
            .min()
            .unwrap_or(deadline);
        now = now.max(next);
        assert!(now.since(begin) < Duration::from_mins(1), "it never ends");
    }
    (probe.observation(|flow| 50_000 + flow), now.since(begin))
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    Answer(Duration),
    Fail(Reason),
    Vanish,
}

const FAST: Fate = Fate::Answer(Duration::from_micros(200));

#[test]
fn a_whole_path_ends_as_soon_as_the_last_answer_is_there() {
    let (seen, took) = run(CONFIG, |_| FAST);
    assert_eq!((seen.sent, seen.received), (12, 12));
    assert!(seen.incomplete_flows.is_empty() && seen.failure.is_none());
    assert!(took < Duration::from_millis(100), "{took:?}");
}

#[test]
fn a_dead_path_costs_one_time_out() {
    let (seen, took) = run(CONFIG, |_| Fate::Vanish);
    assert_eq!((seen.sent, seen.received), (12 + 4, 0), "each flow once more");
    assert_eq!(seen.failure.map(|failure| failure.reason), Some(Reason::Timeout));
    assert!(took <= CONFIG.timeout + CONFIG.interval * 3, "{took:?}");
}

#[test]
fn a_path_that_wakes_up_within_a_second_is_not_dead() {
    let (seen, took) = run(CONFIG, |of| if of.number < 12 { Fate::Vanish } else { FAST });
    assert!(seen.received * 2 > seen.sent, "{seen:?}");
    assert!(took < CONFIG.timeout, "{took:?}");
}

#[test]
fn a_path_that_rejects_is_not_waited_for_and_its_error_outweighs_silence() {
    let (seen, took) = run(CONFIG, |of| {
        if of.number == 0 {
            Fate::Fail(Reason::AdminProhibited)
        } else {
            Fate::Vanish
        }
    });
    assert_eq!(
        seen.failure.map(|failure| failure.reason),
        Some(Reason::AdminProhibited)
    );
    assert!(took < Duration::from_millis(1_500), "{took:?}");
}

#[test]
fn a_flow_that_never_comes_through_is_tried_nine_times_and_named_by_its_port() {
    let (seen, _) = run(CONFIG, |of| if of.flow == 2 { Fate::Vanish } else { FAST });
    assert_eq!(
        seen.incomplete_flows,
        [FlowTally {
            source_port: 50_002,
            sent: 9,
            received: 0
        }]
    );
}

#[test]
fn one_lost_try_is_followed_by_more_of_its_flow_only() {
    let mut first = true;
    let (seen, _) = run(CONFIG, |_| {
        if std::mem::take(&mut first) {
            Fate::Vanish
        } else {
            FAST
        }
    });
    assert_eq!(seen.incomplete_flows.len(), 1);
    assert!(seen.incomplete_flows[0].received >= 2);
    assert!(seen.sent > 12 && seen.received >= seen.sent - 1);
}

#[test]
fn a_slow_answer_is_not_a_lost_one() {
    let slow = Fate::Answer(Duration::from_millis(900));
    let (seen, _) = run(CONFIG, |_| slow);
    assert_eq!((seen.sent, seen.received), (12, 12));
}

proptest! {
    #[test]
    fn a_tenth_of_loss_each_way_is_never_a_dead_flow_and_the_counts_add_up(seed in any::<u64>()) {
        let mut state = seed | 1;
        let (seen, took) = run(CONFIG, |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if state >> 33 & 0xffff < 0x3000 { Fate::Vanish } else { FAST }
        });
        prop_assert!(seen.received <= seen.sent && seen.sent <= 36);
        let lost: u32 = seen.incomplete_flows.iter().map(|flow| flow.sent - flow.received).sum();
        prop_assert_eq!(lost, seen.sent - seen.received);
        prop_assert!(took < Duration::from_secs(12));
        let dead = seen.incomplete_flows.iter().any(|flow| flow.received == 0 && flow.sent < 9);
        prop_assert!(!dead || seen.received == 0, "a flow is given up before nine tries");
    }
}
