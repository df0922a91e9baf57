//! The connection table (Linux `net/netfilter/nf_conntrack_standalone.c`).

use std::io::ErrorKind;
use std::{fs, io};

use mesh_proto::{Conntrack, Missing};

use super::read;

/// How full it is; `None` where there is none.
pub(super) fn conntrack(missing: &mut Vec<Missing>) -> Option<Conntrack> {
    let number = |name: &str| read(format!("/proc/sys/net/netfilter/{name}"))?.parse().ok();
    let count = number("nf_conntrack_count")?;
    let max = number("nf_conntrack_max")?;
    let dropped = match fs::read_to_string("/proc/thread-self/net/stat/nf_conntrack") {
        Ok(text) => dropped(&text),
        Err(error) => {
            missing.extend(no_statistics(&error));
            0
        }
    };
    Some(Conntrack { count, max, dropped })
}

/// A kernel may be built without the file.
fn no_statistics(error: &io::Error) -> Option<Missing> {
    let why = match error.kind() {
        ErrorKind::NotFound => return None,
        ErrorKind::PermissionDenied => "only root may read /proc/net/stat/nf_conntrack".to_owned(),
        _ => error.to_string(),
    };
    Some(Missing {
        what: "connection table drops".to_owned(),
        why,
    })
}

/// A line of names, then a line for each processor in hexadecimal.
fn dropped(text: &str) -> u64 {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let of_line = |line: &str| -> u64 {
        let values = names.iter().zip(line.split_whitespace());
        let dropped = values.filter(|(name, _)| matches!(**name, "drop" | "early_drop"));
        dropped
            .filter_map(|(_, value)| u64::from_str_radix(value, 16).ok())
            .sum()
    };
    lines.map(of_line).sum()
}

#[cfg(test)]
mod tests {
    use super::dropped;

    #[test]
    fn drops_are_summed_over_processors() {
        let text = "entries  found drop early_drop icmp_error\n0000000a 00000001 00000010 00000001 000000ff\n0000000a \
                    00000001 00000002 00000000 00000000\n";
        assert_eq!(dropped(text), 19);
        assert_eq!(dropped(""), 0);
    }
}
