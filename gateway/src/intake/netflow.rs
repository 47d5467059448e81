//! From flow events on the wire to Points.

use weir_point::{Category, Point, Table, Text, ToText as _, Value};
use weir_proto::flow::v1::{
    Direction, DirectionSource, FlowEvent, Netflow, Transport, flow_event::Data,
};

use super::address;

/// Longest text taken from an event: longer than any executable's name (255 bytes)
/// or container id (64), short enough that no row bloats an output.
const LONGEST_TEXT: usize = 256;
/// Tags and fields of a full row.
const TAGS: usize = 20;
const FIELDS: usize = 14;

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
    /// A count past 2^63 - 1, or a time that is negative or not a number.
    Number,
    /// No data set that this version knows.
    Data,
}

impl Malformed {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Address,
        Self::Port,
        Self::Transport,
        Self::Time,
        Self::Text,
        Self::Number,
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
            Self::Data => "data",
        }
    }
}

/// The Point of `event`, which the agent on `host` sent.
///
/// # Errors
/// What is wrong with the event.
pub fn point(event: FlowEvent, host: &Text) -> Result<Point, Malformed> {
    let transport = match event.transport() {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
        Transport::Unspecified => return Err(Malformed::Transport),
    };
    let (time, start) = times(&event)?;
    let Some(Data::Netflow(netflow)) = &event.data else {
        return Err(Malformed::Data);
    };
    let fields = fields(netflow, event.transport())?;
    let tags = tags(event, host, transport)?;
    Ok(Point {
        tags,
        fields,
        time,
        start,
        ..Point::new(Category::Network, Text::new_static("netflow"))
    })
}

fn times(event: &FlowEvent) -> Result<(u64, u64), Malformed> {
    let time = event.time_unix_nano;
    if time == 0 || i64::try_from(time).is_err() {
        return Err(Malformed::Time);
    }
    let start = time.checked_sub(event.period_nano).ok_or(Malformed::Time)?;
    Ok((time, start))
}

/// In the order of the keys, which makes setting them cheap.
fn tags(event: FlowEvent, host: &Text, transport: &'static str) -> Result<Table<Text>, Malformed> {
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
    let source = match event.direction_source() {
        DirectionSource::Connect => Some("connect"),
        DirectionSource::Accept => Some("accept"),
        DirectionSource::Listen => Some("listen"),
        DirectionSource::Bind => Some("bind"),
        DirectionSource::Port => Some("port"),
        DirectionSource::Unspecified => None,
    };
    let reason = match event.data {
        Some(Data::Netflow(netflow)) if netflow.tcp_failed == 0 => String::new(),
        // Failures are counted by reason, so one without still needs one.
        Some(Data::Netflow(netflow)) if netflow.reason.is_empty() => "other".to_owned(),
        Some(Data::Netflow(netflow)) => netflow.reason,
        _ => String::new(),
    };

    let mut tags = Tags(Table::with_capacity(TAGS));
    tags.text("container_id", event.container_id)?;
    tags.word("direction", direction);
    // Where the direction is not known, there is no source of it either.
    tags.word("direction_source", direction.and(source));
    tags.set("dst_ip", dst.to_smolstr());
    tags.word("dst_ip_type", Some(address::kind(dst)));
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
    tags.text("reason", reason)?;
    tags.word("source", Some("netflow"));
    tags.set("src_ip", src.to_smolstr());
    tags.word("src_ip_type", Some(address::kind(src)));
    tags.port("src_port", event.src_port)?;
    tags.word("sub_source", Some("N/A"));
    tags.word("transport", Some(transport));
    Ok(tags.0)
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
        if text.len() > LONGEST_TEXT {
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

/// In the order of the keys. What TCP alone has is left out for UDP, where the wire
/// cannot tell "none" from "does not apply".
fn fields(netflow: &Netflow, transport: Transport) -> Result<Table<Value>, Malformed> {
    let tcp = transport == Transport::Tcp;
    let mut fields = Fields(Table::with_capacity(FIELDS));
    fields.count("bytes_read", netflow.bytes_read)?;
    fields.count("bytes_written", netflow.bytes_written)?;
    if tcp {
        fields.time("connect_latency", netflow.connect_latency_us)?;
        fields.time("connect_latency_max", netflow.connect_latency_max_us)?;
        fields.count("connections", netflow.connections)?;
    }
    fields.count("packets_read", netflow.packets_read)?;
    fields.count("packets_written", netflow.packets_written)?;
    if tcp {
        fields.count("retransmits", netflow.retransmits)?;
        fields.time("rtt", netflow.rtt_us)?;
        fields.time("rtt_var", netflow.rtt_var_us)?;
        fields.count("tcp_closed", netflow.tcp_closed)?;
        fields.count("tcp_established", netflow.tcp_established)?;
        fields.count("tcp_failed", netflow.tcp_failed)?;
        fields.count("tcp_reset", netflow.tcp_reset)?;
    }
    Ok(fields.0)
}

struct Fields(Table<Value>);

impl Fields {
    fn count(&mut self, key: &'static str, count: u64) -> Result<(), Malformed> {
        let count = i64::try_from(count).map_err(|_too_large| Malformed::Number)?;
        self.0.set(Text::new_static(key), count);
        Ok(())
    }

    fn time(&mut self, key: &'static str, time: Option<f64>) -> Result<(), Malformed> {
        let Some(time) = time else { return Ok(()) };
        if !time.is_finite() || time < 0.0 {
            return Err(Malformed::Number);
        }
        self.0.set(Text::new_static(key), time);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
