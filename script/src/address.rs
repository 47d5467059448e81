//! Addresses, and what kind of network they belong to.

use std::net::{IpAddr, Ipv4Addr};

/// The address that `text` writes; an IPv4-mapped one is IPv4.
pub(crate) fn parse(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    Some(address.to_canonical())
}

/// Which kind of network an address belongs to: `loopback`, `private`, `link_local`, `cgnat`, `multicast` or `other`.
/// An IPv4-mapped address is not recognised; see [`IpAddr::to_canonical`].
pub fn ip_type(address: IpAddr) -> &'static str {
    if address.is_loopback() {
        return "loopback";
    }
    if address.is_multicast() {
        return "multicast";
    }
    let (private, link_local, carrier) = match address {
        IpAddr::V4(v4) => (v4.is_private(), v4.is_link_local(), is_carrier_nat(v4)),
        IpAddr::V6(v6) => (v6.is_unique_local(), v6.is_unicast_link_local(), false),
    };
    match (private, link_local, carrier) {
        (true, _, _) => "private",
        (_, true, _) => "link_local",
        (_, _, true) => "cgnat",
        _ => "other",
    }
}

/// Whether the address can be somewhere: the others mean another machine in every network.
pub(crate) fn is_public(address: IpAddr) -> bool {
    ip_type(address) == "other"
}

/// 100.64.0.0/10, RFC 6598.
fn is_carrier_nat(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && (64..128).contains(&second)
}
