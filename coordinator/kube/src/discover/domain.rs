//! The cluster's domain, from the Corefile of its CoreDNS.

/// What nearly every cluster is set up with.
pub(super) const USUAL: &str = "cluster.local";

/// The first zone that CoreDNS' plugin `kubernetes` serves forward.
///
/// The plugin's line is `kubernetes [ZONES...] { ... }`; without zones it takes those of the server block that it stands in.
pub(super) fn of_corefile(corefile: &str) -> Option<String> {
    let mut depth = 0_usize;
    let mut block: Vec<&str> = Vec::new();
    for line in corefile.lines() {
        let line = line.split_once('#').map_or(line, |(before, _)| before);
        let tokens: Vec<&str> = line.split_whitespace().collect();
        let Some((first, rest)) = tokens.split_first() else {
            continue;
        };
        if depth == 0 {
            block.clone_from(&tokens);
        } else if depth == 1 && *first == "kubernetes" {
            let own = rest.iter().copied().take_while(|token| *token != "{");
            let zones: Vec<&str> = own.collect();
            let zones = if zones.is_empty() { &block } else { &zones };
            if let Some(zone) = zones.iter().find_map(|text| forward_zone(text)) {
                return Some(zone);
            }
        }
        for token in tokens {
            match token {
                "{" => depth += 1,
                "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
    }
    None
}

/// A zone as a Corefile writes it (`dns://cluster.local.:53`), without what surrounds the name; none for the root and for
/// reverse zones, nor for a variable (`{$DOMAIN}`) that is filled in elsewhere.
fn forward_zone(text: &str) -> Option<String> {
    let name = text.strip_prefix("dns://").unwrap_or(text);
    let name = name.split_once(':').map_or(name, |(name, _)| name);
    let name = name.trim_end_matches([',', '.']).to_ascii_lowercase();
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let is_reverse = name.rsplit('.').next() == Some("arpa");
    (name.len() <= 200 && !is_reverse && name.split('.').all(is_label)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::of_corefile;

    #[test]
    fn the_domain_is_the_first_forward_zone_of_the_plugin() {
        let table = [
            (
                ".:53 {\n  errors\n  kubernetes cluster.local in-addr.arpa ip6.arpa {\n    pods insecure\n  }\n}",
                Some("cluster.local"),
            ),
            (
                ".:53 {\n  kubernetes Corp.Example. in-addr.arpa {\n }\n}",
                Some("corp.example"),
            ),
            (
                ".:53 {\n  kubernetes in-addr.arpa ip6.arpa k8s.lan\n}",
                Some("k8s.lan"),
            ),
            ("k8s.lan:53 {\n  kubernetes\n}", Some("k8s.lan")),
            (
                "example.org {\n forward . 1.1.1.1\n}\n.:53 {\n kubernetes a.b {\n }\n}",
                Some("a.b"),
            ),
            // Text that only looks like it: a comment, an option inside another plugin.
            (
                ".:53 {\n  # kubernetes old.local\n  template {\n   kubernetes no.local\n  }\n}",
                None,
            ),
            (".:53 {\n  kubernetes {$DOMAIN} in-addr.arpa {\n }\n}", None),
            (".:53 {\n  kubernetes\n}", None),
            ("", None),
            ("}}}{{{\nkubernetes", None),
        ];
        for (corefile, domain) in table {
            assert_eq!(of_corefile(corefile).as_deref(), domain, "{corefile}");
        }
    }
}
