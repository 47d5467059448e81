//! A body in chunks (RFC 9112, 7.1).

/// The longest size of a chunk that is believed, in hexadecimal digits.
const MOST_DIGITS: u8 = 15;

/// Where in the body reading has come to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunks {
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Size { value: u64, digits: u8 },
    Extension { value: u64 },
    Data { left: u64 },
    Trailer { is_empty: bool },
}

/// What bytes of a body came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// All were read, and there is more to come.
    More,
    /// The body ended after so many.
    End(usize),
    /// These are no chunks.
    Wrong,
}

impl Chunks {
    pub(super) const fn new() -> Self {
        Self {
            place: Place::Size {
                value: 0,
                digits: 0,
            },
        }
    }

    pub(super) fn read(&mut self, bytes: &[u8]) -> Read {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            self.place = match (self.place, byte) {
                (Place::Data { left }, _) => {
                    let here = left.min((bytes.len() - at + 1) as u64);
                    at += here as usize - 1;
                    data(left - here)
                }
                (Place::Size { value, digits }, _) if byte.is_ascii_hexdigit() => {
                    if digits == MOST_DIGITS {
                        return Read::Wrong;
                    }
                    let digit = char::from(byte).to_digit(16).unwrap_or_default();
                    Place::Size {
                        value: value << 4 | u64::from(digit),
                        digits: digits + 1,
                    }
                }
                (Place::Size { digits: 0, .. }, _) => return Read::Wrong,
                (Place::Size { value, .. } | Place::Extension { value }, b'\n') => match value {
                    0 => Place::Trailer { is_empty: true },
                    // An empty line ends the data.
                    value => data(value + 2),
                },
                (Place::Size { value, .. } | Place::Extension { value }, _) => {
                    Place::Extension { value }
                }
                (Place::Trailer { is_empty: true }, b'\n') => return Read::End(at),
                (Place::Trailer { is_empty }, byte) => Place::Trailer {
                    is_empty: byte == b'\n' || (is_empty && byte == b'\r'),
                },
            };
        }
        Read::More
    }

    /// Passes bytes that were not captured; false if they are not all data of one chunk.
    pub(super) fn skip(&mut self, count: u64) -> bool {
        match self.place {
            _ if count == 0 => true,
            Place::Data { left } if count <= left => {
                self.place = data(left - count);
                true
            }
            _ => false,
        }
    }
}

const fn data(left: u64) -> Place {
    if left > 0 {
        return Place::Data { left };
    }
    Place::Size {
        value: 0,
        digits: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_however_the_body_is_cut() {
        let body = b"4\r\nWiki\r\n5;name=value\r\npedia\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nExpires: x\r\n\r\nnext";
        let end = body.len() - 4;
        for cut in 0..=end {
            let mut chunks = Chunks::new();
            match chunks.read(&body[..cut]) {
                Read::More => assert_eq!(chunks.read(&body[cut..]), Read::End(end - cut)),
                found => assert_eq!((found, cut), (Read::End(end), end)),
            }
        }
    }

    #[test]
    fn data_that_was_not_captured_is_passed() {
        let mut chunks = Chunks::new();
        assert_eq!(chunks.read(b"100\r\nabc"), Read::More);
        assert!(chunks.skip(0x100 - 3 + 2));
        assert!(!Chunks::new().skip(1));
        assert_eq!(chunks.read(b"0\r\n\r\n"), Read::End(5));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for wrong in [&b"x\r\n"[..], b"\r\n", b"-1\r\n", b"1000000000000000\r\n"] {
            assert_eq!(Chunks::new().read(wrong), Read::Wrong);
        }
    }
}
