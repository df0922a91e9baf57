use std::collections::BTreeMap;

use mesh_proto::{Expect, ProbeKind};
use proptest::prelude::*;

use super::super::sockets::Sockets;
use super::*;
use crate::moment::Moment;
use crate::test_place::{at, probe};

/// A probe that needs no socket.
fn of_job(job: u64) -> Probe {
    let mut planned = probe(ProbeKind::Udp, at("127.0.0.1:9"), Expect::Anyone);
    planned.flows = 0;
    Probe::start(job, &planned, &mut Sockets::default(), Moment::default()).unwrap()
}

proptest! {
    #[test]
    fn a_token_finds_its_probe_as_long_as_it_is_under_way(
        salt in any::<u64>(), steps in prop::collection::vec((any::<bool>(), 0..1_000_usize, any::<u16>()), 1..60),
    ) {
        let mut under_way = UnderWay::new(salt);
        // What a map of all tokens that were ever given out says: of which probe, and whether it is still there.
        let mut places: Vec<(Place, u64)> = Vec::new();
        let mut tokens: BTreeMap<Token, (Place, u64, u32, bool)> = BTreeMap::new();
        for (job, (begins, which, number)) in (0..).zip(steps) {
            if begins || places.is_empty() {
                let place = under_way.insert(of_job(job));
                prop_assert!(places.iter().all(|(other, _)| *other != place));
                places.push((place, job));
                let token = under_way.token(place, number.into());
                prop_assert_eq!(tokens.insert(token, (place, job, number.into(), true)), None, "no token twice");
            } else {
                let (place, job) = places.swap_remove(which % places.len());
                prop_assert_eq!(under_way.of_job(job), vec![place]);
                prop_assert_eq!(under_way.remove(place).map(|probe| probe.job), Some(job));
                prop_assert!(under_way.remove(place).is_none());
                for (_, of, _, is_there) in tokens.values_mut() {
                    *is_there &= *of != job;
                }
            }
            for (token, (place, job, number, is_there)) in &tokens {
                let found = under_way.find(*token).map(|(place, number, probe)| (place, number, probe.job));
                prop_assert_eq!(found, is_there.then_some((*place, *number, *job)));
            }
        }
    }

    #[test]
    fn any_number_is_looked_up_without_harm(salt in any::<u64>(), token in any::<u64>()) {
        let mut under_way = UnderWay::new(salt);
        let place = under_way.insert(of_job(1));
        let own = under_way.token(place, 0).0 >> 16 == token >> 16;
        prop_assert!(own || under_way.find(Token(token)).is_none());
    }
}
