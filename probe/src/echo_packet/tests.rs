use proptest::prelude::*;

use super::*;

fn key(byte: u8) -> MacKey {
    MacKey::new(&RunKey([byte; 32]))
}

fn identity(name: &str) -> AgentIdentity {
    AgentIdentity {
        key: AgentKey {
            node: name.parse().unwrap(),
            plane: Plane::Pod,
        },
        boot_id: BootId([9; 16]),
    }
}

proptest! {
    #[test]
    fn request_and_answer_come_back_as_they_were_written(
        token in any::<u64>(), from in any::<u32>(), len in ANSWER_LEN..2000_usize, name in "[a-z0-9.-]{1,253}",
        kind in prop::sample::select(vec![ProbeKind::Udp, ProbeKind::Tcp, ProbeKind::PathMtu]),
    ) {
        let request = Request { token: Token(token), from: AgentIndex(from), kind, uncounted: false };
        let mut packet = vec![1; len];
        write_request(&mut packet, &key(1), request);
        prop_assert_eq!(read_request(&packet, &key(1)), Some(request));
        prop_assert_eq!(token_of(&packet), Some(Token(token)));
        let answer = answer(&key(1), request, len, &identity(&name));
        prop_assert!(answer.len() <= packet.len());
        let read = read_answer(&answer, &key(1)).unwrap();
        prop_assert_eq!(read.identity, identity(&name));
        prop_assert_eq!((read.token, read.arrived as usize), (Token(token), len));
    }

    #[test]
    fn a_changed_byte_or_another_key_is_refused(at in 0..ANSWER_LEN, flip in 1..255_u8) {
        let request = Request { token: Token(7), from: AgentIndex(1), kind: ProbeKind::Udp , uncounted: false};
        let mut packet = [0; REQUEST_LEN];
        write_request(&mut packet, &key(1), request);
        prop_assert_eq!(read_request(&packet, &key(2)), None);
        packet[at] ^= flip;
        prop_assert_eq!(read_request(&packet, &key(1)), None);
    }

    #[test]
    fn garbage_is_no_packet(bytes in prop::collection::vec(any::<u8>(), 0..900)) {
        prop_assert_eq!(read_request(&bytes, &key(1)), None);
        prop_assert_eq!(read_answer(&bytes, &key(1)), None);
    }
}

#[test]
fn the_longest_name_fits() {
    let name = "n".repeat(NodeName::MAX_BYTES);
    let request = Request {
        token: Token(1),
        from: AgentIndex(0),
        kind: ProbeKind::Udp,
        uncounted: false,
    };
    let packet = answer(&key(1), request, REQUEST_LEN, &identity(&name));
    assert_eq!(
        read_answer(&packet, &key(1)).map(|answer| answer.identity),
        Some(identity(&name))
    );
    const { assert!(ANSWER_LEN <= REQUEST_LEN) };
}
