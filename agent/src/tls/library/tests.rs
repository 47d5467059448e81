use std::process::Command;

use super::*;

/// Offsets that binutils find: the oracle.
fn by_readelf(path: &str, function: &str) -> u64 {
    let run = |arguments: &[&str]| {
        let output = Command::new("readelf").args(arguments).arg(path).output();
        String::from_utf8_lossy(&output.unwrap().stdout).into_owned()
    };
    let hex = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
    let symbols = run(&["-W", "--dyn-syms"]);
    let line = symbols.lines().find(|line| {
        let name = line.split_whitespace().nth(7).unwrap_or_default();
        name.split('@').next() == Some(function) && !line.contains("UND")
    });
    let address = hex(line.unwrap().split_whitespace().nth(1).unwrap());
    let segments = run(&["-W", "-l"]);
    let offset = segments.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [kind, offset, start, _, length, ..] = words[..] else {
            return None;
        };
        (kind == "LOAD" && address >= hex(start) && address < hex(start) + hex(length))
            .then(|| hex(offset) + address - hex(start))
    });
    offset.unwrap()
}

#[test]
fn the_functions_of_this_hosts_openssl_are_found_where_binutils_find_them() {
    let paths = [
        "/usr/lib/x86_64-linux-gnu/libssl.so.3",
        "/usr/lib/aarch64-linux-gnu/libssl.so.3",
    ];
    let Some(path) = paths.into_iter().find(|path| Path::new(path).exists()) else {
        return;
    };
    if Command::new("readelf").arg("--version").output().is_err() {
        return;
    }
    let found = Places::in_file(Path::new(path)).unwrap();
    for (function, begin, end) in OPENSSL {
        let offset = by_readelf(path, function);
        for program in [begin, end].into_iter().filter(|name| !name.is_empty()) {
            let place = Place { program, offset };
            assert!(found.places.contains(&place), "{place:?} in {found:?}");
        }
    }
}

#[test]
fn a_program_without_a_tls_library_has_no_places() {
    let own = std::env::current_exe().unwrap();
    assert_eq!(Places::in_file(&own).unwrap(), Places::default());
}

#[test]
fn any_bytes_are_refused_or_read() {
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let head = own.get(..4096).unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..2000 {
        let mut bytes = head.to_vec();
        for _ in 0..random.usize(1..30) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.truncate(random.usize(..=bytes.len()));
        let _either = Places::find(bytes.as_slice()).is_ok();
    }
}

#[test]
fn the_table_of_functions_is_sorted_for_the_search() {
    assert!(OPENSSL.is_sorted_by_key(|(name, ..)| *name));
}
