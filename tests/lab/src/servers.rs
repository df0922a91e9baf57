//! The servers of a lab: DNS in two pods, the API's TLS on the first node, a backend of the NodePorts. They run on a few
//! threads of the lab's process; each socket is opened in its own namespace.

mod api;
mod backend;
mod dns;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use mesh_net::enlarge_receive_buffer;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::error::LabError;
use crate::space::{Space, Spaces};
use crate::topology::{BACKEND_PORT, Role, Topology};

/// Servers that run, until this is dropped.
#[derive(Debug)]
pub(crate) struct Servers {
    by_space: BTreeMap<Space, Vec<AbortHandle>>,
    _threads: [ServerThread; 2],
    _echo: Vec<backend::Echo>,
}

impl Servers {
    /// Opens all sockets and starts to serve, in each family.
    pub(crate) fn start(views: &[Topology], spaces: &Spaces) -> Result<Self, LabError> {
        let mut by_space: BTreeMap<Space, Vec<AbortHandle>> = BTreeMap::new();
        let failed = |what| move |source| LabError::Server { what, source };
        let zone = dns::zone(views).map_err(failed("DNS zone"))?;
        // Names and handshakes on different threads: a handshake is long, and a name must not wait for it.
        let names = ServerThread::start("lab-dns", |_inside| {
            for (node, pod) in views.iter().flat_map(|view| view.pods(Role::Dns)) {
                let space = Space::of_pod(node, pod);
                let (udp, tcp) = sockets(spaces, space, SocketAddr::new(pod.address, 53), "DNS server")?;
                let server = dns::serve(zone.clone(), udp, tcp).map_err(failed("DNS server"))?;
                by_space.entry(space).or_default().push(server);
            }
            Ok(())
        })?;
        let mut echo = Vec::new();
        let streams = ServerThread::start("lab-streams", |_inside| {
            for (node, pod) in views.iter().flat_map(|view| view.pods(Role::Backend)) {
                let address = SocketAddr::new(pod.address, BACKEND_PORT.0);
                let (udp, tcp) = sockets(spaces, Space::of_pod(node, pod), address, "backend")?;
                backend::accept(tcp).map_err(failed("backend"))?;
                echo.push(backend::Echo::start(udp).map_err(failed("backend"))?);
            }
            for view in views {
                if let Some(node) = view.nodes.first() {
                    let space = Space::of_node(node);
                    let (_, tcp) = sockets(spaces, space, view.api_endpoint(), "API server")?;
                    let server = api::serve(views, tcp).map_err(failed("API server"))?;
                    by_space.entry(space).or_default().push(server);
                }
            }
            Ok(())
        })?;
        Ok(Self {
            by_space,
            _threads: [names, streams],
            _echo: echo,
        })
    }

    /// Ends the servers of one place; their ports are closed then.
    pub(crate) fn end(&self, space: Space) {
        for server in self.by_space.get(&space).into_iter().flatten() {
            server.abort();
        }
    }
}

/// A thread with a runtime of its own, which ends when this is dropped, and all tasks with it.
#[derive(Debug)]
struct ServerThread {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl ServerThread {
    /// `serve` starts the tasks, inside of the runtime.
    fn start(
        name: &str,
        serve: impl FnOnce(tokio::runtime::EnterGuard<'_>) -> Result<(), LabError>,
    ) -> Result<Self, LabError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| LabError::Server {
                what: "runtime",
                source,
            })?;
        serve(runtime.enter())?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // Both ends of the channel mean the same.
                let _ = runtime.block_on(stopped);
            })
            .map_err(LabError::Thread)?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for ServerThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It ends with its channel; a panic in it was told already.
            let _ = thread.join();
        }
    }
}

/// Thousands of questions.
const RECEIVE_BUFFER: usize = 4 << 20;
const BACKLOG: i32 = 4_096;

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
        // All agents ask it, on a machine that is busy with all of them.
        enlarge_receive_buffer(&udp, RECEIVE_BUFFER);
        let tcp = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        tcp.bind(&address.into())?;
        tcp.listen(BACKLOG)?;
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        Ok((udp, TcpListener::from(tcp)))
    });
    opened.map_err(LabError::Namespaces)?.map_err(failed)
}
