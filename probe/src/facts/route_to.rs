//! The route that the kernel would send by to one address.

use std::net::IpAddr;

use mesh_net::{Netlink, NetlinkFamily};
use mesh_proto::Route;

use super::links;
use super::reader::Reader;
use super::routes::route;

const RTM_GETROUTE: u16 = 26;
/// `struct rtmsg`: family, lengths of destination and source, TOS, table, protocol, scope, type, flags.
const RTMSG: usize = 12;
const RTA_DST: u16 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// Say in which table it is, and the route as it stands there rather than one to the address alone.
const RTM_F_LOOKUP_TABLE: u32 = 0x1000;
const RTM_F_FIB_MATCH: u32 = 0x2000;

/// Asks the kernel (`RTM_GETROUTE`); `None` where it has no route, or does not say. Of several next hops the first. One to
/// the machine itself is said to be in table `main`, with which `local` is merged while there are no rules of policy
/// routing (Linux `net/ipv4/fib_frontend.c`). Nothing for a thread of an async runtime.
pub(crate) fn route_to(target: IpAddr) -> Option<Route> {
    let mut missing = Vec::new();
    let netlink = Netlink::open(NetlinkFamily::Route).ok()?;
    let mut reader = Reader {
        netlink,
        missing: &mut missing,
    };
    let names = links::names(&links::devices(&mut reader));
    let mut routes = Vec::new();
    let asked = reader
        .netlink
        .ask(RTM_GETROUTE, &request(target), &mut |_, content| {
            // What cannot be read is left out.
            let _ = route(&names, content, &mut routes);
        });
    asked.ok()?;
    routes.into_iter().next()
}

fn request(target: IpAddr) -> Vec<u8> {
    let (family, bits, address) = match target {
        IpAddr::V4(v4) => (AF_INET, 32, v4.octets().to_vec()),
        IpAddr::V6(v6) => (AF_INET6, 128, v6.octets().to_vec()),
    };
    let mut request = vec![0; RTMSG];
    (request[0], request[1]) = (family, bits);
    request[8..].copy_from_slice(&(RTM_F_LOOKUP_TABLE | RTM_F_FIB_MATCH).to_ne_bytes());
    // `struct rtattr`: its length with this header of four bytes, its type; addresses are aligned as they are.
    let length = u16::try_from(4 + address.len()).unwrap_or(0);
    request.extend(length.to_ne_bytes());
    request.extend(RTA_DST.to_ne_bytes());
    request.extend(address);
    request
}
