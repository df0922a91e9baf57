use jiff::Timestamp;

use super::{Live, fragment, page};
use crate::serve::Published;
use crate::serve::http::tests::{report, status};

#[test]
fn the_page_is_whole_without_its_script_and_asks_nobody_else() {
    let live = Live {
        published: Some(Published::new(status(), report("r1").into()).into()),
        incidents: status().incidents,
        now: "2026-01-01T01:00:00Z".parse::<Timestamp>().unwrap(),
    };
    let (page, fragment) = (page(&live), fragment(&live));
    assert!(page.contains(&fragment));
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "it would ask somebody else"
    );
    for part in [
        "id=\"incidents\"",
        "id=\"times\"",
        "id=\"findings\"",
        "id=\"matrix\"",
        "id=\"nodes\"",
        "lang=\"en\"",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // Since an hour, in a picture of 24: its last 24th.
    assert!(
        fragment.contains("x=\"690.0\"") && fragment.contains("width=\"30.0\""),
        "{fragment}"
    );
}

#[test]
fn before_the_first_look_the_page_says_so() {
    let live = Live {
        published: None,
        incidents: Vec::new(),
        now: Timestamp::now(),
    };
    assert!(page(&live).contains("The first look has not ended yet."));
    assert_eq!(fragment(&live), "");
}
