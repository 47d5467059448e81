//! The primitives of the protobuf encoding, over borrowed bytes.

/// Why bytes are no protobuf.
pub(super) type Problem = &'static str;

pub(super) const TRUNCATED: Problem = "cut short";
const TOO_LONG: Problem = "varint of more than 64 bits";

/// How a value is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WireType {
    Varint,
    Fixed64,
    Length,
    Fixed32,
}

/// A place in `bytes`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) const fn at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    #[inline]
    pub(super) fn tag(&mut self) -> Result<(u32, WireType), Problem> {
        let tag = u32::try_from(self.varint()?).map_err(|_too_big| "field number too big")?;
        let wire_type = match tag & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Length,
            5 => WireType::Fixed32,
            _ => return Err("group or unknown wire type"),
        };
        match tag >> 3 {
            0 => Err("field number 0"),
            number => Ok((number, wire_type)),
        }
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Problem> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            Some(_) => self.long_varint(),
            None => Err(TRUNCATED),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Problem> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or(TRUNCATED)?;
            self.at += 1;
            if shift == 63 && byte > 1 {
                return Err(TOO_LONG);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(TOO_LONG)
    }

    /// A length and as many bytes.
    #[inline]
    pub(super) fn chunk(&mut self) -> Result<&'a [u8], Problem> {
        let length = usize::try_from(self.varint()?).map_err(|_too_big| TRUNCATED)?;
        let to = self.at.checked_add(length).ok_or(TRUNCATED)?;
        let chunk = self.bytes.get(self.at..to).ok_or(TRUNCATED)?;
        self.at = to;
        Ok(chunk)
    }

    #[inline]
    pub(super) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let chunk = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk);
        self.at += N;
        chunk.copied().ok_or(TRUNCATED)
    }

    #[inline]
    pub(super) fn skip(&mut self, wire_type: WireType) -> Result<(), Problem> {
        match wire_type {
            WireType::Varint => self.varint().map(drop),
            WireType::Fixed64 => self.fixed::<8>().map(drop),
            WireType::Length => self.chunk().map(drop),
            WireType::Fixed32 => self.fixed::<4>().map(drop),
        }
    }
}
