//! From flow events on the wire to Points: what all data sets have in common.

use weir_point::{Category, Point, Table, Text, ToText as _, Value};
use weir_proto::{
    LATENCY_BOUNDS_NS,
    flow::v1::{
        Direction, DirectionSource, DomainSource, FlowEvent, Latency, Transport, flow_event::Data,
    },
};

use super::{address, dnsflow, httpflow, netflow};

/// Longest text taken from an event: longer than any executable's name (255 bytes) or container id (64), short
/// enough that no row bloats an output.
pub(crate) const LONGEST_TEXT: usize = 256;
/// Longest name of the DNS: 253 bytes (RFC 1035, 2.3.4), each of which may have to be escaped as `\DDD`.
pub(crate) const LONGEST_DOMAIN: usize = 4 * 253;
/// Tags that the rows of every data set have.
const TAGS: usize = 21;

/// Why an event did not become a Point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// An address of a wrong length, or two of different families.
    Address,
    /// A port above 65535.
    Port,
    /// Neither TCP nor UDP.
    Transport,
    /// No time, one past the year 2262, or a period that began before the epoch.
    Time,
    /// A text that is too long.
    Text,
    /// A count past 2^63 - 1, a time that is negative or not a number, or a code that cannot be.
    Number,
    /// Times that are not in the agreed buckets, more of them than there were requests, or a sum or maximum
    /// that they cannot have.
    Latency,
    /// A span without what identifies it.
    Span,
    /// No data set that this version knows.
    Data,
}

impl Malformed {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Address,
        Self::Port,
        Self::Transport,
        Self::Time,
        Self::Text,
        Self::Number,
        Self::Latency,
        Self::Span,
        Self::Data,
    ];

    /// The value of the label `cause`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Port => "port",
            Self::Transport => "transport",
            Self::Time => "time",
            Self::Text => "text",
            Self::Number => "number",
            Self::Latency => "latency",
            Self::Span => "span",
            Self::Data => "data",
        }
    }
}

/// The Point of `event`, which the agent on `host` sent.
///
/// # Errors
/// What is wrong with the event. One that is a span is no Point.
pub fn point(mut event: FlowEvent, host: &Text) -> Result<Point, Malformed> {
    let transport = match event.transport() {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
        Transport::Unspecified => return Err(Malformed::Transport),
    };
    let (time, start) = times(&event)?;
    let is_tcp = event.transport() == Transport::Tcp;
    let row = match event.data.take() {
        Some(Data::Netflow(row)) => netflow::row(row, is_tcp)?,
        Some(Data::Dnsflow(row)) => dnsflow::row(row)?,
        Some(Data::Httpflow(row)) => httpflow::row(row)?,
        Some(Data::HttpSpan(_)) | None => return Err(Malformed::Data),
    };
    let name = Text::new_static(row.name);
    let tags = tags(event, host, transport, row.name, row.tags)?;
    Ok(Point {
        tags,
        fields: row.fields.0,
        time,
        start,
        ..Point::new(Category::Network, name)
    })
}

/// When the period of `event` ended and when it began.
pub(crate) fn times(event: &FlowEvent) -> Result<(u64, u64), Malformed> {
    let time = event.time_unix_nano;
    if time == 0 || i64::try_from(time).is_err() {
        return Err(Malformed::Time);
    }
    let start = time.checked_sub(event.period_nano).ok_or(Malformed::Time)?;
    Ok((time, start))
}

/// What a data set makes of its part of an event.
pub(super) struct Row {
    /// The name of the data set.
    pub(super) name: &'static str,
    /// Its own tags.
    pub(super) tags: OwnTags,
    pub(super) fields: Fields,
}

/// Tags of one data set, in the order of their keys.
#[derive(Default)]
pub(super) struct OwnTags(Vec<(&'static str, Text)>);

impl OwnTags {
    pub(super) fn text(&mut self, key: &'static str, text: String) -> Result<(), Malformed> {
        self.up_to(LONGEST_TEXT, key, text)
    }

    pub(super) fn domain(&mut self, key: &'static str, name: String) -> Result<(), Malformed> {
        self.up_to(LONGEST_DOMAIN, key, name)
    }

    fn up_to(&mut self, longest: usize, key: &'static str, text: String) -> Result<(), Malformed> {
        if text.len() > longest {
            return Err(Malformed::Text);
        }
        if !text.is_empty() {
            self.0.push((key, text.into()));
        }
        Ok(())
    }

    pub(super) fn word(&mut self, key: &'static str, word: &'static str) {
        self.0.push((key, Text::new_static(word)));
    }
}

/// In the order of the keys, which makes setting them cheap; the few of the data set come after.
fn tags(
    event: FlowEvent,
    host: &Text,
    transport: &'static str,
    source: &'static str,
    own: OwnTags,
) -> Result<Table<Text>, Malformed> {
    let src = address::parse(&event.src_ip).ok_or(Malformed::Address)?;
    let dst = address::parse(&event.dst_ip).ok_or(Malformed::Address)?;
    if src.is_ipv4() != dst.is_ipv4() {
        return Err(Malformed::Address);
    }
    let direction = match event.direction() {
        Direction::Incoming => Some("incoming"),
        Direction::Outgoing => Some("outgoing"),
        Direction::Unspecified => None,
    };
    // Where the direction is not known, there is no source of it either.
    let direction_source = direction.and(direction_source(&event));
    // And where there is no name, none of the name.
    let named = (!event.dst_domain.is_empty()).then_some(());
    let domain_source = named.and(domain_source(&event));

    let mut tags = Tags(Table::with_capacity(TAGS + own.0.len()));
    tags.text("container_id", event.container_id)?;
    tags.word("direction", direction);
    tags.word("direction_source", direction_source);
    tags.up_to(LONGEST_DOMAIN, "dst_domain", event.dst_domain)?;
    tags.word("dst_domain_source", domain_source);
    tags.set("dst_ip", dst.to_smolstr());
    tags.word("dst_ip_type", Some(weir_script::kind_of(dst)));
    if !event.dst_nat_ip.is_empty() {
        let real = address::parse(&event.dst_nat_ip).ok_or(Malformed::Address)?;
        tags.set("dst_nat_ip", real.to_smolstr());
        tags.port("dst_nat_port", event.dst_nat_port)?;
    }
    tags.port("dst_port", event.dst_port)?;
    tags.word("family", Some(address::family(src)));
    tags.set("host", host.clone());
    tags.number("netns", event.netns);
    tags.number("pid", event.pid);
    tags.text("process_name", event.process_name)?;
    tags.word("source", Some(source));
    tags.set("src_ip", src.to_smolstr());
    tags.word("src_ip_type", Some(weir_script::kind_of(src)));
    tags.port("src_port", event.src_port)?;
    tags.word("sub_source", Some("N/A"));
    tags.word("transport", Some(transport));
    for (key, value) in own.0 {
        tags.set(key, value);
    }
    Ok(tags.0)
}

fn direction_source(event: &FlowEvent) -> Option<&'static str> {
    Some(match event.direction_source() {
        DirectionSource::Connect => "connect",
        DirectionSource::Accept => "accept",
        DirectionSource::Listen => "listen",
        DirectionSource::Bind => "bind",
        DirectionSource::Port => "port",
        DirectionSource::Unspecified => return None,
    })
}

fn domain_source(event: &FlowEvent) -> Option<&'static str> {
    Some(match event.dst_domain_source() {
        DomainSource::Dns => "dns",
        DomainSource::Sni => "sni",
        DomainSource::Http => "http",
        DomainSource::Unspecified => return None,
    })
}

struct Tags(Table<Text>);

impl Tags {
    fn set(&mut self, key: &'static str, value: Text) {
        self.0.set(Text::new_static(key), value);
    }

    fn word(&mut self, key: &'static str, word: Option<&'static str>) {
        if let Some(word) = word {
            self.set(key, Text::new_static(word));
        }
    }

    fn text(&mut self, key: &'static str, text: String) -> Result<(), Malformed> {
        self.up_to(LONGEST_TEXT, key, text)
    }

    fn up_to(&mut self, longest: usize, key: &'static str, text: String) -> Result<(), Malformed> {
        if text.len() > longest {
            return Err(Malformed::Text);
        }
        if !text.is_empty() {
            self.set(key, text.into());
        }
        Ok(())
    }

    fn number(&mut self, key: &'static str, number: u32) {
        if number != 0 {
            self.set(key, number.to_smolstr());
        }
    }

    fn port(&mut self, key: &'static str, port: Option<u32>) -> Result<(), Malformed> {
        let text = match port {
            None => Text::new_static("*"),
            Some(port) => u16::try_from(port)
                .map_err(|_too_large| Malformed::Port)?
                .to_smolstr(),
        };
        self.set(key, text);
        Ok(())
    }
}

/// Fields in the making; setting them in the order of their keys is cheap.
pub(super) struct Fields(Table<Value>);

impl Fields {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self(Table::with_capacity(capacity))
    }

    pub(super) fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.set(Text::new_static(key), value.into());
    }

    pub(super) fn count(&mut self, key: &'static str, count: u64) -> Result<(), Malformed> {
        self.set(key, whole(count)?);
        Ok(())
    }

    pub(super) fn time(&mut self, key: &'static str, time: Option<f64>) -> Result<(), Malformed> {
        let Some(time) = time else { return Ok(()) };
        if !time.is_finite() || time < 0.0 {
            return Err(Malformed::Number);
        }
        self.set(key, time);
        Ok(())
    }

    /// The times of up to `count` requests: their mean, the longest, and all that is needed to merge them with
    /// others. Nothing where there are none.
    pub(super) fn latency(
        &mut self,
        latency: Option<&Latency>,
        count: u64,
    ) -> Result<(), Malformed> {
        let Some(latency) = latency else {
            return Ok(());
        };
        check(latency, count)?;
        let buckets: Result<Vec<Value>, Malformed> = latency
            .buckets
            .iter()
            .map(|bucket| whole(*bucket).map(Value::Int))
            .collect();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a mean is rounded in any case; the sum is kept beside it"
        )]
        let mean = latency.sum_nano as f64 / latency.count() as f64;
        self.set("latency", mean);
        self.set("latency_buckets", buckets?);
        self.count("latency_max", latency.max_nano)?;
        self.count("latency_sum", latency.sum_nano)
    }
}

/// Whether `latency` can be of up to `count` requests.
pub(crate) fn check(latency: &Latency, count: u64) -> Result<(), Malformed> {
    let times = latency.count();
    let (sum, max) = (u128::from(latency.sum_nano), u128::from(latency.max_nano));
    let fits = latency.buckets.len() == LATENCY_BOUNDS_NS.len() + 1
        && (1..=count).contains(&times)
        && (max..=max * u128::from(times)).contains(&sum);
    if fits {
        Ok(())
    } else {
        Err(Malformed::Latency)
    }
}

fn whole(count: u64) -> Result<i64, Malformed> {
    i64::try_from(count).map_err(|_too_large| Malformed::Number)
}

#[cfg(test)]
mod tests;
