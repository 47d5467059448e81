use super::*;

/// A ClientHello as TLS clients send it, by the layout of RFC 8446, 4.1.2.
fn hello(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let with_length = |bytes: usize, content: &[u8]| {
        let length = (content.len() as u32).to_be_bytes();
        [&length[4 - bytes..], content].concat()
    };
    let extensions: Vec<u8> = extensions
        .iter()
        .flat_map(|(kind, content)| [&kind.to_be_bytes()[..], &with_length(2, content)].concat())
        .collect();
    let body = [
        vec![3, 3],
        vec![7; 32],
        with_length(1, &[1; 32]),
        with_length(2, &[0x13, 1, 0x13, 2]),
        with_length(1, &[0]),
        with_length(2, &extensions),
    ]
    .concat();
    let handshake = [&[1][..], &with_length(3, &body)].concat();
    [&[22, 3, 1][..], &with_length(2, &handshake)].concat()
}

fn names(name: &str) -> (u16, Vec<u8>) {
    let length = name.len() as u8;
    let entry = [&[0, 0, length], name.as_bytes()].concat();
    (0, [&[0, length + 3][..], &entry].concat())
}

#[test]
fn the_server_name_is_found_among_other_extensions() {
    let bytes = hello(&[(10, vec![0; 8]), names("Www.Example.ORG"), (16, vec![1; 3])]);
    assert_eq!(server_name(&bytes), Hello::Name("www.example.org".into()));
}

#[test]
fn a_hello_that_is_cut_needs_more_until_the_name_has_come() {
    let bytes = hello(&[(10, vec![0; 1500]), names("example.org")]);
    for cut in 0..bytes.len() {
        assert_eq!(server_name(&bytes[..cut]), Hello::Partial, "{cut}");
    }
    assert_eq!(server_name(&bytes), Hello::Name("example.org".into()));
}

#[test]
fn what_has_no_name_has_none() {
    let addresses = hello(&[names("10.0.0.1")]);
    let nothing = hello(&[(10, vec![0; 8])]);
    let evil = hello(&[names("a b\n")]);
    let broken = hello(&[(0, vec![0xff; 5])]);
    for bytes in [
        addresses,
        nothing,
        evil,
        broken,
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ] {
        assert_eq!(server_name(&bytes), Hello::None);
    }
}
