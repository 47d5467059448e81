//! Which segments of paths identify one thing among many.

/// Longer segments are never names that somebody has chosen for a route.
const LONGEST_NAME: usize = 64;
/// Shorter hexadecimal texts may be words.
const SHORTEST_HASH: usize = 8;
/// Shorter texts of letters and digits may be names with a version.
const SHORTEST_TOKEN: usize = 20;
/// `2026-01-31`, `20:15:00`.
const SHORTEST_DATE: usize = 8;

/// Whether the segment is a number, a UUID, a hash, a date, an address or another token.
pub(crate) fn is_identifier(segment: &str) -> bool {
    if segment.len() > LONGEST_NAME {
        return true;
    }
    let mut found = Found::default();
    for byte in segment.bytes() {
        found.take(byte);
    }
    found.is_identifier(segment)
}

/// What a segment is made of.
#[derive(Default)]
struct Found {
    digits: usize,
    letters: usize,
    /// Letters past `f`.
    other_letters: usize,
    /// `-`, `:`, and so on.
    separators: usize,
    dots: usize,
    others: usize,
    at: bool,
}

impl Found {
    fn take(&mut self, byte: u8) {
        match byte {
            b'0'..=b'9' => self.digits += 1,
            b'a'..=b'f' | b'A'..=b'F' => self.letters += 1,
            b'g'..=b'z' | b'G'..=b'Z' => {
                self.letters += 1;
                self.other_letters += 1;
            }
            b'-' | b'_' | b':' | b'~' | b'=' | b'+' => self.separators += 1,
            b'.' => self.dots += 1,
            b'@' => self.at = true,
            _ => self.others += 1,
        }
    }

    fn is_identifier(&self, segment: &str) -> bool {
        let length = segment.len();
        if self.at || segment.contains("%40") {
            return self.dots > 0 && self.letters > 0;
        }
        if self.others > 0 || self.digits == 0 {
            return false;
        }
        let is_number = self.letters == 0
            && (self.separators + self.dots == 0
                || length >= SHORTEST_DATE
                || (self.dots == 3 && self.separators == 0));
        let is_hex = self.other_letters == 0 && self.dots == 0;
        let is_hash = is_hex && self.separators == 0 && length >= SHORTEST_HASH;
        let is_uuid = is_hex && self.separators == 4 && length == 36;
        // A file has a name and an ending; a signed token has two dots and is long.
        let is_token =
            length >= SHORTEST_TOKEN && (self.dots == 0 || self.dots == 2 && length > 40);
        is_number || is_hash || is_uuid || is_token
    }
}
