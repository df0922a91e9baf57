//! Sockets as a prober needs them: error queues, kernel timestamps, packet info, path-MTU probing; and namespaces and
//! process limits. The only crate of mesh that may hold unsafe code.

mod address;
mod attributes;
mod batch;
mod control;
mod datagram;
mod device_mtu;
mod errno;
mod icmp;
mod icmp_source;
mod ip_tables;
mod namespace;
mod netlink;
mod option;
mod output;
mod private_folder;
mod privilege;
mod process;
mod queued_error;
mod ready;
mod realtime;
mod register;
mod resident;
mod tcp;

pub use self::attributes::{Attribute, Attributes, put_attribute};
pub use self::batch::{BATCH, Queued, ReceiveBatch, SendBatch};
pub use self::datagram::{
    DatagramSocket, Received, enlarge_receive_buffer, enlarge_send_buffer, leave_out_local_address,
    report_departures,
};
pub use self::device_mtu::device_mtu;
pub use self::errno::Errno;
pub use self::icmp::{IcmpAccess, IcmpOpenError, IcmpSocket};
pub use self::icmp_source::send_echo_from;
pub use self::ip_tables::{LegacyTable, legacy_table};
pub use self::namespace::NetNamespace;
pub use self::netlink::{Dump, Netlink, NetlinkError, NetlinkFamily};
pub use self::output::{duplicate_descriptor, open_without_waiting};
pub use self::private_folder::PrivateFolder;
pub use self::privilege::{
    become_root_in_user_namespace, give_up_network_administration, join_user_namespace_of, may_make_networks,
    private_run_directory,
};
pub use self::process::{
    ProcessError, detach_output, die_with_parent, raise_open_file_limit, survive_file_size_limit, terminate,
    user_id,
};
pub use self::queued_error::{Origin, QueuedError, queued_error};
pub use self::ready::{Ready, readable, readiness};
pub use self::realtime::RealTime;
pub use self::register::register;
pub use self::resident::let_go_of_code;
pub use self::tcp::{TcpInfo, report_icmp_errors, tcp_info};
