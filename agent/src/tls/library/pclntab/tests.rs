use super::*;

/// A table of Go 1.20 with two functions, written by hand from the description of the format.
fn table() -> Vec<u8> {
    let mut data = Vec::new();
    data.extend(GO_1_20.to_le_bytes());
    data.extend([0, 0, 1, 8]);
    let names = b"\0first\0second\0";
    let names_at = 8 + 8 * 8;
    let list_at = names_at + names.len() + 2;
    for word in [2, 0, 0x40_0000, names_at, 0, 0, 0, list_at] {
        data.extend((word as u64).to_le_bytes());
    }
    data.extend(names);
    data.extend([0, 0]);
    // Two functions and the end of the second; their descriptions follow.
    for half in [0x100_u32, 20, 0x180, 28, 0x1f0] {
        data.extend(half.to_le_bytes());
    }
    for half in [0x100_u32, 1, 0x180, 7] {
        data.extend(half.to_le_bytes());
    }
    data
}

#[test]
fn functions_are_found_by_their_whole_names() {
    let data = table();
    let found = Pclntab::parse(&data, 0).unwrap();
    assert_eq!(found.convention(), Convention::Registers);
    assert_eq!(
        found.find(["second", "first", "sec", "third"]),
        [Some((0x40_0180, 0x70)), Some((0x40_0100, 0x80)), None, None]
    );
}

#[test]
fn any_bytes_are_refused_or_read() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..20_000 {
        let mut data = table();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(4..data.len());
            data[at] = random.u8(..);
        }
        data.truncate(random.usize(..=data.len()));
        if let Some(table) = Pclntab::parse(&data, u64::MAX) {
            let _found = table.find(["first"]);
        }
    }
}
