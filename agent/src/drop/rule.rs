//! One rule: its conditions, and how they are read from the configuration.

use weir_proto::flow::v1::{Direction, Transport};
use weir_runtime::config::{Scalar, Section};

use super::{
    Flow,
    condition::{Network, Pattern, Ports, Protocol, Side},
};

/// Drops a flow that meets all its conditions.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The cheapest first.
    conditions: Box<[Condition]>,
}

/// What a flow must be like; of a list, any entry will do.
#[derive(Clone, Debug)]
enum Condition {
    Transport(Transport),
    Direction(Direction),
    Port(Box<[Ports]>),
    SrcPort(Box<[Ports]>),
    DstPort(Box<[Ports]>),
    Netns(Box<[u32]>),
    Cidr(Box<[Network]>),
    SrcCidr(Box<[Network]>),
    DstCidr(Box<[Network]>),
    Process(Box<[Pattern]>),
    Container(Box<[Pattern]>),
}

/// Reads the rules of the section `drop`, by name.
pub fn read(root: &mut Section<'_>) -> Vec<(String, Rule)> {
    let rules = root.sections("drop", |_, section| Rule::read(section));
    for (name, rule) in &rules {
        if rule.conditions.is_empty() {
            let message = format!("`{name}` has no condition: it would drop everything");
            root.mistake("drop", message);
        }
    }
    rules
}

impl Rule {
    fn read(section: &mut Section<'_>) -> Self {
        let transport = section.optional("transport").map(|Protocol(one)| one);
        let direction = section.optional("direction").map(|Side(one)| one);
        let conditions = [
            transport.map(Condition::Transport),
            direction.map(Condition::Direction),
            list(section, "port", Condition::Port),
            list(section, "src_port", Condition::SrcPort),
            list(section, "dst_port", Condition::DstPort),
            list(section, "netns", Condition::Netns),
            list(section, "cidr", Condition::Cidr),
            list(section, "src_cidr", Condition::SrcCidr),
            list(section, "dst_cidr", Condition::DstCidr),
            list(section, "process", Condition::Process),
            list(section, "container", Condition::Container),
        ];
        Self {
            conditions: conditions.into_iter().flatten().collect(),
        }
    }

    /// Whether `flow` meets every condition.
    #[inline]
    pub(super) fn drops(&self, flow: &Flow<'_>) -> bool {
        self.conditions
            .iter()
            .all(|condition| condition.holds(flow))
    }
}

/// The condition under `key`; an empty list is none.
fn list<T: Scalar>(
    section: &mut Section<'_>,
    key: &'static str,
    condition: impl FnOnce(Box<[T]>) -> Condition,
) -> Option<Condition> {
    let list = section.list(key);
    (!list.is_empty()).then(|| condition(list.into()))
}

impl Condition {
    #[inline]
    fn holds(&self, flow: &Flow<'_>) -> bool {
        let (src, dst) = (&flow.src, &flow.dst);
        match self {
            Self::Transport(one) => *one == flow.transport,
            Self::Direction(one) => *one == flow.direction,
            Self::Port(any) => any
                .iter()
                .any(|one| one.has(src.port()) || one.has(dst.port())),
            Self::SrcPort(any) => any.iter().any(|one| one.has(src.port())),
            Self::DstPort(any) => any.iter().any(|one| one.has(dst.port())),
            Self::Netns(any) => any.contains(&flow.netns),
            Self::Cidr(any) => any.iter().any(|one| one.has(src.ip()) || one.has(dst.ip())),
            Self::SrcCidr(any) => any.iter().any(|one| one.has(src.ip())),
            Self::DstCidr(any) => any.iter().any(|one| one.has(dst.ip())),
            Self::Process(any) => any.iter().any(|one| one.fits(flow.process)),
            Self::Container(any) => any.iter().any(|one| one.fits(flow.container)),
        }
    }
}
