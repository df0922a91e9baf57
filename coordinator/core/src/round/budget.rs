//! Whether a look fits the time that it has, and what would.

use mesh_proto::Millis;

use super::Round;
use crate::{Peers, Rotation};

/// A look that cannot end in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// How long its packets take to leave, at the pace that agents may have.
    pub needs: Millis,
    /// With so many peers a node it would end in time; `None` where no number of peers is enough.
    pub fitting: Option<Fitting>,
}

/// Looks at a part of the pairs each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fitting {
    /// Other nodes that each node probes.
    pub peers: usize,
    /// So many such looks cover every pair.
    pub looks: usize,
}

/// Fewer peers tell too little.
const LEAST_PEERS: usize = 4;

impl Round {
    /// What is wrong with the time that a look has; `None` where it is enough. Some of it is left for answers.
    pub fn shortage(&self, time: Millis) -> Option<Shortage> {
        let needs = self.spread;
        let time = u64::from(time.0.saturating_sub(self.options.timeout.0));
        if u64::from(needs.0) <= time {
            return None;
        }
        let probed = match &self.rotation {
            Some(rotation) => rotation.count(),
            None => self.roster.nodes.len().saturating_sub(1),
        };
        // What is sent is in proportion to the peers, but for a little. A fifth is kept back for it.
        let peers = usize::try_from(probed as u64 * time * 4 / 5 / u64::from(needs.0.max(1))).unwrap_or(0);
        let fitting = (peers >= LEAST_PEERS).then(|| {
            Rotation::new(
                &self.roster.nodes,
                Peers {
                    count: peers,
                    turn: 0,
                },
            )
        });
        Some(Shortage {
            needs,
            fitting: fitting.flatten().map(|rotation| Fitting {
                peers,
                looks: rotation.looks(),
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PlanOptions;
    use crate::world::World;

    fn round(packets_per_second: u32, peers: Option<usize>) -> Round {
        let usual = PlanOptions::default();
        let pacing = mesh_proto::Pacing {
            packets_per_second,
            ..usual.pacing
        };
        let peers = peers.map(|count| Peers { count, turn: 0 });
        Round::plan(
            World::healthy(60).roster(),
            &PlanOptions {
                pacing,
                peers,
                ..usual
            },
        )
    }

    #[test]
    fn a_look_that_takes_too_long_is_said_to_and_what_would_fit_fits() {
        let time = Millis(300_000);
        assert_eq!(round(4_000, None).shortage(time), None);
        let slow = round(5, None).shortage(time).unwrap();
        assert!(slow.needs > time, "{slow:?}");
        let Fitting { peers, looks } = slow.fitting.unwrap();
        assert!((4..59).contains(&peers) && looks > 1);
        assert_eq!(round(5, Some(peers)).shortage(time), None, "{peers} peers fit");
        assert_eq!(round(5, Some(2 * peers)).shortage(time).is_some(), 2 * peers < 59);
        let hopeless = round(1, None).shortage(Millis(10_000)).unwrap();
        assert_eq!(hopeless.fitting, None);
    }
}
