//! The runs that an agent takes part in: their keys, who else does, and what came in from whom.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_proto::wire::Prepare;
use mesh_proto::{AgentIndex, AgentKey, ProbeKind, Tally};
use tokio::sync::watch;

use crate::echo_packet::{MacKey, Request, read_request};
use crate::moment::Moment;

/// One run, for those who work on it.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) key: MacKey,
    pub(crate) own: AgentIndex,
    pub(crate) agents: Arc<[AgentKey]>,
    stopped: watch::Receiver<bool>,
}

/// All runs, a few at the most.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    by_id: BTreeMap<String, Open>,
}

/// A run in the table.
#[derive(Debug)]
struct Open {
    run: Run,
    stop: watch::Sender<bool>,
    used: Moment,
    received: BTreeMap<(AgentIndex, ProbeKind), u64>,
}

/// More than one operator will start by mistake; each costs a MAC per request that comes in.
const MOST: usize = 8;
/// A coordinator that was killed sends no Stop.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(10);

impl Run {
    /// Waits until the coordinator ends the run. Plans of a run that was merely forgotten go on.
    pub(crate) async fn stopped(&self) {
        if self.stopped.clone().wait_for(|stopped| *stopped).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Runs {
    /// Opens a run. The one that was not used for longest makes room.
    pub(crate) fn open(&mut self, prepare: Prepare, now: Moment) {
        self.by_id
            .retain(|_, open| now.since(open.used) < FORGOTTEN_AFTER);
        while self.by_id.len() >= MOST && !self.by_id.contains_key(&prepare.run_id) {
            let oldest = self
                .by_id
                .iter()
                .min_by_key(|(_, open)| open.used)
                .map(|(id, _)| id.clone());
            let Some(oldest) = oldest else { break };
            self.by_id.remove(&oldest);
        }
        let (stop, stopped) = watch::channel(false);
        let run = Run {
            key: MacKey::new(&prepare.key),
            own: prepare.own,
            agents: prepare.agents.into(),
            stopped,
        };
        let open = Open {
            run,
            stop,
            used: now,
            received: BTreeMap::new(),
        };
        self.by_id.insert(prepare.run_id, open);
    }

    /// A run that was opened and not forgotten.
    pub(crate) fn get(&mut self, id: &str, now: Moment) -> Option<Run> {
        let open = self.by_id.get_mut(id)?;
        open.used = now;
        Some(open.run.clone())
    }

    /// Ends a run and its plans, and forgets it; what it received from whom.
    pub(crate) fn close(&mut self, id: &str) -> Option<Vec<Tally>> {
        let open = self.by_id.remove(id)?;
        open.stop.send_replace(true);
        let tally = |((from, kind), requests)| Tally { from, kind, requests };
        Some(open.received.into_iter().map(tally).collect())
    }

    /// The request in a packet, if one of the runs' agents sent it, with the run's key. It is counted.
    pub(crate) fn admit(&mut self, packet: &[u8], now: Moment) -> Option<(Request, MacKey)> {
        for open in self.by_id.values_mut() {
            if let Some(request) = read_request(packet, &open.run.key) {
                let known = usize::try_from(request.from.0).is_ok_and(|from| from < open.run.agents.len());
                if !known {
                    return None;
                }
                open.used = now;
                // What came by way of a service says nothing of the path between two agents, and what was asked in a second
                // look is compared with nothing.
                if !request.uncounted {
                    *open.received.entry((request.from, request.kind)).or_default() += 1;
                }
                return Some((request, open.run.key.clone()));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use mesh_proto::wire::RunKey;

    use super::*;
    use crate::echo_packet::{REQUEST_LEN, Token, write_request};

    fn prepare(id: usize) -> Prepare {
        let key = AgentKey {
            node: "n".parse().unwrap(),
            plane: mesh_proto::Plane::Pod,
        };
        let byte = u8::try_from(id).unwrap();
        Prepare {
            run_id: id.to_string(),
            key: RunKey([byte; 32]),
            own: AgentIndex(0),
            agents: vec![key],
        }
    }

    fn request(byte: u8, from: u32) -> [u8; REQUEST_LEN] {
        let mut packet = [0; REQUEST_LEN];
        let request = Request {
            token: Token(1),
            from: AgentIndex(from),
            kind: ProbeKind::Udp,
            uncounted: false,
        };
        write_request(&mut packet, &MacKey::new(&RunKey([byte; 32])), request);
        packet
    }

    #[test]
    fn only_agents_of_an_open_run_are_admitted_and_counted() {
        let now = Moment::default();
        let mut runs = Runs::default();
        runs.open(prepare(1), now);
        assert!(runs.admit(&request(1, 0), now).is_some());
        assert!(runs.admit(&request(2, 0), now).is_none(), "another key");
        assert!(runs.admit(&request(1, 5), now).is_none(), "nobody of the run");
        let tally = Tally {
            from: AgentIndex(0),
            kind: ProbeKind::Udp,
            requests: 1,
        };
        assert_eq!(runs.close("1"), Some(vec![tally]));
        assert!(runs.admit(&request(1, 0), now).is_none(), "closed");
        assert_eq!(runs.close("1"), None);
    }

    #[test]
    fn runs_are_few_and_are_forgotten() {
        let at = |seconds| Moment(Duration::from_secs(seconds));
        let mut runs = Runs::default();
        for id in 0..=MOST {
            runs.open(prepare(id), at(id as u64));
        }
        assert!(runs.get("0", at(20)).is_none(), "the oldest made room");
        assert!(runs.get("1", at(20)).is_some());
        runs.open(prepare(99), at(20 + FORGOTTEN_AFTER.as_secs()));
        assert!(runs.get("1", at(700)).is_none(), "forgotten");
    }

    #[tokio::test]
    async fn a_run_ends_when_it_is_closed_and_not_when_it_is_forgotten() {
        use futures_util::FutureExt as _;

        let mut runs = Runs::default();
        runs.open(prepare(1), Moment::default());
        let run = runs.get("1", Moment::default()).unwrap();
        assert_eq!(run.stopped().now_or_never(), None);
        runs.open(prepare(2), Moment(FORGOTTEN_AFTER));
        assert!(runs.get("1", Moment(FORGOTTEN_AFTER)).is_none());
        assert_eq!(run.stopped().now_or_never(), None);

        let run = runs.get("2", Moment(FORGOTTEN_AFTER)).unwrap();
        runs.close("2").unwrap();
        assert_eq!(run.stopped().now_or_never(), Some(()));
    }
}
