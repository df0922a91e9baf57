//! The manifest in `deploy/`: the list of rights, as cluster roles.

use std::fmt::Write as _;

use super::{Place, RIGHTS, Right, right};

/// The rights as cluster roles: `mesh-run-cluster` for what is read of the whole cluster and for namespaces, `mesh-run` for
/// what stands in the run's namespace, which may be bound in one namespace only.
pub fn cluster_roles() -> String {
    let mut text = String::from(
        "# All that `mesh run` needs. Written from its own list of rights, and compared with it by a test.\n\
         # Bind both roles to whoever runs it by a ClusterRoleBinding; or, for `mesh run -n NAMESPACE`, mesh-run by a\n\
         # RoleBinding in that namespace only.\n",
    );
    let is_local = |right: &&Right| right.place == Place::Run;
    let wide: Vec<&Right> = RIGHTS
        .iter()
        .filter(|right| !is_local(right))
        .chain(HINTS)
        .collect();
    let local: Vec<&Right> = RIGHTS.iter().filter(is_local).collect();
    role(&mut text, "mesh-run-cluster", &wide);
    text += "---\n";
    role(&mut text, "mesh-run", &local);
    text
}

pub(super) fn role(text: &mut String, name: &str, rights: &[&Right]) {
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: {name}\n  labels:\n    \
         app.kubernetes.io/name: mesh\n    app.kubernetes.io/part-of: mesh\nrules:\n"
    );
    for right in rights {
        let verbs = right.verbs.join(", ");
        let Right {
            group,
            resource,
            reason,
            ..
        } = right;
        let _ = writeln!(
            text,
            "  # {reason}\n  - {{apiGroups: [\"{group}\"], resources: [{resource}], verbs: [{verbs}]}}"
        );
    }
}

/// What discovery reads besides, as a hint: settings of network plug-ins. It is left out where it is forbidden, and not
/// asked for beforehand.
const HINTS: &[Right] = &[
    right(
        "",
        "configmaps",
        &["get"],
        Place::Everywhere,
        "how DNS and the pod network are configured",
    ),
    right(
        "apps",
        "daemonsets",
        &["list"],
        Place::Everywhere,
        "which pod network there is",
    ),
    right(
        "crd.projectcalico.org",
        "felixconfigurations",
        &["get"],
        Place::Everywhere,
        "the port of Calico's overlay",
    ),
    right(
        "crd.projectcalico.org",
        "ippools",
        &["list"],
        Place::Everywhere,
        "how Calico encapsulates",
    ),
    right(
        "projectcalico.org",
        "felixconfigurations",
        &["get"],
        Place::Everywhere,
        "the same, elsewhere",
    ),
    right(
        "projectcalico.org",
        "ippools",
        &["list"],
        Place::Everywhere,
        "the same, elsewhere",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// `MESH_WRITE=1 cargo test -p mesh-kube` writes the manifest anew.
    #[test]
    fn the_manifest_is_the_list() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/rbac.yaml");
        if std::env::var_os("MESH_WRITE").is_some() {
            std::fs::write(path, cluster_roles()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), cluster_roles());
    }
}
