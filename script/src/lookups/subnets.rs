//! Names of subnets.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use hashbrown::HashMap;
use weir_point::Text;

/// A text that is no network.
#[derive(Debug, thiserror::Error)]
#[error("subnet `{subnet}`: `{network}` is no network in CIDR notation")]
pub struct SubnetError {
    subnet: String,
    network: String,
}

/// Names by network; the longest prefix counts.
#[derive(Debug, Default)]
pub struct Subnets {
    v4: Family,
    v6: Family,
}

/// By prefix length, longest first: the bits of the prefix and their names.
type Family = Vec<(u8, HashMap<u128, Arc<[Text]>>)>;

impl Subnets {
    pub(super) fn new(named: &BTreeMap<String, Vec<String>>) -> Result<Self, SubnetError> {
        let mut subnets = Self::default();
        for (name, networks) in named {
            for network in networks {
                let (address, length) = parse(network).ok_or_else(|| SubnetError {
                    subnet: name.clone(),
                    network: network.clone(),
                })?;
                let (family, bits) = match address {
                    IpAddr::V4(v4) => (&mut subnets.v4, prefix(v4.to_bits().into(), length, 32)),
                    IpAddr::V6(v6) => (&mut subnets.v6, prefix(v6.to_bits(), length, 128)),
                };
                let place = match family.binary_search_by(|(own, _)| length.cmp(own)) {
                    Ok(place) => place,
                    Err(place) => {
                        family.insert(place, (length, HashMap::new()));
                        place
                    }
                };
                let names = family[place].1.entry(bits).or_default();
                *names = names
                    .iter()
                    .cloned()
                    .chain([name.as_str().into()])
                    .collect();
            }
        }
        Ok(subnets)
    }

    /// The name of the smallest subnet that `address` is in; of equal ones the first by name.
    pub fn name(&self, address: IpAddr) -> Option<&Text> {
        self.names(address).next()
    }

    /// Whether `address` is in the subnet of that name.
    pub fn contains(&self, name: &str, address: IpAddr) -> bool {
        self.names(address).any(|own| own == name)
    }

    fn names(&self, address: IpAddr) -> impl Iterator<Item = &Text> {
        let (family, bits, width) = match address.to_canonical() {
            IpAddr::V4(v4) => (&self.v4, u128::from(v4.to_bits()), 32),
            IpAddr::V6(v6) => (&self.v6, v6.to_bits(), 128),
        };
        family
            .iter()
            .filter_map(move |(length, networks)| networks.get(&prefix(bits, *length, width)))
            .flat_map(|names| names.iter())
    }
}

/// The first `length` of `width` bits.
fn prefix(bits: u128, length: u8, width: u32) -> u128 {
    bits.checked_shr(width - u32::from(length)).unwrap_or(0)
}

fn parse(network: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = network.split_once('/').unwrap_or((network, ""));
    let address: IpAddr = address.trim().parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        "" if !network.contains('/') => width,
        length => length
            .trim()
            .parse()
            .ok()
            .filter(|length| *length <= width)?,
    };
    Some((address, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnets(named: &[(&str, &[&str])]) -> Result<Subnets, SubnetError> {
        let named = named.iter().map(|(name, networks)| {
            let networks = networks.iter().map(ToString::to_string).collect();
            (name.to_string(), networks)
        });
        Subnets::new(&named.collect())
    }

    #[test]
    fn the_smallest_subnet_gives_its_name() {
        let subnets = subnets(&[
            ("all", &["0.0.0.0/0", "::/0"]),
            ("office", &["10.1.0.0/16", "2001:db8::/32"]),
            ("printers", &["10.1.7.0/24"]),
            ("this one", &["10.1.7.9"]),
        ])
        .unwrap();
        let name = |text: &str| subnets.name(text.parse().unwrap()).map(Text::as_str);
        assert_eq!(name("10.1.7.9"), Some("this one"));
        assert_eq!(name("10.1.7.8"), Some("printers"));
        assert_eq!(name("10.1.8.1"), Some("office"));
        assert_eq!(name("2001:db8::1"), Some("office"));
        assert_eq!(name("::ffff:10.1.8.1"), Some("office"));
        assert_eq!(name("8.8.8.8"), Some("all"));
        assert!(subnets.contains("office", "10.1.7.9".parse().unwrap()));
        assert!(!subnets.contains("printers", "10.1.8.1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_named() {
        for network in ["10.0.0.0/33", "10.0.0/8", "::/129", "office", "10.0.0.0/"] {
            let error = subnets(&[("x", &[network])]).unwrap_err().to_string();
            assert!(error.contains(network), "{error}");
        }
    }
}
