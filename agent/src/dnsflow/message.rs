//! DNS messages: what of them is counted.
//!
//! RFC 1035 (4. Messages), RFC 6891 (extended response codes).

use std::{fmt::Write as _, net::IpAddr};

use domain::{
    base::{
        Message as Wire, ParsedName,
        iana::{Opcode, Rtype},
        name::ToLabelIter as _,
    },
    rdata::{A, Aaaa, Cname},
};

/// Records of one answer that are read.
const MOST_RECORDS: usize = 512;

/// Names of one chain of aliases that are followed.
const MOST_ALIASES: usize = 16;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// Lower case, without the last dot; `.` for the root. Octets that are no printable ASCII are written as `\DDD`.
    pub name: Box<str>,
    /// Record type, by its number.
    pub kind: u16,
    /// Class: 1 is the Internet.
    pub class: u16,
}

/// Why a message is not counted as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Not a DNS message, or not with one question.
    Malformed,
    /// Another operation than a query: NOTIFY, UPDATE.
    OtherOperation,
}

/// A message that could be read.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    wire: Wire<&'a [u8]>,
    /// Transaction.
    pub id: u16,
    /// An answer, or a query.
    pub is_answer: bool,
    /// Always there in a query.
    pub question: Option<Question>,
}

impl<'a> Message<'a> {
    /// Reads header and question.
    ///
    /// # Errors
    /// If it is no query and no answer to one. A query must have one question; an answer may have none, as
    /// some servers answer what they do not understand.
    pub fn parse(bytes: &'a [u8], is_multicast: bool) -> Result<Self, Unusable> {
        let wire = Wire::from_octets(bytes).map_err(|_short| Unusable::Malformed)?;
        let header = wire.header();
        if header.opcode() != Opcode::QUERY {
            return Err(Unusable::OtherOperation);
        }
        let is_answer = header.qr();
        let questions = wire.header_counts().qdcount();
        // Several questions have no meaning but in multicast DNS (RFC 6762, 5.3).
        if questions > 1 && !is_multicast || questions == 0 && !is_answer {
            return Err(Unusable::Malformed);
        }
        let question = match wire.question().next() {
            None => None,
            Some(Ok(question)) => Some(Question {
                name: text(question.qname()).into(),
                kind: question.qtype().to_int(),
                // Its highest bit asks for a unicast answer (RFC 6762, 5.4).
                class: question.qclass().to_int() & 0x7fff,
            }),
            Some(Err(_)) => return Err(Unusable::Malformed),
        };
        Ok(Self {
            wire,
            id: header.id(),
            is_answer,
            question,
        })
    }

    /// The response code, extended if the answer has the EDNS record for it.
    #[must_use]
    pub fn rcode(&self) -> u16 {
        if self.wire.header_counts().arcount() > 0 {
            self.wire.opt_rcode().to_int()
        } else {
            self.wire.header().rcode().to_int().into()
        }
    }

    /// Whether this is an answer that has only a part of what was asked for.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.wire.header().tc()
    }

    /// The addresses that the name asked for has, through whatever aliases, and their time to live in seconds. Records
    /// that do not belong to the name are left out.
    #[must_use]
    pub fn addresses(&self) -> Vec<(IpAddr, u32)> {
        let mut found = Vec::new();
        let Some(Ok(question)) = self.wire.question().next() else {
            return found;
        };
        let wanted = [Rtype::A, Rtype::AAAA];
        if !wanted.contains(&question.qtype()) || self.wire.header_counts().ancount() == 0 {
            return found;
        }
        let mut names = vec![*question.qname()];
        let Ok(records) = self.wire.answer() else {
            return found;
        };
        // A server writes aliases before what they lead to.
        for record in records.map_while(Result::ok).take(MOST_RECORDS) {
            let owner = record.owner();
            if !names.iter().any(|name| *name == owner) {
                // The alias that a DNAME stands for comes as a CNAME of its own (RFC 6672, 3.1).
                continue;
            }
            let ttl = record.ttl().as_secs();
            if let Ok(Some(alias)) = record.to_record::<Cname<_>>() {
                if names.len() < MOST_ALIASES {
                    names.push(*alias.data().cname());
                }
            } else if let Ok(Some(address)) = record.to_record::<A>() {
                found.push((address.data().addr().into(), ttl));
            } else if let Ok(Some(address)) = record.to_record::<Aaaa>() {
                found.push((address.data().addr().to_canonical(), ttl));
            }
        }
        found
    }
}

/// Name of a record type: `AAAA`, or `TYPE12345` where it has none.
#[must_use]
pub fn kind_name(kind: u16) -> String {
    Rtype::from_int(kind).to_string()
}

fn text(name: &ParsedName<&[u8]>) -> String {
    // As long as on the wire, without the first length and the last label: mostly exact.
    let length = usize::from(name.compose_len()).saturating_sub(2);
    let mut text = String::with_capacity(length);
    for label in name.iter().filter(|label| !label.is_root()) {
        if !text.is_empty() {
            text.push('.');
        }
        for &byte in label.as_slice() {
            if byte.is_ascii_graphic() && byte != b'.' && byte != b'\\' {
                text.push(byte.to_ascii_lowercase().into());
            } else {
                // Writing to a String does not fail.
                let _written = write!(text, "\\{byte:03}");
            }
        }
    }
    if text.is_empty() {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests;
