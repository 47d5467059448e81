//! The kernel's BTF. The first byte chooses whether the rest is a whole file or, behind two bytes with the length of the
//! types, only types and strings.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_agent::btf::Members;
use weir_fuzz::input::Input;

/// Long names cost the fuzzer time to find.
const PATHS: [(&str, &str); 5] = [
    ("outer", "a"),
    ("outer", "d"),
    ("outer", "in.a"),
    ("a", "a.a.a.a.a.a.a.a.a"),
    ("sock", "__sk_common.skc_net"),
];

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    if input.byte() & 1 == 0 {
        return ask_everything(input.0);
    }
    let types = usize::from(input.short());
    let types = input.piece(types);
    ask_everything(&file(types, input.0));
});

fn ask_everything(data: &[u8]) {
    let Ok(members) = Members::parse(data) else {
        return;
    };
    for (of, path) in PATHS {
        let _place = (members.offset(of, path), members.bit_offset(of, path));
    }
    let _arguments = members.arguments("a");
}

/// Header: magic and version, its own length, then offset and length of the types and of the strings.
fn file(types: &[u8], strings: &[u8]) -> Vec<u8> {
    let mut data = 0xeb9f_u16.to_ne_bytes().to_vec();
    data.extend([1, 0]);
    for number in [24, 0, types.len(), types.len(), strings.len()] {
        data.extend((number as u32).to_ne_bytes());
    }
    data.extend(types);
    data.extend(strings);
    data
}
