//! Go's `crypto/tls` in a Go program, with a table of symbols or without.

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, ReadRef};

use super::{
    Loaded, Place,
    pclntab::{Convention, Pclntab},
    returns::returns,
};

/// The longest function that is believed.
const LONGEST: u64 = 64 * 1024;

/// What a function is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Read,
    Write,
    Handshake,
    Close,
}

const FUNCTIONS: [(&str, Purpose); 5] = [
    ("crypto/tls.(*Conn).Close", Purpose::Close),
    ("crypto/tls.(*Conn).Read", Purpose::Read),
    ("crypto/tls.(*Conn).Write", Purpose::Write),
    ("crypto/tls.(*Conn).clientHandshake", Purpose::Handshake),
    ("crypto/tls.(*Conn).serverHandshake", Purpose::Handshake),
];

/// A function in memory: where it begins and how long it is.
type Function = (u64, u64);

/// The places in a Go program; none if it is none, or does not use the package, or cannot be read.
pub(super) fn places<'a>(file: &object::File<'a, impl ReadRef<'a>>, loaded: &Loaded) -> Vec<Place> {
    let Some(table) = Pclntab::of(file) else {
        return Vec::new();
    };
    let mut found = by_symbols(file);
    if found.iter().all(Option::is_none) {
        found = table.find(FUNCTIONS.map(|(name, _)| name));
    }
    let mut returning = Vec::new();
    let mut beginning = Vec::new();
    let on_stack = table.convention() == Convention::Stack;
    for ((_, purpose), function) in FUNCTIONS.iter().zip(found) {
        let Some((address, length)) = function else {
            continue;
        };
        let Some(offset) = loaded.offset(address) else {
            continue;
        };
        let (begin, end) = programs(*purpose, on_stack);
        if !begin.is_empty() {
            beginning.push(Place {
                program: begin,
                offset,
            });
        }
        if end.is_empty() {
            continue;
        }
        let code = code(file, (address, length));
        let Some(ends) = returns(file.architecture(), code.unwrap_or_default()) else {
            // Calls that are seen to begin but not to end are of no use.
            return Vec::new();
        };
        returning.extend(ends.into_iter().map(|end_at| Place {
            program: end,
            offset: offset + end_at,
        }));
    }
    if returning.is_empty() {
        return Vec::new();
    }
    returning.extend(beginning);
    returning
}

/// What belongs at the beginning of a function, and where it returns.
fn programs(purpose: Purpose, on_stack: bool) -> (&'static str, &'static str) {
    match (purpose, on_stack) {
        (Purpose::Read, false) => ("tls_go_read", "tls_go_moved"),
        (Purpose::Write, false) => ("tls_go_write", "tls_go_moved"),
        (Purpose::Handshake, false) => ("tls_go_handshake", ""),
        (Purpose::Close, false) => ("tls_go_close", ""),
        (Purpose::Read, true) => ("", "tls_go_stack_read"),
        (Purpose::Write, true) => ("", "tls_go_stack_written"),
        (Purpose::Handshake, true) => ("tls_go_stack_handshake", ""),
        (Purpose::Close, true) => ("tls_go_stack_close", ""),
    }
}

fn by_symbols<'a>(
    file: &object::File<'a, impl ReadRef<'a>>,
) -> [Option<Function>; FUNCTIONS.len()] {
    let mut found = [None; FUNCTIONS.len()];
    for symbol in file.symbols() {
        let Ok(name) = symbol.name_bytes() else {
            continue;
        };
        let at = FUNCTIONS.binary_search_by(|(known, _)| known.as_bytes().cmp(name));
        if let Ok(at) = at
            && let Some(function) = found.get_mut(at)
        {
            *function = Some((symbol.address(), symbol.size()));
        }
    }
    found
}

/// The code of a function.
fn code<'a>(
    file: &object::File<'a, impl ReadRef<'a>>,
    (address, length): Function,
) -> Option<&'a [u8]> {
    if length > LONGEST {
        return None;
    }
    file.sections()
        .filter(|section| {
            let start = section.address();
            address >= start && address - start < section.size()
        })
        .find_map(|section| section.data_range(address, length).ok()?)
}
