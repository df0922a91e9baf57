//! Ctrl-C, SIGTERM, SIGHUP: the first ends the run in order, the second at once.
//!
//! A thread of its own listens, with a runtime of its own: a run that is busy judging, or stuck in a write to a pipe that
//! nobody reads, must still be ended by the second signal. The thread lives as long as the process.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::exit_code::ExitCode;

/// Tells that a signal came. Clones see the same signals.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt {
    came: watch::Receiver<bool>,
}

impl Interrupt {
    /// Begins to listen, once in the life of the process. From here on a signal does not end the process by itself.
    ///
    /// It starts a thread: call it after anything that needs the process to have one only.
    pub(crate) fn listen() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        // The handlers stand before this returns, so that no signal falls in between.
        let signals = runtime.block_on(async { Signals::install() })?;
        let (tell, came) = watch::channel(false);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || runtime.block_on(listen(signals, tell)))?;
        Ok(Self { came })
    }

    /// Whether one came.
    pub(crate) fn came(&self) -> bool {
        *self.came.borrow()
    }

    /// Waits for the first; at once if it came before. Safe to drop and call again.
    pub(crate) async fn wait(&mut self) {
        if self.came.wait_for(|came| *came).await.is_err() {
            // Nobody listens any more, so none will come.
            std::future::pending::<()>().await;
        }
    }

    /// One that somebody else tells of: it came when this is true.
    pub(crate) fn of(came: watch::Receiver<bool>) -> Self {
        Self { came }
    }

    /// For tests: a signal by hand.
    #[cfg(test)]
    pub(crate) fn by_hand() -> (watch::Sender<bool>, Self) {
        let (tell, came) = watch::channel(false);
        (tell, Self { came })
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

async fn listen(mut signals: Signals, tell: watch::Sender<bool>) {
    signals.next().await;
    tell.send_replace(true);
    signals.next().await;
    // What has to be gone with this process dies with it; nothing here is worth a third signal.
    std::process::exit(i32::from(ExitCode::Interrupted.number()));
}
