//! What the kernel says, as bytes.

use crate::seed;

/// A netlink message.
fn message(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = (16 + body.len() as u32).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend([2, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(body);
    bytes
}

/// A netlink attribute.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = (4 + value.len() as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub(crate) fn netlink() {
    // `struct inet_diag_msg` of an established connection, and `struct tcp_info`.
    let mut socket = vec![2, 1, 0, 0, 0, 80, 156, 64];
    socket.extend([10, 0, 0, 1]);
    socket.extend([0; 12]);
    socket.extend([10, 0, 0, 2]);
    socket.extend([0; 12]);
    socket.extend((1..40).take(28));
    let info: Vec<u8> = (0..240_u8)
        .map(|at| if at % 8 == 0 { at } else { 0 })
        .collect();
    socket.resize(72, 0);
    let sockets = [&socket[..], &attribute(10, &[6]), &attribute(2, &info)].concat();
    seed(
        "netlink",
        "sockets",
        &[
            &message(20, &sockets),
            &message(20, &socket),
            &message(3, &[0; 4]),
        ],
    );

    let tuple = |kind: u16, from: u8, to: u8| {
        let addresses = [
            attribute(1, &[10, 0, 0, from]),
            attribute(2, &[10, 0, 0, to]),
        ]
        .concat();
        let ports = [
            attribute(1, &[6]),
            attribute(2, &[156, 64]),
            attribute(3, &[0, 80]),
        ]
        .concat();
        let inside = [attribute(0x8001, &addresses), attribute(0x8002, &ports)].concat();
        attribute(0x8000 | kind, &inside)
    };
    let status = attribute(3, &0x1ae_u32.to_be_bytes());
    let tracked = [&[2, 0, 0, 0][..], &tuple(1, 1, 2), &tuple(2, 3, 1), &status].concat();
    seed(
        "netlink",
        "connections",
        &[&message(1 << 8, &tracked), &message(1 << 8 | 2, &tracked)],
    );
    seed(
        "netlink",
        "chain",
        &[&[2, 0, 0, 0], &attribute(7, b"nat\0")],
    );
}

/// `struct outer { int a; union { struct { int c; int d; }; struct in { int a; } in; }; }` and the function `a(outer)`.
pub(crate) fn btf() {
    let strings = b"\0outer\0a\0c\0d\0in\0int\0";
    let at = |name: &str| {
        let name = [b"\0", name.as_bytes(), b"\0"].concat();
        let found = strings.windows(name.len()).position(|part| part == name);
        found.expect("a name") as u32 + 1
    };
    let kind = |kind: u32, members: u32| kind << 24 | members;
    let words = [
        vec![at("int"), kind(1, 0), 4, 32],
        vec![0, kind(4, 2), 8, at("c"), 1, 0, at("d"), 1, 32],
        vec![at("in"), kind(4, 1), 4, at("a"), 1, 0],
        vec![0, kind(5, 2), 8, 0, 2, 0, at("in"), 3, 0],
        vec![at("outer"), kind(4, 2), 12, at("a"), 1, 0, 0, 4, 32],
        vec![0, kind(13, 1), 0, 0, 5],
        vec![at("a"), kind(12, 0), 6],
    ];
    let types: Vec<u8> = words
        .concat()
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect();
    let lengths = [24, 0, types.len(), types.len(), strings.len()];
    let lengths: Vec<u8> = lengths
        .iter()
        .flat_map(|length| (*length as u32).to_ne_bytes())
        .collect();
    let header = [&0xeb9f_u16.to_ne_bytes()[..], &[1, 0], &lengths].concat();
    seed("btf", "file", &[&[0], &header, &types, strings]);
    seed(
        "btf",
        "types",
        &[&[1], &(types.len() as u16).to_be_bytes(), &types, strings],
    );
}
