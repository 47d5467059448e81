//! Drop rules: what nobody wants to see is left out before it becomes a row, and counted.

mod condition;
mod rule;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use arc_swap::{ArcSwap, Cache};
use hashbrown::HashMap;
use weir_proto::flow::v1::{Counter, Direction, FlowEvent, Transport};

pub use self::rule::{Rule, read};
use crate::status::counter;

/// Names of rules that are counted apart; rules come and go while the agent runs.
const MOST_NAMES: usize = 1000;
/// What further ones are counted under.
const OTHER_NAME: &str = "~other";

/// A flow, as far as rules ask about it.
#[derive(Clone, Copy, Debug)]
pub struct Flow<'a> {
    /// The local end.
    pub src: SocketAddr,
    /// The remote end, before its address is translated.
    pub dst: SocketAddr,
    /// TCP or UDP.
    pub transport: Transport,
    /// Who serves.
    pub direction: Direction,
    /// Name of the executable; empty if unknown.
    pub process: &'a str,
    /// Id of the container; empty outside containers.
    pub container: &'a str,
    /// Inode of the network namespace.
    pub netns: u32,
}

/// What was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Whatever the collector's rows count: connections, queries, requests.
    pub items: u64,
    /// Segments and datagrams.
    pub packets: u64,
    /// Payload bytes, both ways.
    pub bytes: u64,
}

/// Which rule of [`Rules`] it was: its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleId(usize);

/// Rules of which any one drops.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Box<[(Arc<str>, Rule)]>,
}

impl Rules {
    /// These rules, by name.
    #[must_use]
    pub fn new(rules: Vec<(String, Rule)>) -> Self {
        let rules = rules.into_iter();
        Self {
            rules: rules.map(|(name, rule)| (name.into(), rule)).collect(),
        }
    }

    /// The first rule that drops `flow`.
    #[must_use]
    pub fn drops(&self, flow: &Flow<'_>) -> Option<RuleId> {
        let place = self.rules.iter().position(|(_, rule)| rule.drops(flow))?;
        Some(RuleId(place))
    }

    fn name(&self, RuleId(place): RuleId) -> Option<&Arc<str>> {
        self.rules.get(place).map(|(name, _)| name)
    }
}

/// The rules in force, for all collectors. A clone has the same.
#[derive(Clone, Debug, Default)]
pub struct DropRules(Arc<ArcSwap<Rules>>);

impl DropRules {
    /// These rules until others replace them.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(rules)))
    }

    /// From now on these rules; collectors take them up with the next flow.
    pub fn replace(&self, rules: Rules) {
        self.0.store(Arc::new(rules));
    }

    /// For one collector, which counts what it drops.
    #[must_use]
    pub fn dropper(&self) -> Dropper {
        Dropper {
            rules: Cache::new(Arc::clone(&self.0)),
            dropped: HashMap::new(),
        }
    }
}

/// Drops for one collector.
#[derive(Debug)]
pub struct Dropper {
    rules: Cache<Arc<ArcSwap<Rules>>, Arc<Rules>>,
    /// By name of the rule.
    dropped: HashMap<Arc<str>, Amount>,
}

impl Default for Dropper {
    /// One that drops nothing.
    fn default() -> Self {
        DropRules::default().dropper()
    }
}

impl Dropper {
    /// Whether a rule drops `flow`; then `amount` is counted under its name.
    #[inline]
    pub fn drops(&mut self, flow: &Flow<'_>, amount: Amount) -> bool {
        let rules = self.rules.load();
        if rules.rules.is_empty() {
            return false;
        }
        let Some(name) = rules.drops(flow).and_then(|rule| rules.name(rule)) else {
            return false;
        };
        let full = self.dropped.len() >= MOST_NAMES && !self.dropped.contains_key(name);
        let name = if full { &OTHER_NAME.into() } else { name };
        let dropped = self.dropped.entry_ref(name).or_default();
        dropped.items += amount.items;
        dropped.packets += amount.packets;
        dropped.bytes += amount.bytes;
        true
    }

    /// The same for a row on its way out.
    pub fn drops_event(&mut self, event: &FlowEvent, amount: Amount) -> bool {
        if self.rules.load().rules.is_empty() {
            return false;
        }
        let end = |octets: &[u8], port: Option<u32>| {
            let address = match octets.len() {
                4 => <[u8; 4]>::try_from(octets).map(IpAddr::from),
                _ => <[u8; 16]>::try_from(octets).map(IpAddr::from),
            };
            let port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
            address.map(|address| SocketAddr::new(address, port))
        };
        let ends = (
            end(&event.src_ip, event.src_port),
            end(&event.dst_ip, event.dst_port),
        );
        let (Ok(src), Ok(dst)) = ends else {
            return false;
        };
        let flow = Flow {
            src,
            dst,
            transport: event.transport(),
            direction: event.direction(),
            process: &event.process_name,
            container: &event.container_id,
            netns: event.netns,
        };
        self.drops(&flow, amount)
    }

    /// Items that were dropped, by name of the rule, under this name, for a collector that counts neither packets nor bytes.
    #[must_use]
    pub fn items(&self, name: &str) -> Vec<Counter> {
        let dropped = self.dropped.iter();
        dropped
            .map(|(rule, amount)| counter(name, rule, amount.items))
            .collect()
    }

    /// What was dropped, by name of the rule, under these names of items, packets and bytes.
    #[must_use]
    pub fn counters(&self, [items, packets, bytes]: [&str; 3]) -> Vec<Counter> {
        let dropped = self.dropped.iter();
        let counters = dropped.flat_map(|(rule, amount)| {
            [
                counter(items, rule, amount.items),
                counter(packets, rule, amount.packets),
                counter(bytes, rule, amount.bytes),
            ]
        });
        counters.collect()
    }
}

#[cfg(test)]
mod tests;
