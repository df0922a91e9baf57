//! `mesh probe facts`: what the kernel here says, as lines and as one document.

use super::mesh;

#[test]
fn facts_are_one_document() {
    let ended = mesh(&["probe", "facts", "-o", "json"], &[], "");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let facts: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(facts["kernel"], release.trim());
    let links = facts["links"].as_array().unwrap();
    assert!(links.iter().any(|link| link["name"] == "lo"), "{links:?}");
    assert!(facts["sysctls"]["net.ipv4.ip_forward"].is_string());
}

#[test]
fn facts_are_lines_for_people() {
    // What an agent's own pod has in its environment is no reason to be one.
    let agent = [
        ("MESH_NODE", "a"),
        ("MESH_PLANE", "pod"),
        ("MESH_LISTEN", "unix:/nonexistent/a.sock"),
    ];
    for environment in [&[][..], &agent] {
        let ended = mesh(&["probe", "facts"], environment, "");
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        for part in ["KERNEL\n", "SYSCTL\n", "LINK\n", "  net.ipv4.ip_forward "] {
            assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
        }
    }
}

#[test]
fn the_flags_of_an_agent_are_not_those_of_its_facts() {
    let refused = mesh(&["probe", "--node", "a", "facts"], &[], "");
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    let missing = mesh(&["probe", "--node", "a", "--plane", "pod"], &[], "");
    assert_eq!(missing.code, Some(2));
    assert!(missing.stderr.contains("--listen <LINK>"), "{}", missing.stderr);
    let format = mesh(&["probe", "facts", "-o", "yaml"], &[], "");
    assert_eq!(format.code, Some(2));
    assert!(format.stderr.contains("table, json"), "{}", format.stderr);
}
