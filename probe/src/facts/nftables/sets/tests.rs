use super::{Element, Raw, assemble};

fn raw(key: u16, ends: bool) -> Raw {
    let from = key.to_be_bytes().to_vec();
    let element = Element {
        to: from.clone(),
        from,
        catch_all: false,
        data: None,
    };
    Raw {
        element,
        ends,
        whole: false,
    }
}

fn ranges(elements: &[Element]) -> Vec<(u16, u16)> {
    let number = |bytes: &[u8]| u16::from_be_bytes([bytes[0], bytes[1]]);
    elements
        .iter()
        .map(|element| (number(&element.from), number(&element.to)))
        .collect()
}

#[test]
fn intervals_are_put_together_in_any_order() {
    let told = vec![
        raw(0x0200, true),
        raw(90, false),
        raw(0, true),
        raw(0x0100, false),
        raw(91, true),
    ];
    assert_eq!(ranges(&assemble(told, true)), [(90, 90), (0x0100, 0x01ff)]);
}

#[test]
fn neighbours_and_the_last_key_are_no_trap() {
    let told = vec![
        raw(10, false),
        raw(20, true),
        raw(20, false),
        raw(65_000, false),
        raw(30, true),
    ];
    assert_eq!(
        ranges(&assemble(told, true)),
        [(10, 19), (20, 29), (65_000, 65_535)]
    );
    let no_gap = vec![raw(10, false), raw(20, false), raw(30, true)];
    assert_eq!(ranges(&assemble(no_gap, true)), [(10, 19), (20, 29)]);
}

#[test]
fn single_keys_stay() {
    assert_eq!(
        ranges(&assemble(vec![raw(7, false), raw(3, false)], false)),
        [(7, 7), (3, 3)]
    );
}
