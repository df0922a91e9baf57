//! What the NodePorts lead to: it accepts and echoes TCP, and echoes UDP.

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A client that neither speaks nor goes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Accepts and echoes on the current runtime, for its life.
pub(super) fn accept(tcp: TcpListener) -> io::Result<()> {
    let tcp = tokio::net::TcpListener::from_std(tcp)?;
    tokio::spawn(async move {
        loop {
            if let Ok((mut stream, _)) = tcp.accept().await {
                tokio::spawn(tokio::time::timeout(PATIENCE, async move {
                    let (mut read, mut write) = stream.split();
                    // The client breaks off when it has what it wants.
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                }));
            }
        }
    });
    Ok(())
}

/// An echo of datagrams on a thread of its own: all agents ask it, and on a busy machine its socket's buffer holds a
/// fraction of a second only. Ends when dropped.
#[derive(Debug)]
pub(super) struct Echo {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How soon its thread sees that it is to end.
const LOOK: Duration = Duration::from_millis(20);

impl Echo {
    pub(super) fn start(udp: UdpSocket) -> io::Result<Self> {
        udp.set_nonblocking(false)?;
        udp.set_read_timeout(Some(LOOK))?;
        let ended = Arc::new(AtomicBool::new(false));
        let told = ended.clone();
        let thread = std::thread::Builder::new()
            .name("lab-echo".to_owned())
            .spawn(move || {
                let mut buffer = vec![0; 65_535];
                while !told.load(Ordering::Relaxed) {
                    // An error is a look at the clock, or belongs to an earlier answer whose asker is gone.
                    if let Ok((len, from)) = udp.recv_from(&mut buffer) {
                        let _ = udp.send_to(&buffer[..len], from);
                    }
                }
            })?;
        Ok(Self {
            ended,
            thread: Some(thread),
        })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in it was told already.
            let _ = thread.join();
        }
    }
}
