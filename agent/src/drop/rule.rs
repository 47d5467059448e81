//! One rule: its conditions, and how they are read from the configuration.

use weir_proto::flow::v1::{Direction, Transport};
use weir_runtime::config::Section;

use super::{
    Flow,
    condition::{Network, Pattern, Ports, Protocol, Side},
};

/// Drops a flow that meets all its conditions. A list that is empty is no condition; of one that is not, any entry
/// will do.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    transport: Option<Transport>,
    direction: Option<Direction>,
    ports: Vec<Ports>,
    src_ports: Vec<Ports>,
    dst_ports: Vec<Ports>,
    networks: Vec<Network>,
    src_networks: Vec<Network>,
    dst_networks: Vec<Network>,
    netns: Vec<u32>,
    processes: Vec<Pattern>,
    containers: Vec<Pattern>,
}

/// Reads the rules of the section `drop`, by name.
pub fn read(root: &mut Section<'_>) -> Vec<(String, Rule)> {
    let rules = root.sections("drop", |_, section| Rule::read(section));
    for (name, rule) in &rules {
        if rule.is_empty() {
            let message = format!("`{name}` has no condition: it would drop everything");
            root.mistake("drop", message);
        }
    }
    rules
}

impl Rule {
    fn read(section: &mut Section<'_>) -> Self {
        Self {
            transport: section.optional("transport").map(|Protocol(one)| one),
            direction: section.optional("direction").map(|Side(one)| one),
            ports: section.list("port"),
            src_ports: section.list("src_port"),
            dst_ports: section.list("dst_port"),
            networks: section.list("cidr"),
            src_networks: section.list("src_cidr"),
            dst_networks: section.list("dst_cidr"),
            netns: section.list("netns"),
            processes: section.list("process"),
            containers: section.list("container"),
        }
    }

    fn is_empty(&self) -> bool {
        let Self {
            transport,
            direction,
            ports,
            src_ports,
            dst_ports,
            networks,
            src_networks,
            dst_networks,
            netns,
            processes,
            containers,
        } = self;
        transport.is_none()
            && direction.is_none()
            && [ports, src_ports, dst_ports]
                .iter()
                .all(|list| list.is_empty())
            && [networks, src_networks, dst_networks]
                .iter()
                .all(|list| list.is_empty())
            && netns.is_empty()
            && [processes, containers].iter().all(|list| list.is_empty())
    }

    /// Whether `flow` meets every condition; the cheapest are looked at first.
    pub(super) fn drops(&self, flow: &Flow<'_>) -> bool {
        let (src, dst) = (flow.src, flow.dst);
        self.transport.is_none_or(|one| one == flow.transport)
            && self.direction.is_none_or(|one| one == flow.direction)
            && any(&self.ports, |ports| {
                ports.has(src.port()) || ports.has(dst.port())
            })
            && any(&self.src_ports, |ports| ports.has(src.port()))
            && any(&self.dst_ports, |ports| ports.has(dst.port()))
            && any(&self.netns, |netns| *netns == flow.netns)
            && any(&self.networks, |network| {
                network.has(src.ip()) || network.has(dst.ip())
            })
            && any(&self.src_networks, |network| network.has(src.ip()))
            && any(&self.dst_networks, |network| network.has(dst.ip()))
            && any(&self.processes, |pattern| pattern.fits(flow.process))
            && any(&self.containers, |pattern| pattern.fits(flow.container))
    }
}

fn any<T>(list: &[T], holds: impl FnMut(&T) -> bool) -> bool {
    list.is_empty() || list.iter().any(holds)
}
