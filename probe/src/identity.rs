//! Whether the one who answers is the one who was asked.

use mesh_proto::{AgentIdentity, AgentKey, Failure, Reason};

use crate::echo_packet::{MacKey, Token, read_answer};

/// Reads an answer. Under a service's or a dead pod's address somebody else may stand; only holders of the run's key can
/// answer, and each says who it is.
pub(crate) fn confirm(
    packet: &[u8],
    key: &MacKey,
    token: Token,
    expected: Option<&AgentKey>,
) -> Result<AgentIdentity, Failure> {
    let answer = read_answer(packet, key).filter(|answer| answer.token == token);
    let who = match answer {
        Some(answer) if expected == Some(&answer.identity.key) => return Ok(answer.identity),
        Some(answer) => answer.identity.key.to_string(),
        None => "somebody who is no agent of this run".to_owned(),
    };
    Err(Failure {
        detail: Some(format!("{who} answered")),
        ..Failure::new(Reason::WrongResponder)
    })
}

#[cfg(test)]
mod tests {
    use mesh_proto::wire::RunKey;
    use mesh_proto::{AgentIndex, BootId, Plane, ProbeKind};

    use super::*;
    use crate::echo_packet::{REQUEST_LEN, Request, answer};

    #[test]
    fn only_the_one_who_was_asked_will_do() {
        let key = MacKey::new(&RunKey([1; 32]));
        let who = |node: &str| AgentKey {
            node: node.parse().unwrap(),
            plane: Plane::Pod,
        };
        let request = Request {
            token: Token(7),
            from: AgentIndex(0),
            kind: ProbeKind::Udp,
            uncounted: false,
        };
        let identity = AgentIdentity {
            key: who("a"),
            boot_id: BootId([3; 16]),
        };
        let packet = answer(&key, request, REQUEST_LEN, &identity);

        assert_eq!(confirm(&packet, &key, Token(7), Some(&who("a"))), Ok(identity));
        let details = [
            confirm(&packet, &key, Token(7), Some(&who("b"))),
            confirm(&packet, &key, Token(8), Some(&who("a"))),
            confirm(&packet, &MacKey::new(&RunKey([2; 32])), Token(7), Some(&who("a"))),
            confirm(b"HTTP/1.1 400 Bad Request", &key, Token(7), Some(&who("a"))),
        ];
        for failed in details {
            let failure = failed.unwrap_err();
            assert_eq!(failure.reason, Reason::WrongResponder);
            assert!(failure.detail.unwrap().ends_with("answered"));
        }
    }
}
