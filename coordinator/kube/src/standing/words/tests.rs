use super::{LONGEST, is_about_pod_network, line, line_to_the_end, no_image, puller, sandbox, scheduler};

#[test]
fn an_image_error_keeps_its_innermost_cause() {
    let table = [
        // containerd 1.x, kubelet before 1.31
        (
            "rpc error: code = NotFound desc = failed to pull and unpack image \"docker.io/library/x:1\": \
             failed to resolve reference \"docker.io/library/x:1\": docker.io/library/x:1: not found",
            Some("not found"),
        ),
        (
            "Failed to pull image \"r.example/x:1\": rpc error: code = Unknown desc = failed to pull and unpack image \
             \"r.example/x:1\": failed to resolve reference \"r.example/x:1\": failed to do request: Head \
             \"https://r.example/v2/x/manifests/1\": tls: failed to verify certificate: x509: certificate signed by \
             unknown authority",
            Some(
                "Head \"https://r.example/v2/x/manifests/1\": tls: failed to verify certificate: x509: certificate \
                 signed by unknown authority",
            ),
        ),
        (
            "failed to pull and unpack image \"r.example/x:1\": failed to resolve reference \"r.example/x:1\": \
             unexpected status from HEAD request to https://r.example/v2/x/manifests/1: 401 Unauthorized",
            Some(
                "unexpected status from HEAD request to https://r.example/v2/x/manifests/1: 401 Unauthorized",
            ),
        ),
        ("Back-off pulling image \"r.example/x:1\"", None),
        ("", None),
    ];
    for (message, cause) in table {
        assert_eq!(puller(message).as_deref(), cause, "{message}");
    }
    let long = format!("{}: 401 Unauthorized", "https://r.example/".repeat(40));
    let said = no_image("ErrImagePull", "r.example/x:1", &long);
    assert!(
        said.starts_with("ErrImagePull: image r.example/x:1: ") && said.ends_with(": 401 Unauthorized"),
        "{said}"
    );
    assert_eq!(said.chars().count(), LONGEST);
}

#[test]
fn a_sandbox_error_loses_the_number_and_keeps_the_cni() {
    let number = "6d7c9c9707229616a5ed5b0f3fe0be87657c48b00c2f567ba254cfe3bcde4109";
    let message = format!(
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox \
         \"{number}\": plugin type=\"flannel\" failed (add): loadFlannelSubnetEnv failed: open \
         /run/flannel/subnet.env: no such file or directory"
    );
    assert_eq!(
        sandbox("FailedCreatePodSandBox", &message),
        "FailedCreatePodSandBox: failed to setup network for sandbox: plugin type=\"flannel\" failed (add): \
         loadFlannelSubnetEnv failed: open /run/flannel/subnet.env: no such file or directory"
    );
}

#[test]
fn the_scheduler_is_quoted_without_preemption() {
    let message =
        "0/3 nodes are available: 1 Insufficient cpu. preemption: 0/3 nodes are available: 3 No victims.";
    assert_eq!(
        scheduler("Unschedulable", message),
        "Pending: 0/3 nodes are available: 1 Insufficient cpu"
    );
    assert_eq!(scheduler("SchedulingGated", ""), "Pending: SchedulingGated");
    assert_eq!(scheduler("", ""), "Pending");
}

#[test]
fn a_line_is_one_line_that_leaves_the_terminal_alone() {
    assert_eq!(line(" a\n\tb\u{1b}[31m\u{202e}c \r\n"), "a b [31mc");
    let long = "ä".repeat(LONGEST + 1);
    assert_eq!(
        (
            line(&long).chars().count(),
            line_to_the_end(&long).chars().count()
        ),
        (LONGEST, LONGEST)
    );
    let fits = "ä".repeat(LONGEST);
    assert_eq!((line(&fits), line_to_the_end(&fits)), (fits.clone(), fits));
}

#[test]
fn a_node_without_cni_is_told_from_a_dead_one() {
    assert!(is_about_pod_network(
        "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin \
         returns error: cni plugin not initialized"
    ));
    assert!(!is_about_pod_network("Kubelet stopped posting node status."));
}
