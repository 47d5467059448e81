//! Huffman code of header fields (RFC 7541, section 5.2 and appendix B).

/// End of string: must not occur.
const EOS: usize = 256;
const LONGEST: usize = 30;

/// How long the code of each byte is. The code is canonical: codes of one length follow each other, in the order of
/// their bytes, so that the lengths say everything.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The code, laid out for decoding.
struct Code {
    /// By the next eight bits: the byte and the length of its code, 0 if that is longer.
    short: [(u8, u8); 256],
    /// First code of each length.
    first: [u32; LONGEST + 1],
    /// How many codes there are of each length.
    count: [u32; LONGEST + 1],
    /// Place in `symbols` of the first code of each length.
    place: [u16; LONGEST + 1],
    /// In the order of their codes.
    symbols: [u16; 257],
}

static CODE: Code = lay_out();

const fn lay_out() -> Code {
    let mut code = Code {
        short: [(0, 0); 256],
        first: [0; LONGEST + 1],
        count: [0; LONGEST + 1],
        place: [0; LONGEST + 1],
        symbols: [0; 257],
    };
    let mut next = 0;
    let mut placed = 0;
    let mut length = 1;
    while length <= LONGEST {
        next <<= 1;
        code.first[length] = next;
        code.place[length] = placed as u16;
        let mut symbol = 0;
        while symbol <= EOS {
            if LENGTHS[symbol] as usize == length {
                code.symbols[placed] = symbol as u16;
                if length <= 8 {
                    let mut at = (next as usize) << (8 - length);
                    let end = at + (1 << (8 - length));
                    while at < end {
                        code.short[at] = (symbol as u8, length as u8);
                        at += 1;
                    }
                }
                placed += 1;
                next += 1;
                code.count[length] += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    code
}

/// Appends what `coded` stands for; `None` if it is no such code.
pub(super) fn decode(coded: &[u8], to: &mut Vec<u8>) -> Option<()> {
    // The lowest `left` bits of `bits` are still to be decoded.
    let (mut bits, mut left) = (0u64, 0u32);
    for byte in coded {
        bits = bits << 8 | u64::from(*byte);
        left += 8;
        while left >= 8 {
            let Some((symbol, length)) = one(bits, left)? else {
                break;
            };
            to.push(symbol);
            left -= length;
        }
    }
    // What is left is padded with ones: no code that begins like them is so short.
    loop {
        let padded = bits << 8 | 0xff;
        let (symbol, length) = CODE.short[(padded >> left) as usize & 0xff];
        if length == 0 || u32::from(length) > left {
            break;
        }
        to.push(symbol);
        left -= u32::from(length);
    }
    let padding = (1u64 << left) - 1;
    (left < 8 && bits & padding == padding).then_some(())
}

/// The next byte and the length of its code. `Some(None)` if more bits are needed.
#[inline]
fn one(bits: u64, left: u32) -> Option<Option<(u8, u32)>> {
    let (symbol, length) = CODE.short[(bits >> (left - 8)) as usize & 0xff];
    if length > 0 {
        return Some(Some((symbol, u32::from(length))));
    }
    for length in 9..=left.min(LONGEST as u32) {
        let code = (bits >> (left - length)) as u32 & ((1 << length) - 1);
        let at = length as usize;
        let offset = code.wrapping_sub(CODE.first[at]);
        if offset < CODE.count[at] {
            let symbol = CODE.symbols[usize::from(CODE.place[at]) + offset as usize];
            return u8::try_from(symbol).ok().map(|byte| Some((byte, length)));
        }
    }
    if left >= LONGEST as u32 {
        return None;
    }
    Some(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        decode(coded, &mut text).map(|()| text)
    }

    #[test]
    fn examples_of_the_standard_are_read() {
        // RFC 7541, C.4.1 and C.6.1.
        let host = [
            0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
        ];
        assert_eq!(decoded(&host).unwrap(), b"www.example.com");
        let date = [
            0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b,
            0x81, 0x66, 0xe0, 0x82, 0xa6, 0x2d, 0x1b, 0xff,
        ];
        assert_eq!(decoded(&date).unwrap(), b"Mon, 21 Oct 2013 20:13:21 GMT");
    }

    #[test]
    fn an_end_of_string_and_wrong_padding_are_refused() {
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), None);
        // The code of `0` is five zeros; three more bits must be ones.
        assert_eq!(decoded(&[0b0000_0111]).unwrap(), b"0");
        assert_eq!(decoded(&[0b0000_0110]), None);
        assert_eq!(decoded(&[0b0000_0111, 0xff]), None);
    }
}
