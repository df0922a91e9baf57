use super::{BadReference, Reference};

#[test]
fn names_are_made_full_as_runtimes_do() {
    let cases = [
        ("localhost/mesh:0.1.0", "localhost/mesh:0.1.0"),
        ("localhost/mesh", "localhost/mesh:latest"),
        ("mesh", "docker.io/library/mesh:latest"),
        ("mesh:dev", "docker.io/library/mesh:dev"),
        ("net/mesh:dev", "docker.io/net/mesh:dev"),
        (
            "registry.example/net/tools/mesh:A_b-1.2",
            "registry.example/net/tools/mesh:A_b-1.2",
        ),
        ("10.0.0.1:5000/mesh", "10.0.0.1:5000/mesh:latest"),
        ("[fd00::1]:5000/mesh:1", "[fd00::1]:5000/mesh:1"),
        ("[fd00::1]/mesh", "[fd00::1]/mesh:latest"),
        ("Registry/mesh", "Registry/mesh:latest"),
        ("host:80/a__b/c---d.e_f", "host:80/a__b/c---d.e_f:latest"),
    ];
    for (text, full) in cases {
        let reference: Reference = text.parse().unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!(reference.to_string(), full, "{text}");
        assert_eq!(
            full.parse(),
            Ok(reference),
            "{text}: the full name means the same"
        );
    }
}

#[test]
fn what_is_no_name_is_refused_with_the_part_that_is_wrong() {
    let path = |part: &str| BadReference::Path(part.to_owned());
    let tag = |tag: &str| BadReference::Tag(tag.to_owned());
    let registry = |name: &str| BadReference::Registry(name.to_owned());
    let long_tag = "t".repeat(129);
    let cases = [
        ("", BadReference::NoPath),
        (":dev", BadReference::NoPath),
        ("localhost/", BadReference::NoPath),
        ("localhost/:dev", BadReference::NoPath),
        ("localhost/mesh:", tag("")),
        ("localhost/mesh:-x", tag("-x")),
        ("localhost/mesh:ä", tag("ä")),
        ("localhost/mesh:a b", tag("a b")),
        ("localhost/mesh:a\nb", tag("a\\nb")),
        (&format!("localhost/mesh:{long_tag}"), tag(&long_tag)),
        ("localhost/Mesh", path("Mesh")),
        ("Mesh", path("Mesh")),
        ("localhost//mesh", path("")),
        ("localhost/mesh/", path("")),
        ("/mesh", path("")),
        ("localhost/a..b", path("a..b")),
        ("localhost/a.-b", path("a.-b")),
        ("localhost/a___b", path("a___b")),
        ("localhost/-a", path("-a")),
        ("localhost/a_", path("a_")),
        ("localhost/..", path("..")),
        (" mesh", path(" mesh")),
        ("host:99999/mesh", registry("host:99999")),
        ("host:/mesh", registry("host:")),
        ("host:+80/mesh", registry("host:+80")),
        ("host:80:80/mesh", registry("host:80:80")),
        ("-host.example/mesh", registry("-host.example")),
        ("a..b/mesh", registry("a..b")),
        ("[fd00:::1]/mesh", registry("[fd00:::1]")),
        ("fd00::1/mesh", registry("fd00::1")),
        ("https://registry.example/mesh", BadReference::Scheme),
        ("localhost/mesh@sha256:00", BadReference::Digest),
        (&format!("localhost/{}", "a".repeat(246)), BadReference::Long(256)),
    ];
    for (text, why) in cases {
        assert_eq!(text.parse::<Reference>(), Err(why), "{text:?}");
    }
    assert!(
        format!("localhost/{}", "a".repeat(245))
            .parse::<Reference>()
            .is_ok()
    );
}
