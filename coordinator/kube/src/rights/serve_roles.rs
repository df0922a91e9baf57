//! What `mesh serve` needs besides, each for a flag that is off unless asked for: `deploy/rbac-serve.yaml`.

use std::fmt::Write as _;

use super::cluster_roles::role;
use super::{Place, Right, right};

/// A role, the flag that it is for, and what it allows.
struct ServeRole {
    name: &'static str,
    flag: &'static str,
    /// Where it is bound.
    bound: &'static str,
    rights: &'static [Right],
}

const SERVE_ROLES: &[ServeRole] = &[
    ServeRole {
        name: "mesh-serve-watch",
        flag: "mesh serve on a cluster, where without it nodes are asked for once a minute",
        bound: "by a ClusterRoleBinding",
        rights: &[right(
            "",
            "nodes",
            &["list", "watch"],
            Place::Cluster,
            "to hear at once of nodes that come, go, are drained or not ready",
        )],
    },
    ServeRole {
        name: "mesh-serve-lead",
        flag: "--leader-elect",
        bound: "by a RoleBinding in the namespace of the servers",
        rights: &[right(
            "coordination.k8s.io",
            "leases",
            &["create", "get", "update"],
            Place::Run,
            "the Lease that says who leads: update, and not patch, is refused over a version that is not the last",
        )],
    },
    ServeRole {
        name: "mesh-serve-events",
        flag: "--events",
        bound: "by a RoleBinding in the namespace default, where Events of nodes stand",
        rights: &[right(
            "events.k8s.io",
            "events",
            &["create"],
            Place::Run,
            "an Event when an incident is opened, named or closed",
        )],
    },
    ServeRole {
        name: "mesh-serve-node-conditions",
        flag: "--node-conditions",
        bound: "by a ClusterRoleBinding",
        rights: &[right(
            "",
            "nodes/status",
            &["patch"],
            Place::Cluster,
            "the condition mesh/NetworkReachable",
        )],
    },
    ServeRole {
        name: "mesh-serve-startup-taint",
        flag: "--startup-taint",
        bound: "by a ClusterRoleBinding",
        rights: &[right(
            "",
            "nodes",
            &["get", "patch"],
            Place::Cluster,
            "to take the taint mesh/unreachable off a node; the API has no narrower right",
        )],
    },
];

/// The roles of `mesh serve`, as a manifest.
pub fn serve_roles() -> String {
    let mut text = String::from(
        "# What `mesh serve` needs beyond deploy/rbac.yaml, a role for each flag; without the flag nobody needs it. Written from\n\
         # its own list of rights, and compared with it by a test.\n",
    );
    for (number, one) in SERVE_ROLES.iter().enumerate() {
        if number > 0 {
            text += "---\n";
        }
        let ServeRole {
            name,
            flag,
            bound,
            rights,
        } = one;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# For {flag}; bound {bound}.");
        role(&mut text, name, &rights.iter().collect::<Vec<_>>());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `MESH_WRITE=1 cargo test -p mesh-kube` writes the manifest anew.
    #[test]
    fn the_manifest_is_the_list() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/rbac-serve.yaml");
        if std::env::var_os("MESH_WRITE").is_some() {
            std::fs::write(path, serve_roles()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), serve_roles());
    }
}
