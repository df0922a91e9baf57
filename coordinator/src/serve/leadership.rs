//! Who leads, of the coordinators of one installation: drives `mesh_core::Election` over a Lease.
//!
//! One task owns election and Lease; whoever wants to know reads the last standing from a `watch` channel. Dropping
//! [`Leadership`] ends the task, and the Lease runs out by itself; [`Leadership::resign`] gives it back.

use std::net::SocketAddr;

use jiff::Timestamp;
use mesh_core::{
    Election, ElectionStep, ElectionTiming, Holder, Moment, Role, Seat, SeatVersion, SeatWritten,
};
use mesh_kube::{SeatError, SeatLease, SeatState, SeatTaken};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::cli;
use crate::drive::{Clock, Interrupt};

/// What a coordinator is, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// There is no other, as far as it was told.
    Alone,
    Follows(Option<Leader>),
    Leads {
        since: Timestamp,
    },
    /// It led, and cannot renew: it looks on, and changes nothing in the cluster.
    CutOff {
        since: Timestamp,
    },
}

/// Who leads instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) name: String,
    /// Where it serves, if it says so.
    pub(crate) address: Option<SocketAddr>,
}

impl Standing {
    /// Whether it should look.
    pub(crate) fn looks(&self) -> bool {
        !matches!(self, Self::Follows(_))
    }

    /// Whether it may change anything in the cluster.
    pub(crate) fn may_write(&self) -> bool {
        matches!(self, Self::Alone | Self::Leads { .. })
    }

    /// What whoever reads its words should know of it.
    pub(crate) fn note(&self) -> Option<String> {
        let Self::CutOff { since } = self else {
            return None;
        };
        Some(format!(
            "this coordinator has not been able to renew its lease since {since:.0}: it goes on looking and writes nothing to \
             the cluster; another one may lead by now"
        ))
    }
}

/// An election that goes on.
#[derive(Debug)]
pub(crate) struct Leadership {
    standing: watch::Receiver<Standing>,
    resign: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Leadership {
    /// Begins as a follower.
    pub(crate) fn start(
        lease: SeatLease,
        me: String,
        timing: ElectionTiming,
        tell: watch::Sender<Standing>,
    ) -> Self {
        tell.send_replace(Standing::Follows(None));
        let (resign, resigned) = oneshot::channel();
        let standing = tell.subscribe();
        let clock = Clock::start();
        let campaign = Campaign {
            election: Election::start(Holder(me.clone()), timing, clock.now()),
            lease,
            me,
            clock,
            tell,
            address: None,
            is_well: true,
        };
        Self {
            standing,
            resign,
            task: tokio::spawn(campaign.run(resigned)),
        }
    }

    /// Waits until this coordinator leads; whether it does, or somebody interrupts.
    pub(crate) async fn wait_to_lead(&mut self, interrupt: &mut Interrupt) -> bool {
        tokio::select! {
            biased;
            () = interrupt.wait() => false,
            // The task ends with this only.
            standing = self.standing.wait_for(Standing::looks) => standing.is_ok(),
        }
    }

    /// Comes when a signal does, or when somebody else leads. It lives as long as what it gives.
    pub(crate) fn until_deposed(&self, interrupt: &Interrupt) -> (Interrupt, Deposed) {
        let (tell, came) = watch::channel(false);
        let (mut interrupt, mut standing) = (interrupt.clone(), self.standing.clone());
        let task = tokio::spawn(async move {
            tokio::select! {
                () = interrupt.wait() => {}
                _ = standing.wait_for(|standing| !standing.looks()) => {}
            }
            tell.send_replace(true);
        });
        (Interrupt::of(came), Deposed(task))
    }

    /// Gives the Lease back, if this coordinator holds it, so that the next one need not wait.
    pub(crate) async fn resign(self) {
        // The task ends by itself after this; it waits for the API server no longer than a request may take.
        if self.resign.send(()).is_ok() {
            let _ = self.task.await;
        }
    }
}

/// Ends the task that waits for it.
#[derive(Debug)]
pub(crate) struct Deposed(JoinHandle<()>);

impl Drop for Deposed {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Campaign {
    election: Election,
    lease: SeatLease,
    me: String,
    clock: Clock,
    tell: watch::Sender<Standing>,
    /// Of whoever holds the Lease.
    address: Option<SocketAddr>,
    /// The last request was answered.
    is_well: bool,
}

impl Campaign {
    async fn run(mut self, mut resigned: oneshot::Receiver<()>) {
        while self.turn(&mut resigned).await {}
        if let Some(SeatVersion(version)) = self.election.resign() {
            match self.lease.give_back(&version).await {
                Ok(SeatTaken::Done(_)) => cli::tell("the lease is given back"),
                Ok(SeatTaken::Beaten) => {}
                Err(error) => cli::tell(format!(
                    "the lease is not given back, and runs out by itself: {error}"
                )),
            }
        }
    }

    /// One step; false when it is to resign.
    async fn turn(&mut self, resigned: &mut oneshot::Receiver<()>) -> bool {
        self.publish();
        let now = self.clock.now();
        match self.election.next(now) {
            ElectionStep::Wait(at) => {
                let at = self.election.role_ends(now).map_or(at, |ends| at.min(ends));
                tokio::select! {
                    () = tokio::time::sleep_until(self.clock.instant(at)) => {}
                    // Whoever dropped the sender has aborted this task as well, or is about to.
                    _ = resigned => return false,
                }
            }
            ElectionStep::Read => {
                let (ends, tell) = (self.ends(now), self.tell.clone());
                let read = heed(self.lease.read(), ends, self.clock, &tell).await;
                let now = self.clock.now();
                match read {
                    Ok(state) => {
                        self.well();
                        self.address = state.as_ref().and_then(|state| state.address);
                        self.election.handle_read(state.map(seat), now);
                    }
                    Err(error) => {
                        self.ill(&error);
                        self.election.handle_silence(now);
                    }
                }
            }
            ElectionStep::Write { over, .. } => {
                let (ends, tell) = (self.ends(now), self.tell.clone());
                let over = over.as_ref().map(|version| version.0.as_str());
                let taken = heed(self.lease.take(over), ends, self.clock, &tell).await;
                let written = match taken {
                    Ok(SeatTaken::Done(version)) => {
                        self.well();
                        SeatWritten::Done(SeatVersion(version))
                    }
                    Ok(SeatTaken::Beaten) => SeatWritten::Beaten,
                    Err(error) => {
                        self.ill(&error);
                        SeatWritten::Unknown
                    }
                };
                self.election.handle_written(written, now, self.clock.now());
            }
        }
        true
    }

    fn ends(&self, now: Moment) -> Option<Moment> {
        self.election.role_ends(now)
    }

    fn publish(&mut self) {
        let role = self.election.role(self.clock.now());
        let before = self.tell.borrow().clone();
        let standing = match (role, &before) {
            (Role::Leads, Standing::Leads { .. }) | (Role::CutOff(_), Standing::CutOff { .. }) => return,
            (Role::Leads, _) => Standing::Leads {
                since: Timestamp::now(),
            },
            (Role::CutOff(_), _) => return cut_off(&self.tell),
            (Role::Follows(holder), _) => Standing::Follows(holder.map(|Holder(name)| Leader {
                name,
                address: self.address,
            })),
        };
        if standing == before {
            return;
        }
        match &standing {
            Standing::Alone | Standing::CutOff { .. } => {}
            Standing::Leads { .. } => cli::tell(format_args!("{} leads", self.me)),
            Standing::Follows(Some(leader)) => cli::tell(format_args!("{} follows {}", self.me, leader.name)),
            Standing::Follows(None) => cli::tell(format_args!("{} follows nobody yet", self.me)),
        }
        self.tell.send_replace(standing);
    }

    fn well(&mut self) {
        self.is_well = true;
    }

    /// An API server that is away stays so for a while: it is said once.
    fn ill(&mut self, error: &SeatError) {
        if std::mem::replace(&mut self.is_well, false) {
            cli::tell(error);
        }
    }
}

/// Does it, and tells in time that authority has ended meanwhile.
async fn heed<T>(
    work: impl Future<Output = T>,
    ends: Option<Moment>,
    clock: Clock,
    tell: &watch::Sender<Standing>,
) -> T {
    let mut work = std::pin::pin!(work);
    if let Some(ends) = ends {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep_until(clock.instant(ends)) => {
                cut_off(tell);
            }
        }
    }
    work.await
}

fn cut_off(tell: &watch::Sender<Standing>) {
    cli::tell("the lease cannot be renewed: this coordinator looks on, and writes nothing to the cluster");
    tell.send_replace(Standing::CutOff {
        since: Timestamp::now(),
    });
}

fn seat(state: SeatState) -> Seat {
    Seat {
        holder: state.holder.map(Holder),
        version: SeatVersion(state.version),
    }
}
