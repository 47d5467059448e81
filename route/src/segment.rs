//! What a segment of a path looks like: a word that the program knows, or an identifier.

/// No program calls a part of its interface by so long a name.
const LONGEST_WORD: usize = 64;
/// From so many digits on, hexadecimal ones are a hash: `cafe1` is a word, `deadbee5` is not.
const SHORTEST_HASH: usize = 8;
/// So many digits in a row number something, and are not the number of a port, a year or a status code.
const SHORTEST_NUMBER: usize = 5;
/// From so many characters on, letters mixed with digits are a token.
const SHORTEST_TOKEN: usize = 20;
/// Shorter mixtures of letters and digits are names, such as `k8s` and `v1alpha1`.
const SHORTEST_MIXTURE: usize = 10;

/// `20240131`; a number with less is a version if there are points in it.
const SHORTEST_DATE: usize = 8;

const DIGIT: u8 = 1;
const HEX: u8 = 2;
const LETTER: u8 = 4;
/// Ends a piece of a name.
const MARK: u8 = 8;
/// What a number or a date is written with besides digits.
const NUMBER: u8 = 16;
/// The letters of a timestamp of ISO 8601.
const ISO: u8 = 32;
/// What a base64 token has besides letters and digits.
const BASE64: u8 = 64;

/// What each byte can be a part of.
static KINDS: [u8; 256] = kinds();

const fn kinds() -> [u8; 256] {
    let mut kinds = [0; 256];
    let mut byte: u8 = 0;
    loop {
        kinds[byte as usize] = match byte {
            b'0'..=b'9' => DIGIT | HEX,
            b'T' | b'Z' => LETTER | ISO,
            b'a'..=b'f' | b'A'..=b'F' => HEX | LETTER,
            b'a'..=b'z' | b'A'..=b'Z' => LETTER,
            b'-' | b'.' => MARK | NUMBER,
            b':' | b',' | b'+' => MARK | NUMBER,
            b'_' | b'~' => MARK,
            b'=' => BASE64,
            _ => 0,
        };
        if byte == u8::MAX {
            return kinds;
        }
        byte += 1;
    }
}

/// Whether a segment names one thing among many: a number, a date, a UUID, a hash, a token, an e-mail address.
pub(crate) fn is_identifier(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    if bytes.len() > LONGEST_WORD {
        return true;
    }
    if !bytes
        .iter()
        .any(|byte| matches!(byte, b'0'..=b'9' | b'@' | b'%'))
    {
        return false;
    }
    let mut seen = Seen::default();
    for &byte in bytes {
        seen.byte(byte);
    }
    seen.piece_ends();
    seen.is_identifier(bytes.len()) || is_address(segment)
}

/// What was seen of a segment, and of its latest piece between `-`, `.` and the like.
struct Seen {
    /// Kinds that some byte had.
    some: u8,
    /// Whether all of it can be part of one.
    is_number: bool,
    is_timestamp: bool,
    is_token: bool,
    /// Digits in a row.
    digits: usize,
    dots: usize,
    /// Digits in all.
    all_digits: usize,
    piece: Piece,
    has_mixed_piece: bool,
    has_code: bool,
}

/// Between two marks.
struct Piece {
    length: usize,
    some: u8,
    every: u8,
}

impl Default for Piece {
    fn default() -> Self {
        Self {
            length: 0,
            some: 0,
            every: u8::MAX,
        }
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            some: 0,
            is_number: true,
            dots: 0,
            is_timestamp: true,
            is_token: true,
            digits: 0,
            all_digits: 0,
            piece: Piece::default(),
            has_mixed_piece: false,
            has_code: false,
        }
    }
}

impl Seen {
    fn byte(&mut self, byte: u8) {
        let kind = KINDS[usize::from(byte)];
        self.some |= kind;
        self.is_number &= kind & (DIGIT | NUMBER) != 0;
        self.is_timestamp &= kind & (DIGIT | NUMBER | ISO) != 0;
        self.is_token &= kind & (DIGIT | LETTER | MARK | BASE64) != 0;
        if kind & DIGIT != 0 {
            self.digits += 1;
            self.all_digits += 1;
            self.has_code |= self.digits >= SHORTEST_NUMBER;
        } else {
            self.digits = 0;
        }
        self.dots += usize::from(byte == b'.');
        if kind & MARK != 0 {
            self.piece_ends();
        } else {
            self.piece.length += 1;
            self.piece.some |= kind;
            self.piece.every &= kind;
        }
    }

    fn piece_ends(&mut self) {
        let Piece {
            length,
            some,
            every,
        } = self.piece;
        self.piece = Piece::default();
        let has_digit = some & DIGIT != 0;
        let has_letter = some & LETTER != 0;
        self.has_code |= length >= SHORTEST_HASH && every & HEX != 0 && has_digit;
        self.has_mixed_piece |= has_digit && has_letter && length >= SHORTEST_MIXTURE;
    }

    fn is_identifier(&self, length: usize) -> bool {
        let has_digit = self.some & DIGIT != 0;
        // `1.2.3` is a version; `10.1.2.3`, `2024-01-31` and `-33.8688,151.2093` are not.
        let is_number =
            self.is_number && (self.some & MARK == 0 || length >= SHORTEST_DATE || self.dots == 3);
        // A year, a month, a day, and perhaps the time.
        let is_timestamp = self.is_timestamp && self.all_digits >= SHORTEST_DATE;
        let is_token = self.is_token && length >= SHORTEST_TOKEN && self.has_mixed_piece;
        has_digit && (is_number || is_timestamp || self.has_code || is_token)
    }
}

/// Whether it is an e-mail address: something on both sides of the `@`, which may be percent-encoded.
fn is_address(segment: &str) -> bool {
    let parts = segment
        .split_once('@')
        .or_else(|| segment.split_once("%40"));
    parts.is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'))
}
