//! Whether the agent got the CPU that it needed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_proto::{Millis, Starvation};

use crate::datagram::DatagramEngine;
use crate::moment::Clock;
use crate::pacer::next_tick;

/// Watches over the runtime while a plan runs. The task that measures ends when the watch is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    seen: Arc<Mutex<Starvation>>,
    task: tokio::task::AbortHandle,
    engine: DatagramEngine,
    dropped_before: u32,
}

const TICK: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_millis(200);
/// So late that a try may have timed out meanwhile.
const SERIOUS: Millis = Millis(1_000);

impl Watch {
    /// Starts to measure.
    pub(crate) fn start(clock: Clock, engine: &DatagramEngine) -> Self {
        let seen = Arc::new(Mutex::new(Starvation::default()));
        let shared = seen.clone();
        let task = tokio::spawn(async move {
            loop {
                let due = next_tick(clock.now(), TICK);
                tokio::time::sleep_until(clock.instant(due)).await;
                let late = clock.now().since(due);
                if late > LATE {
                    let mut seen = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.late_wakeups += 1;
                    seen.longest = seen
                        .longest
                        .max(Millis(u32::try_from(late.as_millis()).unwrap_or(u32::MAX)));
                }
            }
        });
        Self {
            seen,
            task: task.abort_handle(),
            engine: engine.clone(),
            dropped_before: engine.dropped(),
        }
    }

    /// What was measured so far.
    pub(crate) fn so_far(&self) -> Starvation {
        Starvation {
            dropped_by_socket: self.engine.dropped().wrapping_sub(self.dropped_before),
            ..*self.seen.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// Whether silence may be our own fault.
    pub(crate) fn is_serious(&self) -> bool {
        let so_far = self.so_far();
        so_far.longest >= SERIOUS || so_far.dropped_by_socket > 0
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
