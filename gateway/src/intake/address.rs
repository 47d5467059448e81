//! Addresses as they come over the wire.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address in 4 or 16 bytes of network order; an IPv4-mapped one is IPv4.
pub(crate) fn parse(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(octets).into());
    }
    let octets = <[u8; 16]>::try_from(bytes).ok()?;
    Some(IpAddr::from(Ipv6Addr::from(octets)).to_canonical())
}

/// `IPv4` or `IPv6`.
pub(super) fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_ipv4_and_a_wrong_length_is_none() {
        let mapped = "::ffff:10.0.0.1".parse::<Ipv6Addr>().expect("an address");
        let v4 = IpAddr::from([10, 0, 0, 1]);
        assert_eq!(parse(&mapped.octets()), Some(v4));
        assert_eq!(parse(&[10, 0, 0, 1]), Some(v4));
        for length in (0..40).filter(|length| ![4, 16].contains(length)) {
            assert_eq!(parse(&vec![0; length]), None, "{length} bytes");
        }
    }
}
