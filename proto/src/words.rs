//! The other closed lists of the vocabulary.

use crate::list::closed_list;

closed_list! {
    /// Which network of a node: faults live in one plane and spare the other.
    Plane, "plane" {
        Pod = "pod", "the pod network";
        Host = "host", "the node's own network";
    }
}

closed_list! {
    /// How a target is tried.
    ProbeKind, "probe" {
        Icmp = "icmp", "ICMP echo (RFC 792, RFC 4443)";
        Tcp = "tcp", "TCP connect, and where an agent answers 8 KiB to and fro";
        Udp = "udp", "UDP echo over several source ports";
        DnsUdp = "dns_udp", "DNS query over UDP (RFC 1035)";
        DnsTcp = "dns_tcp", "DNS query over TCP (RFC 7766)";
        Tls = "tls", "TLS handshake";
        PathMtu = "path_mtu", "the largest unfragmentable datagram that passes";
    }
}

closed_list! {
    /// What is probed.
    TargetKind, "target" {
        Pod = "pod", "an agent's pod address";
        Host = "host", "a node's address";
        NodePort = "node_port", "a NodePort on a node";
        Service = "service", "a service's ClusterIP";
        Api = "api", "the API server's ClusterIP";
        Dns = "dns", "kube-dns's ClusterIP";
        DnsEndpoint = "dns_endpoint", "one endpoint of kube-dns";
        Loopback = "loopback", "the agent's own loopback address";
        External = "external", "an extra target";
    }
}

closed_list! {
    /// What became of a cell.
    CellState, "state" {
        Reachable = "reachable", "it came through";
        Degraded = "degraded", "it came through with loss, resends or far slower than its peers";
        Failed = "failed", "nothing came through, or more than half was lost, or a flow never came through";
        Unknown = "unknown", "it could not be tried, or nobody stands there to answer";
        Skipped = "skipped", "silent by design";
    }
}

closed_list! {
    /// Why a cell failed: what was seen, not why it was so.
    Reason, "reason" {
        Timeout = "timeout", "no answer before the deadline";
        Refused = "refused", "a TCP reset to the SYN, or ICMP port unreachable";
        Reset = "reset", "an open connection was reset";
        HostUnreachable = "host_unreachable", "ICMP host unreachable, or no neighbour";
        NetUnreachable = "net_unreachable", "ICMP net unreachable, or no route";
        AdminProhibited = "admin_prohibited", "ICMP administratively prohibited";
        TtlExceeded = "ttl_exceeded", "ICMP time exceeded";
        TooBig = "too_big", "ICMP fragmentation needed, and smaller packets vanish too";
        LocalError = "local_error", "the kernel refused to send";
        WrongResponder = "wrong_responder", "somebody else answered";
        DnsError = "dns_error", "the DNS server answered with an error";
        DataStalled = "data_stalled", "the connection opened, then its data did not arrive";
    }
}

closed_list! {
    /// The three values of a check. Unknown is never a pass.
    Verdict, "verdict" {
        Reachable = "reachable", "everything asked for is reachable";
        Unreachable = "unreachable", "something is unreachable";
        Unknown = "unknown", "nothing failed, but not all of it could be checked";
    }
}

closed_list! {
    /// Where the agents stand.
    Ground, "ground" {
        Kube = "kube", "pods scheduled on a Kubernetes cluster";
        Lab = "lab", "network namespaces on this machine";
        Inventory = "inventory", "agents that somebody else started";
    }
}

closed_list! {
    /// How sure a finding's cause is.
    Confidence, "confidence" {
        Certain = "certain", "nothing else in the list could look so";
        Likely = "likely", "the evidence speaks for it";
        Possible = "possible", "several causes or places explain it as well";
    }
}

closed_list! {
    /// Whether a finding makes the verdict red.
    Severity, "severity" {
        Failure = "failure", "cells failed";
        Warning = "warning", "it works, but not well";
    }
}

closed_list! {
    /// Which way packets are lost, as seen from the node at fault.
    Direction, "direction" {
        Ingress = "ingress", "coming in to the node";
        Egress = "egress", "going out of the node";
        Both = "both", "both ways";
    }
}

closed_list! {
    /// A node's plane in the report.
    PlaneState, "plane state" {
        Probed = "probed", "an agent stood there and probed";
        Absent = "absent", "no agent could be reached there";
        Skipped = "skipped", "not asked for";
    }
}

closed_list! {
    /// `externalTrafficPolicy` of a NodePort service (Kubernetes, Service v1).
    TrafficPolicy, "traffic policy" {
        Cluster = "Cluster", "every node forwards to any backend";
        Local = "Local", "a node forwards to its own backends only";
    }
}

closed_list! {
    /// A transport or network protocol, where a finding or a NodePort names one.
    Protocol, "protocol" {
        Tcp = "tcp", "TCP";
        Udp = "udp", "UDP";
        Icmp = "icmp", "ICMP";
    }
}

closed_list! {
    /// How pod packets travel between nodes.
    OverlayKind, "overlay" {
        Vxlan = "vxlan", "VXLAN (RFC 7348), over UDP";
        Ipip = "ipip", "IP in IP (RFC 2003), protocol 4";
        Geneve = "geneve", "Geneve (RFC 8926), over UDP";
        Wireguard = "wireguard", "WireGuard, over UDP";
        None = "none", "routed, no encapsulation";
    }
}

closed_list! {
    /// How the agent may send ICMP echo.
    IcmpMode, "ICMP mode" {
        Raw = "raw", "a raw socket (CAP_NET_RAW)";
        Ping = "ping", "a ping socket (net.ipv4.ping_group_range)";
        None = "none", "neither is allowed";
    }
}
