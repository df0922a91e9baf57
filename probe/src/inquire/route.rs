//! Which way the kernel would send: nothing leaves the machine.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use mesh_net::Errno;
use mesh_proto::{LocalError, RouteChosen};

use crate::facts::route_to;
use crate::way::any_address;

/// Connecting a UDP socket sends nothing. The port (discard, RFC 863) only matters to rules of policy routing that look
/// at ports.
const DISCARD: u16 = 9;

/// What the kernel chooses for a packet to this address: its source, and its route.
pub(super) async fn choose(target: IpAddr) -> RouteChosen {
    let (source, error) = match source(target) {
        Ok(source) => (Some(source), None),
        Err(error) => (None, Some(error)),
    };
    // Should the thread panic, no route is known.
    let route = tokio::task::spawn_blocking(move || route_to(target)).await;
    RouteChosen {
        source,
        route: route.ok().flatten(),
        error,
    }
}

fn source(target: IpAddr) -> Result<IpAddr, LocalError> {
    let failed = |call: &'static str| {
        move |error: io::Error| LocalError {
            errno: Errno::of(&error).unwrap_or(Errno::INVALID).0,
            call: call.to_owned(),
        }
    };
    let socket = UdpSocket::bind((any_address(target), 0)).map_err(failed("bind"))?;
    socket
        .connect(SocketAddr::new(target, DISCARD))
        .map_err(failed("connect"))?;
    let local = socket.local_addr().map_err(failed("getsockname"))?;
    Ok(local.ip())
}
