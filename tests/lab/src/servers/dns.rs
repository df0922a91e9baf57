//! The lab's DNS: one zone with the name of the API service.

use std::io;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::rr::rdata::{A, AAAA, SOA};
use hickory_proto::rr::{Name, RData, Record};
use hickory_server::Server;
use hickory_server::net::runtime::TokioRuntimeProvider;
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneHandler, ZoneType};
use tokio::task::AbortHandle;

use crate::topology::{API_NAME, Topology};

const TTL: u32 = 5;
/// A TCP client that neither speaks nor goes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Answers on their way to one TCP client.
const ANSWERS: usize = 32;

/// The zone that all servers share.
pub(super) fn zone(views: &[Topology]) -> io::Result<Arc<dyn ZoneHandler>> {
    let name = |text: &str| Name::from_str(text).map_err(io::Error::other);
    let origin = name("cluster.local.")?;
    let mut zone: InMemoryZoneHandler<TokioRuntimeProvider> =
        InMemoryZoneHandler::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
    let soa = SOA::new(
        name("ns.dns.cluster.local.")?,
        name("hostmaster.cluster.local.")?,
        1,
        7_200,
        1_800,
        86_400,
        5,
    );
    zone.upsert_mut(Record::from_rdata(origin, TTL, RData::SOA(soa)), 1);
    for view in views {
        let address = match view.api().ip() {
            IpAddr::V4(address) => RData::A(A(address)),
            IpAddr::V6(address) => RData::AAAA(AAAA(address)),
        };
        let api = Record::from_rdata(name(&format!("{API_NAME}."))?, TTL, address);
        zone.upsert_mut(api, 1);
    }
    Ok(Arc::new(zone))
}

/// Serves on the current runtime.
pub(super) fn serve(zone: Arc<dyn ZoneHandler>, udp: UdpSocket, tcp: TcpListener) -> io::Result<AbortHandle> {
    let mut catalog = Catalog::new();
    catalog.upsert(zone.origin().clone(), vec![zone]);
    let udp = tokio::net::UdpSocket::from_std(udp)?;
    let tcp = tokio::net::TcpListener::from_std(tcp)?;
    let task = tokio::spawn(async move {
        let mut server = Server::new(catalog);
        server.register_socket(udp);
        server.register_listener(tcp, PATIENCE, ANSWERS);
        // It ends when the task is aborted: the server's own tasks end with it.
        let _ = server.block_until_done().await;
    });
    Ok(task.abort_handle())
}
