//! Who uses which port: told by the netflow collector, asked by collectors that see packets only.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use hashbrown::HashMap;

use weir_proto::flow::v1::Transport;

use crate::process::Process;

/// Owners remembered of either generation. A resolver that takes a new port for each query fills one in seconds.
const MOST: usize = 65_536;

/// A local endpoint: protocol, network namespace, address, port.
pub(crate) type Endpoint = (Transport, u32, IpAddr, u16);

/// The owners of the local endpoints that were used lately, in two generations: when the younger is full, the older
/// goes.
#[derive(Debug, Default)]
pub struct Owners {
    generations: Mutex<[HashMap<Endpoint, Arc<Process>>; 2]>,
}

impl Owners {
    /// Learns who uses `endpoint`.
    pub(crate) fn learn(&self, endpoint: Endpoint, owner: Arc<Process>) {
        let mut generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let [young, old] = &mut *generations;
        if young.len() >= MOST {
            *old = std::mem::take(young);
        }
        young.insert(endpoint, owner);
    }

    /// Who uses `endpoint`, if known.
    pub(crate) fn find(&self, endpoint: &Endpoint) -> Option<Arc<Process>> {
        let generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let found = generations
            .iter()
            .find_map(|generation| generation.get(endpoint));
        found.map(Arc::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_owner_of_an_endpoint_is_found_until_many_others_came() {
        let owners = Owners::default();
        let endpoint = |port| (Transport::Udp, 1, IpAddr::from([127, 0, 0, 1]), port);
        let process = |pid| {
            Arc::new(Process {
                pid,
                ..Process::default()
            })
        };
        owners.learn(endpoint(53), process(1));
        owners.learn(endpoint(53), process(2));
        assert_eq!(owners.find(&endpoint(53)).map(|found| found.pid), Some(2));
        assert_eq!(owners.find(&endpoint(54)), None);
        for namespace in 2..4 {
            for port in 0..=u16::MAX {
                let other = (Transport::Udp, namespace, IpAddr::from([10, 0, 0, 1]), port);
                owners.learn(other, process(3));
            }
        }
        owners.learn(endpoint(1), process(4));
        assert_eq!(owners.find(&endpoint(53)), None);
    }
}
