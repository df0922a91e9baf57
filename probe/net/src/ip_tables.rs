//! Tables of the legacy back end of iptables (Linux `include/uapi/linux/netfilter_ipv4/ip_tables.h` and its IPv6 sister).

use socket2::{Domain, Protocol, Socket, Type};

use crate::Errno;
use crate::datagram::errno;
use crate::option::get_bytes;

/// A table as the kernel keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyTable {
    /// The hooks that it has chains for, one bit each (`enum nf_inet_hooks`).
    pub valid_hooks: u32,
    /// Where in `entries` each hook's chain begins.
    pub hook_entry: [u32; HOOKS],
    /// Where in `entries` each hook's policy is.
    pub underflow: [u32; HOOKS],
    /// All rules (`struct ipt_entry`, `struct ip6t_entry`), one after another.
    pub entries: Vec<u8>,
}

const HOOKS: usize = 5;
/// `struct ipt_getinfo`: the table's name, the valid hooks, where they begin and end, how many entries, of what size.
const INFO: usize = NAME + 4 + 2 * HOOKS * 4 + 4 + 4;
const NAME: usize = 32;
/// `struct ipt_get_entries`: the table's name, the size, and padding, since entries are aligned to eight bytes.
const ENTRIES: usize = NAME + 8;
/// `IPT_SO_GET_INFO` and `IP6T_SO_GET_INFO`.
const GET_INFO: i32 = 64;
/// `IPT_SO_GET_ENTRIES` and `IP6T_SO_GET_ENTRIES`.
const GET_ENTRIES: i32 = 65;
/// Some hundred thousand rules; the kernel cannot be asked for a part.
const LARGEST: usize = 1 << 27;

/// Reads a table. Needs CAP_NET_ADMIN (`EPERM`). **Only for a table that `/proc/net/ip_tables_names` names**: the kernel
/// makes one that is asked for.
pub fn legacy_table(v6: bool, name: &str) -> Result<LegacyTable, Errno> {
    let (domain, level) = if v6 {
        (Domain::IPV6, libc::IPPROTO_IPV6)
    } else {
        (Domain::IPV4, libc::IPPROTO_IP)
    };
    // Any socket of the family will do: the option belongs to the namespace.
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP)).map_err(errno)?;
    if name.len() >= NAME {
        return Err(Errno::INVALID);
    }
    match read(&socket, level, name) {
        // The table's size changed between the two questions (`get_entries`, `net/ipv4/netfilter/ip_tables.c`).
        Err(Errno::WOULD_BLOCK) => read(&socket, level, name),
        read => read,
    }
}

fn read(socket: &Socket, level: i32, name: &str) -> Result<LegacyTable, Errno> {
    let mut info = [0; INFO];
    info[..name.len()].copy_from_slice(name.as_bytes());
    get_bytes(socket, level, GET_INFO, &mut info)?;
    let mut words = info[NAME..]
        .chunks_exact(4)
        .map(|word| word.try_into().map_or(0, u32::from_ne_bytes));
    let mut next = || words.next().unwrap_or(0);
    let valid_hooks = next();
    let hook_entry = std::array::from_fn(|_| next());
    let underflow = std::array::from_fn(|_| next());
    let _entries = next();
    let size = next();

    let room = usize::try_from(size).map_err(|_| Errno::NO_BUFFERS)?;
    if room > LARGEST {
        return Err(Errno::NO_BUFFERS);
    }
    let mut entries = vec![0; ENTRIES + room];
    entries[..name.len()].copy_from_slice(name.as_bytes());
    entries[NAME..NAME + 4].copy_from_slice(&size.to_ne_bytes());
    get_bytes(socket, level, GET_ENTRIES, &mut entries)?;
    entries.drain(..ENTRIES);
    Ok(LegacyTable {
        valid_hooks,
        hook_entry,
        underflow,
        entries,
    })
}
