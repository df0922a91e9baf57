use proptest::prelude::*;

use super::*;

const CONFIG: PathMtuConfig = PathMtuConfig {
    id: ProbeId(1),
    full: 1_500,
    smallest: 338,
    copies: 2,
    interval: Duration::from_millis(40),
    timeout: Duration::from_millis(3_500),
};

enum Fate {
    Passes,
    Vanishes,
    TooBig(u32),
}

/// Runs a probe in virtual time; answers take a millisecond.
fn run(config: PathMtuConfig, mut fate: impl FnMut(u32) -> Fate) -> (Observation, Duration) {
    let mut now = Moment(Duration::from_secs(5));
    let begin = now;
    let mut probe = PathMtuProbe::start(config, now);
    let mut coming: Vec<(Moment, u32, Fate)> = Vec::new();
    loop {
        for (_, number, fate) in coming.extract_if(.., |(at, ..)| *at <= now) {
            match fate {
                Fate::Passes => probe.handle_answer(number, Duration::from_millis(1)),
                Fate::TooBig(size) => probe.handle_failure(number, Failure::new(Reason::TooBig), Some(size)),
                Fate::Vanishes => {}
            }
        }
        probe.handle_timeout(now);
        while let Some(transmit) = probe.poll_transmit(now) {
            probe.handle_sent(transmit.number, now);
            coming.push((
                now + Duration::from_millis(1),
                transmit.number,
                fate(transmit.size),
            ));
        }
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
    (probe.observation(), now.since(begin))
}

#[test]
fn a_path_that_takes_what_the_device_takes_is_done_at_once() {
    let (seen, took) = run(CONFIG, |_| Fate::Passes);
    assert_eq!(
        seen.path_mtu,
        Some(PathMtu {
            largest: 1_500,
            tried: 1_500,
            told: false
        })
    );
    assert_eq!(seen.failure, None);
    assert!(took < Duration::from_millis(50), "{took:?}");
}

#[test]
fn a_smaller_path_of_which_the_kernel_is_told_is_reachable() {
    let (seen, took) = run(CONFIG, |size| {
        if size > 1_450 {
            Fate::TooBig(1_450)
        } else {
            Fate::Passes
        }
    });
    assert_eq!(
        seen.path_mtu,
        Some(PathMtu {
            largest: 1_450,
            tried: 1_500,
            told: true
        })
    );
    assert_eq!(seen.failure, None);
    assert!(took < Duration::from_millis(100), "{took:?}");
}

#[test]
fn a_path_that_is_dead_is_a_time_out_without_a_size() {
    let (seen, took) = run(CONFIG, |_| Fate::Vanishes);
    assert_eq!(seen.path_mtu, None);
    assert_eq!(seen.failure.map(|failure| failure.reason), Some(Reason::Timeout));
    assert!(took < CONFIG.timeout + Duration::from_millis(200), "{took:?}");
}

#[test]
fn one_lost_large_packet_is_no_black_hole() {
    let mut lost = 0;
    let (seen, _) = run(CONFIG, |size| {
        lost += u32::from(size == 1_500);
        if size == 1_500 && lost <= 2 {
            Fate::Vanishes
        } else {
            Fate::Passes
        }
    });
    assert_eq!(seen.failure, None);
}

proptest! {
    #[test]
    fn a_black_hole_is_found_to_the_byte_within_three_seconds(limit in 338_u32..1_500, full in 1_500_u32..9_001) {
        let (seen, took) = run(PathMtuConfig { full, ..CONFIG }, |size| {
            if size > limit { Fate::Vanishes } else { Fate::Passes }
        });
        prop_assert_eq!(seen.path_mtu, Some(PathMtu { largest: limit, tried: full, told: false }));
        prop_assert_eq!(seen.failure.map(|failure| failure.reason), Some(Reason::Timeout));
        prop_assert!(took < Duration::from_secs(3), "{:?}", took);
    }

    #[test]
    fn an_error_that_a_limited_rate_held_back_tells_as_well(limit in 338_u32..1_499, silent in 0..6_u32) {
        let mut too_big = 0;
        let (seen, _) = run(CONFIG, |size| {
            if size <= limit {
                return Fate::Passes;
            }
            too_big += 1;
            if too_big <= silent { Fate::Vanishes } else { Fate::TooBig(limit) }
        });
        prop_assert_eq!(seen.path_mtu, Some(PathMtu { largest: limit, tried: 1_500, told: true }));
        prop_assert_eq!(seen.failure, None);
    }

    #[test]
    fn it_ends_whatever_the_network_says(answers in prop::collection::vec(0..4_u8, 1..200)) {
        let mut next = answers.iter().cycle();
        let (seen, _) = run(CONFIG, |size| match next.next() {
            Some(0) => Fate::Passes,
            Some(1) => Fate::TooBig(size.saturating_sub(1)),
            Some(2) => Fate::TooBig(0),
            _ => Fate::Vanishes,
        });
        prop_assert!(seen.received <= seen.sent);
    }
}
