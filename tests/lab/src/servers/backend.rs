//! What the NodePorts lead to: it accepts and echoes TCP, and echoes UDP.

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use tokio::task::AbortHandle;

/// A client that neither speaks nor goes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves on the current runtime.
pub(super) fn serve(udp: UdpSocket, tcp: TcpListener) -> io::Result<[AbortHandle; 2]> {
    let udp = tokio::net::UdpSocket::from_std(udp)?;
    let tcp = tokio::net::TcpListener::from_std(tcp)?;
    let datagrams = tokio::spawn(async move {
        let mut buffer = vec![0; 65_535];
        loop {
            // An error belongs to an earlier answer whose asker is gone.
            if let Ok((len, from)) = udp.recv_from(&mut buffer).await {
                let _ = udp.send_to(&buffer[..len], from).await;
            }
        }
    });
    let connections = tokio::spawn(async move {
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
    Ok([datagrams.abort_handle(), connections.abort_handle()])
}
