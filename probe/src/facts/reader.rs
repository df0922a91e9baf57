//! Lists of the kernel's routing side, whole or with the reason why not.

use mesh_net::{Dump, Errno, Netlink, NetlinkError};
use mesh_proto::Missing;

/// A socket, and where it is said what could not be read.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) netlink: Netlink,
    pub(super) missing: &'a mut Vec<Missing>,
}

/// A machine that holds the routes of the whole Internet has a million: more than an agent may keep in memory.
const MOST: usize = 1 << 14;

impl Reader<'_> {
    /// All objects of a kind, again if the kernel changed them meanwhile.
    pub(super) fn all<T>(
        &mut self,
        what: &str,
        kind: u16,
        request: &[u8],
        decode: impl Fn(&[u8], &mut Vec<T>),
    ) -> Vec<T> {
        self.all_before(what, kind, request, |_| false, decode)
    }

    /// The same; where there are very many, those that are notable are kept before others.
    pub(super) fn all_before<T>(
        &mut self,
        what: &str,
        kind: u16,
        request: &[u8],
        notable: impl Fn(&T) -> bool,
        decode: impl Fn(&[u8], &mut Vec<T>),
    ) -> Vec<T> {
        let mut attempt = || {
            let (mut list, mut left_out, mut one) = (Vec::new(), 0, Vec::new());
            let dump = self.netlink.dump(kind, request, &mut |_, content| {
                decode(content, &mut one);
                for object in one.drain(..) {
                    if list.len() < MOST || list.len() < 2 * MOST && notable(&object) {
                        list.push(object);
                    } else {
                        left_out += 1;
                    }
                }
            });
            (list, left_out, dump)
        };
        let mut read = attempt();
        if matches!(read.2, Ok(Dump::Interrupted)) {
            read = attempt();
        }
        let (list, left_out, dump) = read;
        match dump {
            Ok(Dump::Whole) => {}
            Ok(Dump::Interrupted) => self.missing.push(changing(what)),
            Err(error) => self.missing.push(absent(what, &error)),
        }
        if left_out > 0 {
            self.missing.push(too_many(what, left_out, list.len() + left_out));
        }
        list
    }
}

/// Something that could not be read, with the reason in words.
pub(super) fn absent(what: &str, error: &NetlinkError) -> Missing {
    let why = error
        .errno()
        .map_or_else(|| error.to_string(), |errno| why(errno, &error.to_string()));
    Missing {
        what: what.to_owned(),
        why,
    }
}

/// Why the kernel does not say it: without privileges it says EPERM, or EACCES.
pub(super) fn why(errno: Errno, text: &str) -> String {
    match errno {
        Errno::NOT_PERMITTED | Errno::ACCESS => "no CAP_NET_ADMIN".to_owned(),
        _ => text.to_owned(),
    }
}

/// It was read twice and changed both times: what there is may lack some, so it goes by another name.
pub(super) fn changing(what: &str) -> Missing {
    Missing {
        what: format!("some {what}"),
        why: "they changed while they were read, twice".to_owned(),
    }
}

/// Some of them are left out.
pub(super) fn too_many(what: &str, left_out: usize, all: usize) -> Missing {
    Missing {
        what: format!("some {what}"),
        why: format!("{left_out} of {all} are left out: too many to tell"),
    }
}
