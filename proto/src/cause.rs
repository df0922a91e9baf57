//! Why something is unreachable.

use crate::list::closed_list;

closed_list! {
    /// The cause of a finding. The list is closed: a report uses no other name.
    Cause, "cause" {
        NodeDown = "node-down", "the node answers nobody on any plane, nor its link";
        NodePartitioned = "node-partitioned", "a node whose link still answers, a set of nodes, or a pair, is cut off on the node network, both ways";
        OverlayPortBlocked = "overlay-port-blocked", "the encapsulation's port or protocol is dropped or rejected at a node, coming in or going out";
        OverlayPortMismatch = "overlay-port-mismatch", "a node's overlay listens on another port";
        OverlayDeviceDown = "overlay-device-down", "a node's overlay device is down or missing";
        OverlayPeerStale = "overlay-peer-stale", "one node's overlay entry (FDB, neighbour) for another is wrong";
        NeighbourStale = "neighbour-stale", "one node's ARP or NDP entry for another is wrong";
        ForwardRejected = "forward-rejected", "a firewall on the node rejects forwarded packets (firewalld, REJECT in FORWARD)";
        ForwardDropped = "forward-dropped", "forwarded packets are dropped silently (FORWARD policy, a DROP rule)";
        IpForwardOff = "ip-forward-off", "the kernel of the node does not forward";
        PodRoutesMissing = "pod-routes-missing", "routes to other nodes' pod networks are missing (BGP blocked, no encapsulation)";
        UnderlayDropsPods = "underlay-drops-pods", "the network between the nodes drops packets with pod addresses";
        RoutingLoop = "routing-loop", "packets circle until their TTL ends";
        MtuBlackhole = "mtu-blackhole", "small packets pass, large ones vanish; with the size that passes";
        PolicyNodePort = "policy-node-port", "an egress policy lets a pod reach NodePorts only on its own node (podSelector) or only on other nodes (ipBlock)";
        PolicyBlocked = "policy-blocked", "a network policy blocks the cells, in one direction";
        IptablesSplit = "iptables-split", "rules of the cluster's components stand in both the legacy and the nft back end of iptables and contradict each other";
        LoopbackSource = "loopback-source", "traffic to 127.0.0.1 leaves with a source that is not loopback, and the node drops it (KUBE-FIREWALL)";
        LoopbackDown = "loopback-down", "the loopback interface or its address is missing";
        ReversePathFilter = "reverse-path-filter", "strict rp_filter drops packets that come by another way";
        KubeProxyMissing = "kube-proxy-missing", "service rules are missing on a node";
        ServiceNoEndpoints = "service-no-endpoints", "the service has no ready endpoint";
        EndpointStale = "endpoint-stale", "a service sends to an endpoint that is gone";
        ApiServerDown = "api-server-down", "the API endpoint itself refuses or does not answer";
        DnsEndpointDown = "dns-endpoint-down", "some DNS endpoints do not answer, others do";
        DnsDown = "dns-down", "no DNS endpoint answers, or there is none";
        ProtocolFiltered = "protocol-filtered", "one of ICMP, UDP, TCP is dropped, the others pass (also where it is forwarded)";
        MasqueradeMissing = "masquerade-missing", "the SNAT that a NodePort or a hairpin needs is missing";
        OneWayLoss = "one-way-loss", "packets are lost in one direction only, and which";
        FlowLoss = "flow-loss", "certain flows always fail, others never: a bad path among several";
        RandomLoss = "random-loss", "a share of packets is lost on all flows";
        ConntrackFull = "conntrack-full", "the node's connection table is full";
        DuplicateAddress = "duplicate-address", "two machines or pods have one address";
        LocalEgressBlocked = "local-egress-blocked", "the source node refuses to send (local errno)";
        Slow = "slow", "it answers, but only after a SYN or query was sent again";
        Unknown = "unknown", "none of the above";
    }
}
