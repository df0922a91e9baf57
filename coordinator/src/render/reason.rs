//! Why an agent is not there, as an operator wants to read it.

use super::plain::plain;

/// A path that only the process of the run can open: it tells nobody anything.
const INTERNAL: &str = "unix:/proc/self/fd/";

/// How addresses of agents begin in a reason: `link tcp:10.0.0.1:9440: cannot connect`.
const ADDRESSES: [&str; 3] = ["link unix:", "link tcp:", "link pod "];

/// A reason without what only this process understands.
pub(super) fn readable(reason: &str) -> String {
    edited(reason, |address| address.starts_with(INTERNAL))
}

/// A reason without the address of the agent, so that all agents with the same reason stand together.
pub(super) fn without_address(reason: &str) -> String {
    edited(reason, |_| true)
}

fn edited(reason: &str, leave_out: impl Fn(&str) -> bool) -> String {
    let mut reason = plain(reason);
    let at = ADDRESSES.iter().filter_map(|begins| reason.find(begins)).min();
    if let Some(at) = at {
        let address = at + "link ".len();
        let end = reason[address..].find(": ").map(|length| address + length);
        if let Some(end) = end.filter(|end| leave_out(&reason[address..*end])) {
            reason.replace_range(at..end + ": ".len(), "");
        }
    }
    without_errno(&reason)
}

/// Takes out ` (os error 111)`: the words before it say the same.
fn without_errno(text: &str) -> String {
    const BEGINS: &str = " (os error ";
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(BEGINS) {
        kept.push_str(before);
        let after_digits = after.trim_start_matches(|c: char| c.is_ascii_digit());
        if let Some(behind) = after_digits.strip_prefix(')') {
            rest = behind;
        } else {
            kept.push_str(BEGINS);
            rest = after;
        }
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::{readable, without_address};

    #[test]
    fn a_reason_is_short_and_tells_what_the_reader_can_use() {
        let refused = "cannot connect: Connection refused (os error 111): no agent listens there";
        let short = "cannot connect: Connection refused: no agent listens there";
        let cases = [
            ("link unix:/proc/self/fd/11/4-pod: ", "", ""),
            (
                "no agent to probe from: link unix:/proc/self/fd/11/4-pod: ",
                "no agent to probe from: ",
                "no agent to probe from: ",
            ),
            ("link tcp:10.0.0.1:9440: ", "link tcp:10.0.0.1:9440: ", ""),
            ("link tcp:[fd00::1]:9440: ", "link tcp:[fd00::1]:9440: ", ""),
            ("link pod mesh/a-1: ", "link pod mesh/a-1: ", ""),
            ("link unix:/run/a b.sock: ", "link unix:/run/a b.sock: ", ""),
        ];
        for (before, read, bare) in cases {
            let reason = format!("{before}{refused}");
            assert_eq!(readable(&reason), format!("{read}{short}"));
            assert_eq!(without_address(&reason), format!("{bare}{short}"));
        }
    }

    #[test]
    fn other_reasons_stay_as_they_are() {
        for reason in [
            "",
            "the link does not answer: timed out",
            "a (os error x)",
            "link unix:",
            "Pending",
        ] {
            assert_eq!(without_address(reason), reason);
        }
    }
}
