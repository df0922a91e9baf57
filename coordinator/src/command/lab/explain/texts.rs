//! The text of each cause. A cause without one does not compile.

use mesh_proto::Cause;

/// What `docs/causes` says of a cause, in Markdown.
pub(super) fn text(cause: Cause) -> &'static str {
    macro_rules! of {
        ($name:literal) => {
            include_str!(concat!("../../../../../docs/causes/", $name, ".md"))
        };
    }
    match cause {
        Cause::NodeDown => of!("node-down"),
        Cause::NodePartitioned => of!("node-partitioned"),
        Cause::OverlayPortBlocked => of!("overlay-port-blocked"),
        Cause::OverlayPortMismatch => of!("overlay-port-mismatch"),
        Cause::OverlayDeviceDown => of!("overlay-device-down"),
        Cause::OverlayPeerStale => of!("overlay-peer-stale"),
        Cause::NeighbourStale => of!("neighbour-stale"),
        Cause::ForwardRejected => of!("forward-rejected"),
        Cause::ForwardDropped => of!("forward-dropped"),
        Cause::IpForwardOff => of!("ip-forward-off"),
        Cause::PodRoutesMissing => of!("pod-routes-missing"),
        Cause::UnderlayDropsPods => of!("underlay-drops-pods"),
        Cause::RoutingLoop => of!("routing-loop"),
        Cause::MtuBlackhole => of!("mtu-blackhole"),
        Cause::PolicyNodePort => of!("policy-node-port"),
        Cause::PolicyBlocked => of!("policy-blocked"),
        Cause::IptablesSplit => of!("iptables-split"),
        Cause::LoopbackSource => of!("loopback-source"),
        Cause::LoopbackDown => of!("loopback-down"),
        Cause::ReversePathFilter => of!("reverse-path-filter"),
        Cause::KubeProxyMissing => of!("kube-proxy-missing"),
        Cause::ServiceNoEndpoints => of!("service-no-endpoints"),
        Cause::EndpointStale => of!("endpoint-stale"),
        Cause::ApiServerDown => of!("api-server-down"),
        Cause::DnsEndpointDown => of!("dns-endpoint-down"),
        Cause::DnsDown => of!("dns-down"),
        Cause::ProtocolFiltered => of!("protocol-filtered"),
        Cause::MasqueradeMissing => of!("masquerade-missing"),
        Cause::OneWayLoss => of!("one-way-loss"),
        Cause::FlowLoss => of!("flow-loss"),
        Cause::RandomLoss => of!("random-loss"),
        Cause::ConntrackFull => of!("conntrack-full"),
        Cause::DuplicateAddress => of!("duplicate-address"),
        Cause::LocalEgressBlocked => of!("local-egress-blocked"),
        Cause::Slow => of!("slow"),
        Cause::Unknown => of!("unknown"),
    }
}
