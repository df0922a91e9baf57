//! The servers of a lab: DNS in two pods, the API's TLS on the first node, a backend of the NodePorts. All run on one
//! thread; each socket is opened in its own namespace.

mod api;
mod backend;
mod dns;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::error::LabError;
use crate::space::{Space, Spaces};
use crate::topology::{BACKEND_PORT, Role, Topology};

/// Servers that run, until this is dropped.
#[derive(Debug)]
pub(crate) struct Servers {
    by_space: BTreeMap<Space, Vec<AbortHandle>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Servers {
    /// Opens all sockets and starts to serve.
    pub(crate) fn start(topology: &Topology, spaces: &Spaces) -> Result<Self, LabError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| LabError::Server {
                what: "runtime",
                source,
            })?;
        let mut by_space: BTreeMap<Space, Vec<AbortHandle>> = BTreeMap::new();
        let catalogue = dns::zone(topology).map_err(|source| LabError::Server {
            what: "DNS zone",
            source,
        })?;
        {
            let _inside = runtime.enter();
            for (node, pod) in topology.pods(Role::Dns) {
                let space = Space::of_pod(node, pod);
                let (udp, tcp) = sockets(
                    spaces,
                    space,
                    SocketAddr::new(pod.address.into(), 53),
                    "DNS server",
                )?;
                let server = dns::serve(catalogue.clone(), udp, tcp);
                let server = server.map_err(|source| LabError::Server {
                    what: "DNS server",
                    source,
                })?;
                by_space.entry(space).or_default().push(server);
            }
            for (node, pod) in topology.pods(Role::Backend) {
                let space = Space::of_pod(node, pod);
                let address = SocketAddr::new(pod.address.into(), BACKEND_PORT.0);
                let (udp, tcp) = sockets(spaces, space, address, "backend")?;
                let server = backend::serve(udp, tcp);
                let server = server.map_err(|source| LabError::Server {
                    what: "backend",
                    source,
                })?;
                by_space.entry(space).or_default().extend(server);
            }
            if let Some(node) = topology.nodes.first() {
                let space = Space::of_node(node);
                let (_, tcp) = sockets(spaces, space, topology.api_endpoint().into(), "API server")?;
                let server = api::serve(topology, tcp);
                let server = server.map_err(|source| LabError::Server {
                    what: "API server",
                    source,
                })?;
                by_space.entry(space).or_default().push(server);
            }
        }
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("lab-servers".to_owned())
            .spawn(move || {
                // Both ends of the channel mean the same.
                let _ = runtime.block_on(stopped);
            })
            .map_err(LabError::Thread)?;
        Ok(Self {
            by_space,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Ends the servers of one place; their ports are closed then.
    pub(crate) fn end(&self, space: Space) {
        for server in self.by_space.get(&space).into_iter().flatten() {
            server.abort();
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It ends with its channel; a panic in it was told already.
            let _ = thread.join();
        }
    }
}

/// Both sockets of an address, opened in a place.
fn sockets(
    spaces: &Spaces,
    space: Space,
    address: SocketAddr,
    what: &'static str,
) -> Result<(UdpSocket, TcpListener), LabError> {
    let failed = |source| LabError::Server { what, source };
    let Some(namespace) = spaces.get(space) else {
        return Err(failed(std::io::ErrorKind::NotFound.into()));
    };
    let opened = namespace.run(|| {
        let udp = UdpSocket::bind(address)?;
        let tcp = TcpListener::bind(address)?;
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        Ok((udp, tcp))
    });
    opened.map_err(LabError::Namespaces)?.map_err(failed)
}
