//! Networks, and the names that a user gives them.

use std::{collections::HashMap, fmt, net::IpAddr, str::FromStr};

/// A network: an address and how many of its bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    address: IpAddr,
    length: u8,
}

/// A text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// Neither an address nor an address with a length.
    #[error("`{0}` is no network such as `10.1.0.0/16`, `2001:db8::/32` or `192.0.2.7`")]
    Text(String),
    /// Bits behind the length are set.
    #[error("`{text}` has bits behind its length; the network is `{network}`")]
    Bits {
        /// What was written.
        text: String,
        /// The network around it.
        network: Cidr,
    },
}

impl Cidr {
    /// Whether `address`, which is not IPv4-mapped, lies in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && masked(address, self.length) == masked(self.address, self.length)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let wrong = || CidrError::Text(text.to_owned());
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok().ok_or_else(wrong)?;
        let width = width(address);
        let length = match length {
            Some(length) => length
                .parse()
                .ok()
                .filter(|own| *own <= width)
                .ok_or_else(wrong)?,
            None => width,
        };
        let network = with_bits(address, masked(address, length));
        if network == address {
            return Ok(Self { address, length });
        }
        let network = Self {
            address: network,
            length,
        };
        Err(CidrError::Bits {
            text: text.to_owned(),
            network,
        })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The first `length` bits of an address, the others 0.
fn masked(address: IpAddr, length: u8) -> u128 {
    let bits = match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let behind = u32::from(width(address) - length);
    let mask = u128::MAX.checked_shl(behind).unwrap_or(0);
    bits & mask
}

fn with_bits(address: IpAddr, bits: u128) -> IpAddr {
    match address {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the bits of an IPv4 address are 32"
        )]
        IpAddr::V4(_) => IpAddr::from((bits as u32).to_be_bytes()),
        IpAddr::V6(_) => IpAddr::from(bits.to_be_bytes()),
    }
}

/// Two names for the same network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the network {network} is in `{first}` and in `{second}`")]
pub struct SubnetError {
    /// The network.
    pub network: Cidr,
    /// The name that has it first.
    pub first: String,
    /// The other name.
    pub second: String,
}

/// Networks by name, and names by address.
#[derive(Debug, Clone, Default)]
pub struct Subnets {
    lists: Vec<(Box<str>, Vec<Cidr>)>,
    /// By family and length, the longest first.
    levels: Vec<Level>,
}

#[derive(Debug, Clone)]
struct Level {
    is_ipv4: bool,
    length: u8,
    /// The place in `lists` of the network with these bits.
    lists: HashMap<u128, usize>,
}

impl Subnets {
    /// Lists of networks by name.
    ///
    /// # Errors
    /// A network is in two lists.
    pub fn new(lists: &[(String, Vec<Cidr>)]) -> Result<Self, SubnetError> {
        let mut levels: Vec<Level> = Vec::new();
        for (place, (name, networks)) in lists.iter().enumerate() {
            for network in networks {
                let is_ipv4 = network.address.is_ipv4();
                let is_own = |own: &Level| (own.is_ipv4, own.length) == (is_ipv4, network.length);
                let own = levels.iter().position(is_own).unwrap_or_else(|| {
                    levels.push(Level {
                        is_ipv4,
                        length: network.length,
                        lists: HashMap::new(),
                    });
                    levels.len() - 1
                });
                let bits = masked(network.address, network.length);
                let first = *levels[own].lists.entry(bits).or_insert(place);
                if first != place {
                    return Err(SubnetError {
                        network: *network,
                        first: lists[first].0.clone(),
                        second: name.clone(),
                    });
                }
            }
        }
        levels.sort_by_key(|level| std::cmp::Reverse(level.length));
        let lists = lists.iter();
        let lists = lists.map(|(name, networks)| (name.as_str().into(), networks.clone()));
        Ok(Self {
            lists: lists.collect(),
            levels,
        })
    }

    /// The name of the smallest network that `address` lies in.
    pub fn name(&self, address: IpAddr) -> Option<&str> {
        let address = address.to_canonical();
        let own = self.levels.iter();
        let mut own = own.filter(|level| level.is_ipv4 == address.is_ipv4());
        let list = own.find_map(|level| level.lists.get(&masked(address, level.length)))?;
        Some(&self.lists[*list].0)
    }

    /// The networks called `name`.
    pub fn networks(&self, name: &str) -> Option<&[Cidr]> {
        let list = self.lists.iter().find(|(own, _)| **own == *name)?;
        Some(&list.1)
    }
}

#[cfg(test)]
mod tests;
