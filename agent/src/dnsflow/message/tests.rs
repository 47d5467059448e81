use super::*;
use crate::dnsflow::wire::{A, AAAA, CNAME, answer, header, name, query, record};

fn parse(bytes: &[u8]) -> Result<Message<'_>, Unusable> {
    Message::parse(bytes, false)
}

/// Offset of the question's name, as a compression pointer.
const TO_QUESTION: &[u8] = &[0xc0, 12];

#[test]
fn a_name_is_lower_case_without_its_last_dot_and_printable() {
    let named = |text: &str| {
        let bytes = query(1, text, A);
        parse(&bytes).unwrap().question.unwrap().name.to_string()
    };
    assert_eq!(named("WWW.Example.COM"), "www.example.com");
    assert_eq!(named(""), ".");
    assert_eq!(named("a b.x\\y.\u{7f}"), "a\\032b.x\\092y.\\127");
}

#[test]
fn types_have_the_names_that_they_are_registered_by() {
    for (kind, name) in [
        (1, "A"),
        (28, "AAAA"),
        (65, "HTTPS"),
        (255, "ANY"),
        (65_000, "TYPE65000"),
    ] {
        assert_eq!(kind_name(kind), name);
    }
}

#[test]
fn the_addresses_of_a_name_are_found_behind_its_aliases_and_no_others() {
    let alias = name("edge.cdn.example");
    let records = [
        record(TO_QUESTION, CNAME, 300, &alias),
        record(&name("someone.else"), A, 300, &[6, 6, 6, 6]),
        record(&name("Edge.CDN.example"), A, 20, &[192, 0, 2, 1]),
        record(&alias, A, 20, &[192, 0, 2, 2]),
    ];
    let bytes = answer(1, "www.shop.example", A, 0, &records);
    let found = parse(&bytes).unwrap().addresses();
    assert_eq!(
        found,
        [([192, 0, 2, 1].into(), 20), ([192, 0, 2, 2].into(), 20)]
    );
    let v6 = record(TO_QUESTION, AAAA, 5, &[0x20; 16]);
    let bytes = answer(1, "x", AAAA, 0, &[v6]);
    assert_eq!(parse(&bytes).unwrap().addresses().len(), 1);
}

#[test]
fn an_extended_response_code_is_whole() {
    // Of the code 16 (BADVERS) the high bits are in the EDNS record.
    let mut bytes = answer(1, "x", A, 0, &[]);
    bytes[11] = 1;
    bytes.extend([0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 0]);
    assert_eq!(parse(&bytes).unwrap().rcode(), 16);
    assert_eq!(parse(&answer(1, "x", A, 3, &[])).unwrap().rcode(), 3);
}

#[test]
fn what_is_no_query_with_one_question_is_refused() {
    let message = |flags, counts, rest: &[u8]| [&[0, 1][..], &header(flags, counts), rest].concat();
    let one = [&name("x")[..], &[0, 1, 0, 1]].concat();
    let malformed = [
        vec![],
        vec![0; 11],
        message(0x0100, [0, 0, 0, 0], &[]),
        message(0x0100, [2, 0, 0, 0], &[&one[..], &one].concat()),
        message(0x0100, [1, 0, 0, 0], &[]),
        message(0x0100, [1, 0, 0, 0], &[63, b'x']),
    ];
    for bytes in malformed {
        assert_eq!(parse(&bytes).unwrap_err(), Unusable::Malformed, "{bytes:?}");
    }
    let update = message(0x2800, [1, 0, 0, 0], &one);
    assert_eq!(parse(&update).unwrap_err(), Unusable::OtherOperation);
    let empty = message(0x8181, [0, 0, 0, 0], &[]);
    assert!(parse(&empty).unwrap().question.is_none());
    let two = message(0, [2, 0, 0, 0], &[&one[..], &one].concat());
    assert!(Message::parse(&two, true).is_ok(), "multicast");
}

#[test]
fn a_name_that_points_to_itself_or_forward_is_refused() {
    for target in [12_u16, 13, 14, 60] {
        let pointer = (0xc000 | target).to_be_bytes();
        let bytes = [
            &[0, 1][..],
            &header(0x0100, [1, 0, 0, 0]),
            &pointer,
            &[0, 1, 0, 1],
        ]
        .concat();
        assert!(parse(&bytes).is_err(), "{target}");
    }
    // Two records that point at each other do not keep us.
    let loops = [
        record(&[0xc0, 30], A, 1, &[1; 4]),
        record(&[0xc0, 19], A, 1, &[1; 4]),
    ];
    let bytes = answer(1, "x", A, 0, &loops);
    assert!(parse(&bytes).unwrap().addresses().len() <= 2);
}

#[test]
fn the_largest_message_is_read_in_bounded_time() {
    let records: Vec<_> = (0..4000_u32)
        .map(|number| record(TO_QUESTION, A, 1, &number.to_be_bytes()))
        .collect();
    let bytes = answer(1, "many.example", A, 0, &records);
    assert!((60_000..65_536).contains(&bytes.len()));
    assert_eq!(parse(&bytes).unwrap().addresses().len(), MOST_RECORDS);
}

#[test]
fn any_bytes_are_read_without_a_panic() {
    let mut random = fastrand::Rng::with_seed(11);
    let records = [
        record(TO_QUESTION, CNAME, 300, &name("b.example")),
        record(&name("b.example"), A, 20, &[192, 0, 2, 1]),
    ];
    let seed = answer(1, "a.example", A, 0, &records);
    for _ in 0..40_000 {
        let mut bytes = seed.clone();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.truncate(random.usize(..=bytes.len()));
        if let Ok(message) = parse(&bytes) {
            let _code = message.rcode();
            assert!(message.addresses().len() <= 2);
        }
    }
}
