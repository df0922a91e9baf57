use std::net::Ipv4Addr;

use mesh_proto::{Expect, Millis, Port, ProbeId};

use super::*;
use crate::test_place::mac_key;

fn job(count: u32, pacing: Pacing) -> (JobState, mpsc::UnboundedReceiver<Seen>) {
    let (seen, sightings) = mpsc::unbounded_channel();
    let probe = |id| PlannedProbe {
        id: ProbeId(id),
        kind: ProbeKind::Tcp,
        address: Ipv4Addr::LOCALHOST.into(),
        port: Port(1),
        expect: Expect::Anyone,
        flows: 1,
        tries: 1,
        interval: Micros(0),
        timeout: Millis(1),
        dns: None,
    };
    let job = Job {
        key: mac_key(),
        own: AgentIndex(0),
        agents: Vec::new().into(),
        pacing,
        sending: Sending::default(),
        probes: (0..count).map(probe).collect(),
        seen,
    };
    (JobState::new(job, Moment::default(), 7), sightings)
}

fn due(token: u64) -> Due {
    Due {
        token: Token(token),
        lane: Lane::Icmp { v6: false },
        size: 0,
    }
}

const FAST: Pacing = Pacing {
    packets_per_second: 1_000_000,
    burst: 1_000,
    spread: Millis(0),
};

fn at(millis: u64) -> Moment {
    Moment(Duration::from_millis(millis))
}

#[test]
fn what_cannot_be_tried_is_reported_and_holds_nothing_up() {
    let (mut job, mut sightings) = job(3, FAST);
    // TCP is no datagram probe.
    assert!(job.begin_next(0, &mut Sockets::default(), at(0)).is_none());
    assert!(job.is_done());
    for id in 0..3 {
        let seen = sightings.try_recv().unwrap().observation;
        assert_eq!(seen.id, ProbeId(id));
        assert!(seen.untried.is_some());
    }
}

#[test]
fn a_full_buffer_makes_it_wait_and_what_was_put_back_leaves_first() {
    let (mut job, _sightings) = job(0, FAST);
    for token in 0..4 {
        job.queue(due(token));
    }
    let first: Vec<Due> = std::iter::from_fn(|| job.next_due(at(0))).take(3).collect();
    assert!(job.waits_for_room(Errno::WOULD_BLOCK, at(0)));
    job.put_back(&first[1..]);
    assert!(job.next_due(at(0)).is_none(), "not at once");
    let again = job.may_send_at(at(0)).unwrap();
    assert!(again > at(0) && again <= at(2));
    let rest: Vec<u64> = std::iter::from_fn(|| job.next_due(again))
        .map(|due| due.token.0)
        .collect();
    assert_eq!(rest, [1, 2, 3]);
}

#[test]
fn a_lack_of_room_that_lasts_is_a_refusal() {
    for (errno, patience) in [(Errno::WOULD_BLOCK, FULL_BUFFER), (Errno::NO_BUFFERS, FULL_QUEUE)] {
        let (mut job, _sightings) = job(0, FAST);
        assert!(job.waits_for_room(errno, at(0)));
        assert!(job.waits_for_room(errno, at(0) + patience / 2));
        assert!(!job.waits_for_room(errno, at(0) + patience), "{errno}");
        job.left();
        assert!(
            job.waits_for_room(errno, at(0) + patience * 2),
            "one that left ends it"
        );
    }
    let (mut job, _sightings) = job(0, FAST);
    assert!(!job.waits_for_room(Errno::NOT_PERMITTED, at(0)));
}
