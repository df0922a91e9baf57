//! The CNI's agent, whichever it is: how it is found on nodes, and what its restart brings back.

use mesh_proto::NodeName;

/// Nodes that are asked for their agents one by one.
const MOST_NODES: usize = 3;

/// Advice to restart the agents on nodes, which write anew what is missing there; of all nodes where none is named.
pub(super) fn restart_agents(nodes: &[NodeName], writes: &str) -> Vec<String> {
    const AGENTS: &str = "grep -iE 'calico|canal|cilium|flannel|antrea|weave|kube-router|kindnet|ovn'";
    let mut advice: Vec<String> = nodes
        .iter()
        .take(MOST_NODES)
        .map(|node| {
            format!(
                "The CNI's agent on {node}: kubectl get pods -A -o wide --field-selector spec.nodeName={node} | {AGENTS}"
            )
        })
        .collect();
    if advice.is_empty() || nodes.len() > MOST_NODES {
        advice = vec![format!(
            "The CNI's agents: kubectl get pods -A -o wide | {AGENTS}"
        )];
    }
    advice.push(format!(
        "Read its log, then delete that pod (or restart the service, where it runs as one): when it starts it writes {writes} anew."
    ));
    advice
}
