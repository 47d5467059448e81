//! The server name in a TLS ClientHello (RFC 8446, 4.1.2; RFC 6066, 3).

use super::message::host_name;

/// A record is no longer (RFC 8446, 5.1).
pub(super) const MOST_RECORD: usize = 5 + (1 << 14);

/// What bytes are of a ClientHello.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hello {
    /// It names this server.
    Name(Box<str>),
    /// It names none, or it is none.
    None,
    /// More has to come.
    Partial,
}

/// Reads a ClientHello from the beginning of a connection.
pub(super) fn server_name(bytes: &[u8]) -> Hello {
    let mut input = Input(bytes);
    let found = read(&mut input);
    match found {
        Ok(Some(name)) => host_name(name).map_or(Hello::None, Hello::Name),
        Ok(None) => Hello::None,
        Err(End) => {
            let is_hello = bytes.starts_with(&[22]) || bytes.is_empty();
            if is_hello && bytes.len() < MOST_RECORD && !is_whole(bytes) {
                Hello::Partial
            } else {
                Hello::None
            }
        }
    }
}

/// Whether the first record is there to its end.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(&[_, _, _, high, low]) = bytes.first_chunk() else {
        return false;
    };
    bytes.len() - 5 >= usize::from(u16::from_be_bytes([high, low]))
}

/// The bytes end before what is looked for.
struct End;

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], End> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(End)?;
        self.0 = rest;
        Ok(head)
    }

    /// A number of so many bytes.
    fn number(&mut self, bytes: usize) -> Result<usize, End> {
        let number = self.take(bytes)?;
        Ok(number
            .iter()
            .fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// Bytes behind their length, which has so many bytes itself.
    fn vector(&mut self, bytes: usize) -> Result<&'a [u8], End> {
        let length = self.number(bytes)?;
        self.take(length)
    }
}

fn read<'a>(input: &mut Input<'a>) -> Result<Option<&'a [u8]>, End> {
    // A handshake record, its version and length; a ClientHello, its length and version, and random bytes.
    let is_handshake = input.number(1)? == 22;
    input.take(4)?;
    let is_hello = input.number(1)? == 1;
    if !(is_handshake && is_hello) {
        return Ok(None);
    }
    input.take(3 + 2 + 32)?;
    let _session = input.vector(1)?;
    let _ciphers = input.vector(2)?;
    let _compressions = input.vector(1)?;
    let mut left = input.number(2)?;
    while left >= 4 {
        let kind = input.number(2)?;
        let content = input.vector(2)?;
        left = left.saturating_sub(4 + content.len());
        if kind == 0 {
            return Ok(host(content).unwrap_or(None));
        }
    }
    Ok(None)
}

/// The first name of type host_name in a server_name extension.
fn host(content: &[u8]) -> Result<Option<&[u8]>, End> {
    let mut names = Input(Input(content).vector(2)?);
    while !names.0.is_empty() {
        let kind = names.number(1)?;
        let name = names.vector(2)?;
        if kind == 0 {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
