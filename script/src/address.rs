//! Addresses, and which kind of network they belong to.

use std::net::{IpAddr, Ipv4Addr};

/// The address that `text` writes; an IPv4-mapped one is IPv4.
pub(crate) fn parse(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    Some(address.to_canonical())
}

/// Whether the address can be somewhere: the others mean another machine in every network.
pub(crate) fn is_public(address: IpAddr) -> bool {
    kind_of(address) == "other"
}

/// `loopback`, `private`, `link_local`, `cgnat`, `multicast` or `other`.
pub fn kind_of(address: IpAddr) -> &'static str {
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

/// 100.64.0.0/10, RFC 6598.
fn is_carrier_nat(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && (64..128).contains(&second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_has_the_kind_of_its_network() {
        for (text, wanted) in [
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("::1", "loopback"),
            ("10.1.2.3", "private"),
            ("172.16.0.1", "private"),
            ("172.32.0.1", "other"),
            ("192.168.255.255", "private"),
            ("fc00::1", "private"),
            ("fdff::1", "private"),
            ("169.254.169.254", "link_local"),
            ("fe80::1", "link_local"),
            ("febf::1", "link_local"),
            ("100.64.0.1", "cgnat"),
            ("100.127.255.255", "cgnat"),
            ("100.128.0.1", "other"),
            ("224.0.0.1", "multicast"),
            ("ff02::1", "multicast"),
            ("8.8.8.8", "other"),
            ("2001:db8::1", "other"),
            ("0.0.0.0", "other"),
            ("::", "other"),
            ("255.255.255.255", "other"),
        ] {
            assert_eq!(kind_of(text.parse().expect("an address")), wanted, "{text}");
        }
    }
}
