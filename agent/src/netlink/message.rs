//! Netlink messages and attributes as bytes: read without trust, written as the kernel reads them.
//!
//! Layouts: `struct nlmsghdr`, `struct nlmsgerr` and `struct nlattr` of `include/uapi/linux/netlink.h`. Numbers of
//! the headers are in the byte order of the machine.

/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Length of `struct nlattr`.
const ATTRIBUTE: usize = 4;

/// `NLMSG_ERROR`, also an acknowledgement.
pub(crate) const ERROR: u16 = 2;
/// `NLMSG_DONE`.
pub(crate) const DONE: u16 = 3;
/// `NLM_F_REQUEST`.
pub(crate) const REQUEST: u16 = 0x001;
/// `NLM_F_DUMP_INTR`: what is dumped changed meanwhile.
pub(crate) const DUMP_INTERRUPTED: u16 = 0x010;
/// `NLM_F_ROOT | NLM_F_MATCH`.
pub(crate) const DUMP: u16 = 0x300;
/// `NLA_F_NESTED | NLA_F_NET_BYTEORDER`.
const TYPE_FLAGS: u16 = 0xc000;
/// `NLA_F_NESTED`.
#[cfg(test)]
pub(crate) const NESTED: u16 = 0x8000;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) body: &'a [u8],
}

/// The bytes are no sequence of netlink messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The messages of one datagram. Ends after the first malformed one.
pub(crate) fn messages(datagram: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Malformed>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let message = split_message(rest);
        rest = match message {
            Some((_, after)) => after,
            None => &[],
        };
        Some(message.map(|(message, _)| message).ok_or(Malformed))
    })
}

fn split_message(bytes: &[u8]) -> Option<(Message<'_>, &[u8])> {
    let length = u32_at(bytes, 0)? as usize;
    let message = Message {
        kind: u16_at(bytes, 4)?,
        flags: u16_at(bytes, 6)?,
        sequence: u32_at(bytes, 8)?,
        body: bytes.get(HEADER..length)?,
    };
    // The last one need not be padded.
    let after = bytes.get(padded(length)..).unwrap_or_default();
    Some((message, after))
}

impl Message<'_> {
    /// What `NLMSG_ERROR` and `NLMSG_DONE` say: 0, or an errno. A body that is too short says 0.
    pub(crate) fn errno(&self) -> i32 {
        u32_at(self.body, 0).map_or(0, |value| (value as i32).wrapping_neg())
    }
}

/// Type and value of each attribute. Ends before the first malformed one.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & !TYPE_FLAGS;
        let value = rest.get(ATTRIBUTE..length)?;
        rest = rest.get(padded(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn padded(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

/// Number in the machine's byte order.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    array_at(bytes, offset).map(u16::from_ne_bytes)
}

/// Number in the machine's byte order.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    array_at(bytes, offset).map(u32::from_ne_bytes)
}

/// Number in the machine's byte order.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    array_at(bytes, offset).map(u64::from_ne_bytes)
}

/// Number in network byte order.
pub(crate) fn be16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    array_at(bytes, offset).map(u16::from_be_bytes)
}

/// Number in network byte order.
pub(crate) fn be32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    array_at(bytes, offset).map(u32::from_be_bytes)
}

/// One message to the kernel.
pub(crate) fn request(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = HEADER + body.len();
    let mut bytes = Vec::with_capacity(padded(length));
    bytes.extend((length as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((flags | REQUEST).to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(body);
    bytes.resize(padded(length), 0);
    bytes
}

/// Appends one attribute.
pub(crate) fn push_attribute(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = ATTRIBUTE + value.len();
    to.extend((length as u16).to_ne_bytes());
    to.extend(kind.to_ne_bytes());
    to.extend(value);
    to.resize(to.len() + padded(length) - length, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were_written() {
        let mut bytes = request(20, DUMP, 7, b"abcde");
        bytes.extend(request(3, 0, 8, &(-2_i32).to_ne_bytes()));
        let read: Vec<_> = messages(&bytes).map(Result::unwrap).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(
            (read[0].kind, read[0].sequence, read[0].body),
            (20, 7, &b"abcde"[..])
        );
        assert_eq!((read[1].kind, read[1].errno()), (DONE, 2));
    }

    #[test]
    fn attributes_come_back_without_their_flags() {
        let mut bytes = Vec::new();
        push_attribute(&mut bytes, 1 | NESTED, b"xyz");
        push_attribute(&mut bytes, 2, b"");
        push_attribute(&mut bytes, 3, b"1234");
        let read: Vec<_> = attributes(&bytes).collect();
        assert_eq!(read, [(1, &b"xyz"[..]), (2, b""), (3, b"1234")]);
    }

    #[test]
    fn a_length_that_lies_ends_the_walk() {
        let good = request(20, 0, 1, b"abcd");
        for length in [0_u32, 1, 15, 21, 1 << 20, u32::MAX] {
            let mut bytes = good.clone();
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(messages(&bytes).collect::<Vec<_>>(), [Err(Malformed)]);
        }
        for length in [0_u16, 3, 9, u16::MAX] {
            let mut bytes = Vec::new();
            push_attribute(&mut bytes, 1, b"abcd");
            bytes[..2].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(attributes(&bytes).count(), 0);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic_and_the_walk_ends() {
        let mut random = fastrand::Rng::with_seed(11);
        let mut seed = request(20, DUMP, 7, b"abcde");
        push_attribute(&mut seed, 1, b"abc");
        seed.extend(request(2, 0, 1, &[0; 40]));
        for _ in 0..20_000 {
            let mut bytes = seed.clone();
            for _ in 0..random.usize(1..8) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            bytes.truncate(random.usize(..=bytes.len()));
            let read = messages(&bytes).take(1000).fold(0, |sum, message| {
                sum + 1 + message.map_or(0, |message| attributes(message.body).take(1000).count())
            });
            assert!(read < 1000, "{bytes:?}");
        }
    }
}
