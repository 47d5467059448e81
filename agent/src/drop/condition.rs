//! What a condition compares with, and how it is written.

use std::net::{AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr};

use weir_proto::flow::v1::{Direction, Transport};
use weir_runtime::config::Scalar;

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    V4 { bits: u32, mask: u32 },
    V6 { bits: u128, mask: u128 },
}

impl Network {
    #[inline]
    pub(super) fn has(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4 { bits, mask }, IpAddr::V4(v4)) => v4.to_bits() & mask == *bits,
            (Self::V6 { bits, mask }, IpAddr::V6(v6)) => v6.to_bits() & mask == *bits,
            _ => false,
        }
    }

    fn new(address: IpAddr, length: Option<u32>) -> Option<Self> {
        match address {
            IpAddr::V4(v4) => {
                let host = u32::BITS.checked_sub(length.unwrap_or(u32::BITS))?;
                let mask = u32::MAX.checked_shl(host).unwrap_or(0);
                let bits = v4.to_bits() & mask;
                Some(Self::V4 { bits, mask })
            }
            IpAddr::V6(v6) => {
                let host = u128::BITS.checked_sub(length.unwrap_or(u128::BITS))?;
                let mask = u128::MAX.checked_shl(host).unwrap_or(0);
                let bits = v6.to_bits() & mask;
                Some(Self::V6 { bits, mask })
            }
        }
    }
}

impl Scalar for Network {
    const WHAT: &'static str = "a network such as `10.0.0.0/8` or an address";

    fn parse(text: &str) -> Result<Self, String> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|error: AddrParseError| error.to_string())?;
        let length = length.map(str::parse::<u32>).transpose();
        let length = length.map_err(|error| error.to_string())?;
        Self::new(address, length).ok_or_else(|| "the length is more than the address".to_owned())
    }

    fn show(&self) -> String {
        match self {
            Self::V4 { bits, mask } => {
                format!("{}/{}", Ipv4Addr::from_bits(*bits), mask.count_ones())
            }
            Self::V6 { bits, mask } => {
                format!("{}/{}", Ipv6Addr::from_bits(*bits), mask.count_ones())
            }
        }
    }
}

/// A port, or several in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    #[inline]
    pub(super) fn has(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl Scalar for Ports {
    const WHAT: &'static str = "a port such as `9100` or a range such as `8000-8100`";

    fn parse(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| {
            let port = text.trim().parse::<u16>();
            port.map_err(|error| error.to_string())
        };
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err("the range ends before it begins".to_owned());
        }
        Ok(Self { first, last })
    }

    fn show(&self) -> String {
        match self {
            Self { first, last } if first == last => first.to_string(),
            Self { first, last } => format!("{first}-{last}"),
        }
    }
}

/// A text in which `*` stands for any text, none included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Without a star.
    Whole(Box<str>),
    /// What comes before the only star, and what after it.
    Ends(Box<str>, Box<str>),
    /// With several.
    Stars(Box<str>),
}

impl Pattern {
    /// Whether all of `text` fits.
    #[inline]
    pub(super) fn fits(&self, text: &str) -> bool {
        match self {
            Self::Whole(whole) => **whole == *text,
            Self::Ends(begin, end) => text
                .strip_prefix(&**begin)
                .is_some_and(|rest| rest.ends_with(&**end)),
            Self::Stars(pattern) => fits(pattern.as_bytes(), text.as_bytes()),
        }
    }
}

fn fits(mut pattern: &[u8], mut text: &[u8]) -> bool {
    // After the latest star, and the text that it has not taken yet.
    let mut after_star: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (Some((b'*', rest)), _) => {
                after_star = Some((rest, text));
                pattern = rest;
            }
            (Some((wanted, wanted_rest)), Some((found, rest))) if wanted == found => {
                (pattern, text) = (wanted_rest, rest);
            }
            (None, None) => return true,
            _ => {
                // The star takes one more byte.
                let Some((rest, [_, left @ ..])) = after_star else {
                    return false;
                };
                after_star = Some((rest, left));
                (pattern, text) = (rest, left);
            }
        }
    }
}

impl Scalar for Pattern {
    const WHAT: &'static str = "a name, in which `*` stands for any text";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(match text.split_once('*') {
            None => Self::Whole(text.into()),
            Some((begin, end)) if !end.contains('*') => Self::Ends(begin.into(), end.into()),
            Some(_) => Self::Stars(text.into()),
        })
    }

    fn show(&self) -> String {
        match self {
            Self::Whole(text) | Self::Stars(text) => text.to_string(),
            Self::Ends(begin, end) => format!("{begin}*{end}"),
        }
    }
}

/// TCP or UDP, in the configuration.
pub(super) struct Protocol(pub(super) Transport);

impl Scalar for Protocol {
    const WHAT: &'static str = "`tcp` or `udp`";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "tcp" => Ok(Self(Transport::Tcp)),
            "udp" => Ok(Self(Transport::Udp)),
            _ => Err(String::new()),
        }
    }

    fn show(&self) -> String {
        match self.0 {
            Transport::Udp => "udp",
            Transport::Tcp | Transport::Unspecified => "tcp",
        }
        .to_owned()
    }
}

/// Who serves, in the configuration.
pub(super) struct Side(pub(super) Direction);

impl Scalar for Side {
    const WHAT: &'static str = "`incoming` or `outgoing`";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "incoming" => Ok(Self(Direction::Incoming)),
            "outgoing" => Ok(Self(Direction::Outgoing)),
            _ => Err(String::new()),
        }
    }

    fn show(&self) -> String {
        match self.0 {
            Direction::Incoming => "incoming",
            Direction::Outgoing | Direction::Unspecified => "outgoing",
        }
        .to_owned()
    }
}
