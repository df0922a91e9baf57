//! From what the kernel reports to the reasons of the vocabulary.

use mesh_net::{Errno, Origin, QueuedError};
use mesh_proto::{Failure, IcmpError, LocalError, Reason};

/// What an entry of the error queue says of the packet that caused it; `None` for what is no failure: a redirect, a
/// time stamp.
pub(crate) fn of_queued(error: &QueuedError, call: &str) -> Option<Failure> {
    let reason = match error.origin {
        Origin::Icmp => of_icmp(error.icmp_type, error.icmp_code)?,
        Origin::Icmp6 => of_icmp6(error.icmp_type, error.icmp_code)?,
        Origin::Local => return Some(of_errno(error.errno, call)),
        Origin::Left | Origin::Other => return None,
    };
    let icmp = error.offender.map(|from| IcmpError {
        kind: error.icmp_type,
        code: error.icmp_code,
        from,
    });
    Some(Failure {
        icmp,
        ..Failure::new(reason)
    })
}

/// RFC 792, RFC 1812 section 5.2.7.1.
fn of_icmp(kind: u8, code: u8) -> Option<Reason> {
    match (kind, code) {
        (3, 2 | 3) => Some(Reason::Refused),
        (3, 4) => Some(Reason::TooBig),
        (3, 0 | 6 | 11) => Some(Reason::NetUnreachable),
        (3, 9 | 10 | 13) => Some(Reason::AdminProhibited),
        (3, _) => Some(Reason::HostUnreachable),
        (11, _) => Some(Reason::TtlExceeded),
        _ => None,
    }
}

/// RFC 4443 section 3.
fn of_icmp6(kind: u8, code: u8) -> Option<Reason> {
    match (kind, code) {
        (1, 0) => Some(Reason::NetUnreachable),
        (1, 1 | 5 | 6) => Some(Reason::AdminProhibited),
        (1, 4) => Some(Reason::Refused),
        (1, _) => Some(Reason::HostUnreachable),
        (2, _) => Some(Reason::TooBig),
        (3, _) => Some(Reason::TtlExceeded),
        _ => None,
    }
}

/// What an errno of the source's own kernel means.
pub(crate) fn of_errno(errno: Errno, call: &str) -> Failure {
    let reason = match errno {
        Errno::NET_UNREACHABLE => Reason::NetUnreachable,
        Errno::HOST_UNREACHABLE => Reason::HostUnreachable,
        Errno::REFUSED => Reason::Refused,
        Errno::RESET => Reason::Reset,
        Errno::TIMED_OUT => Reason::Timeout,
        Errno::TOO_BIG => Reason::TooBig,
        _ => Reason::LocalError,
    };
    Failure {
        local: Some(LocalError {
            errno: errno.0,
            call: call.to_owned(),
        }),
        detail: Some(format!("{call}: {errno}")),
        ..Failure::new(reason)
    }
}

/// The more telling of two failures: one ICMP error among many time-outs is that error.
pub(crate) fn more_telling(a: Option<Failure>, b: Option<Failure>) -> Option<Failure> {
    fn weight(failure: &Failure) -> u8 {
        match failure.reason {
            Reason::WrongResponder => 4,
            _ if failure.icmp.is_some() => 3,
            Reason::Timeout => 0,
            Reason::DataStalled => 1,
            _ => 2,
        }
    }
    match (a, b) {
        (Some(a), Some(b)) => Some(if weight(&b) > weight(&a) { b } else { a }),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_reasons_of_the_contract() {
        let table = [
            (3, 0, Reason::NetUnreachable),
            (3, 1, Reason::HostUnreachable),
            (3, 3, Reason::Refused),
            (3, 4, Reason::TooBig),
            (3, 9, Reason::AdminProhibited),
            (3, 10, Reason::AdminProhibited),
            (3, 13, Reason::AdminProhibited),
            (11, 0, Reason::TtlExceeded),
        ];
        for (kind, code, reason) in table {
            assert_eq!(of_icmp(kind, code), Some(reason), "{kind}/{code}");
        }
        assert_eq!(of_icmp(5, 1), None, "a redirect is no failure");
    }

    #[test]
    fn one_error_among_time_outs_is_that_error() {
        let icmp = Some(IcmpError {
            kind: 3,
            code: 13,
            from: [10, 0, 0, 1].into(),
        });
        let error = Failure {
            icmp,
            ..Failure::new(Reason::AdminProhibited)
        };
        let timeout = Failure::new(Reason::Timeout);
        for (a, b) in [(&error, &timeout), (&timeout, &error)] {
            assert_eq!(
                more_telling(Some(a.clone()), Some(b.clone())),
                Some(error.clone())
            );
        }
    }
}
