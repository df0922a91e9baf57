//! What a pod network leaves in the back end of iptables that it no longer uses: chains that dispatch to pods that are gone,
//! each as Calico writes it (`felix/rules/dispatch.go`). No packet comes from or goes to such a pod, so none is lost.

use crate::fault::Action;
use crate::services;
use crate::space::Space;
use crate::topology::{Node, Topology};

/// The device of a pod that is gone.
const GONE: &str = "cali1f2e3d4c5b6";

pub(super) fn action(topology: &Topology, node: &Node) -> Action {
    Action::Run {
        space: Space::of_node(node),
        program: services::other_restore_command(topology),
        arguments: vec!["-w".to_owned(), "--noflush".to_owned()],
        input: text(),
    }
}

pub(super) fn text() -> String {
    let established = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT";
    format!(
        "*filter\n:KUBE-FORWARD - [0:0]\n:cali-FORWARD - [0:0]\n:cali-from-wl-dispatch - [0:0]\n\
         :cali-to-wl-dispatch - [0:0]\n:cali-fw-{GONE} - [0:0]\n:cali-tw-{GONE} - [0:0]\n\
         -A FORWARD -j cali-FORWARD\n-A FORWARD -j KUBE-FORWARD\n\
         -A cali-FORWARD -i {GONE} -j cali-from-wl-dispatch\n-A cali-FORWARD -o {GONE} -j cali-to-wl-dispatch\n\
         -A cali-from-wl-dispatch -i {GONE} -g cali-fw-{GONE}\n-A cali-from-wl-dispatch -j DROP\n\
         -A cali-to-wl-dispatch -o {GONE} -g cali-tw-{GONE}\n-A cali-to-wl-dispatch -j DROP\n\
         -A cali-fw-{GONE} {established}\n-A cali-fw-{GONE} -j DROP\n\
         -A cali-tw-{GONE} {established}\n-A cali-tw-{GONE} -j DROP\n\
         -A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT\n-A KUBE-FORWARD {established}\nCOMMIT\n"
    )
}
