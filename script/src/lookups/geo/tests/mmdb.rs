//! Writes small databases in MaxMind's format, version 2.0.

use std::net::{IpAddr, Ipv6Addr};

/// What a record or a part of it is.
pub(super) enum Item {
    Text(&'static str),
    Double(f64),
    Float(f32),
    Map(Vec<(&'static str, Item)>),
    List(Vec<Item>),
}

const EMPTY: usize = usize::MAX;

/// A tree of two branches per bit.
enum Branch {
    Node(usize),
    Data(usize),
    Nothing,
}

/// The file of a database with these networks, none of which lies in another. IPv4 ones stand where a database for
/// both families has them, or alone in one that is `only_ipv4`.
pub(super) fn database(only_ipv4: bool, networks: &[(&str, Item)]) -> Vec<u8> {
    let mut data = Vec::new();
    let mut nodes = vec![[EMPTY; 2]];
    let mut leaves = Vec::new();
    for (network, record) in networks {
        let (bits, length) = bits(only_ipv4, network);
        let mut node = 0;
        for depth in 0..length {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == length {
                leaves.push((node, side, data.len()));
            } else {
                if nodes[node][side] == EMPTY {
                    nodes.push([EMPTY; 2]);
                    nodes[node][side] = nodes.len() - 1;
                }
                node = nodes[node][side];
            }
        }
        write(record, &mut data);
    }
    let branch = |node: usize, side: usize| {
        let leaf = leaves.iter().find(|leaf| (leaf.0, leaf.1) == (node, side));
        match (leaf, nodes[node][side]) {
            (Some((.., at)), _) => Branch::Data(*at),
            (None, EMPTY) => Branch::Nothing,
            (None, next) => Branch::Node(next),
        }
    };
    let mut file = Vec::new();
    for node in 0..nodes.len() {
        for side in [0, 1] {
            let value = match branch(node, side) {
                Branch::Node(next) => next,
                Branch::Nothing => nodes.len(),
                Branch::Data(at) => nodes.len() + 16 + at,
            };
            file.extend(u32::try_from(value).expect("small").to_be_bytes());
        }
    }
    file.extend([0; 16]);
    file.extend(data);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    metadata(only_ipv4, nodes.len(), &mut file);
    file
}

fn bits(only_ipv4: bool, network: &str) -> (u128, u8) {
    let (address, length) = network.split_once('/').expect("a network");
    let length: u8 = length.parse().expect("a length");
    match address.parse().expect("an address") {
        IpAddr::V4(v4) if only_ipv4 => (u128::from(v4.to_bits()) << 96, length),
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), length + 96),
        IpAddr::V6(v6) => (Ipv6Addr::to_bits(v6), length),
    }
}

fn metadata(only_ipv4: bool, nodes: usize, file: &mut Vec<u8>) {
    file.push(0xe0 | 9);
    let number = |file: &mut Vec<u8>, key: &'static str, kind: u8, value: u64| {
        write(&Item::Text(key), file);
        let bytes = value.to_be_bytes();
        let used = &bytes[bytes.iter().position(|byte| *byte != 0).unwrap_or(7)..];
        let size = u8::try_from(used.len()).expect("8 at most");
        // Kinds past 7 are written behind the size.
        match kind {
            0..=7 => file.push(kind << 5 | size),
            _ => file.extend([size, kind - 7]),
        }
        file.extend(used);
    };
    number(file, "node_count", 6, nodes as u64);
    number(file, "record_size", 5, 32);
    number(file, "ip_version", 5, if only_ipv4 { 4 } else { 6 });
    number(file, "binary_format_major_version", 5, 2);
    number(file, "binary_format_minor_version", 5, 0);
    number(file, "build_epoch", 9, 1_700_000_000);
    write(&Item::Text("database_type"), file);
    write(&Item::Text("Test-City"), file);
    write(&Item::Text("languages"), file);
    write(&Item::List(Vec::new()), file);
    write(&Item::Text("description"), file);
    write(&Item::Map(Vec::new()), file);
}

fn write(item: &Item, data: &mut Vec<u8>) {
    match item {
        Item::Text(text) => {
            let size = u8::try_from(text.len()).expect("short");
            match size {
                0..=28 => data.push(2 << 5 | size),
                _ => data.extend([2 << 5 | 29, size - 29]),
            }
            data.extend(text.as_bytes());
        }
        Item::Double(number) => {
            data.push(3 << 5 | 8);
            data.extend(number.to_be_bytes());
        }
        Item::Float(number) => {
            data.extend([4, 15 - 7]);
            data.extend(number.to_be_bytes());
        }
        Item::Map(entries) => {
            data.push(7 << 5 | u8::try_from(entries.len()).expect("few"));
            for (key, value) in entries {
                write(&Item::Text(key), data);
                write(value, data);
            }
        }
        Item::List(items) => {
            data.extend([u8::try_from(items.len()).expect("few"), 11 - 7]);
            for item in items {
                write(item, data);
            }
        }
    }
}
