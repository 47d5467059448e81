//! Flow events to send.

use weir_proto::flow::v1::{
    Direction, DirectionSource, Dnsflow, FlowEvent, Httpflow, Latency, Netflow, Transport,
    flow_event::Data,
};

/// When the first period ends, in nanoseconds since the epoch.
pub(crate) const PERIOD_END: u64 = 1_700_000_010_000_000_000;

/// An outgoing flow of curl to port `dst_port`, 100 bytes in and 10 bytes out.
pub(crate) fn flow(dst_port: u32) -> FlowEvent {
    FlowEvent {
        time_unix_nano: PERIOD_END,
        period_nano: 10_000_000_000,
        src_ip: vec![10, 0, 0, 1],
        dst_ip: vec![10, 0, 0, 2],
        src_port: None,
        dst_port: Some(dst_port),
        transport: Transport::Tcp.into(),
        direction: Direction::Outgoing.into(),
        direction_source: DirectionSource::Connect.into(),
        pid: 100,
        process_name: "curl".to_owned(),
        container_id: String::new(),
        dst_nat_ip: Vec::new(),
        dst_nat_port: None,
        netns: 4_026_531_840,
        data: Some(Data::Netflow(Netflow {
            bytes_read: 100,
            bytes_written: 10,
            packets_read: 2,
            packets_written: 1,
            tcp_established: 1,
            connections: 1,
            ..Netflow::default()
        })),
        ..FlowEvent::default()
    }
}

/// The event after `change`.
pub(crate) fn with(mut event: FlowEvent, change: impl FnOnce(&mut FlowEvent)) -> FlowEvent {
    change(&mut event);
    event
}

/// The event after `change` to its numbers.
pub(crate) fn netflow(event: FlowEvent, change: impl FnOnce(&mut Netflow)) -> FlowEvent {
    with(event, |event| match &mut event.data {
        Some(Data::Netflow(netflow)) => change(netflow),
        _ => panic!("an event without netflow data"),
    })
}

/// The numbers of the event.
pub(crate) fn netflow_of(event: &FlowEvent) -> &Netflow {
    match &event.data {
        Some(Data::Netflow(netflow)) => netflow,
        _ => panic!("an event without netflow data"),
    }
}

/// Times of these lengths in nanoseconds.
pub(crate) fn latency(times: &[u64]) -> Option<Latency> {
    let mut latency = Latency::default();
    times.iter().for_each(|time| latency.add(*time));
    Some(latency)
}

/// Queries of curl for the IPv6 address of `name`, all answered after these many nanoseconds.
pub(crate) fn query(name: &str, times: &[u64]) -> FlowEvent {
    FlowEvent {
        transport: Transport::Udp.into(),
        data: Some(Data::Dnsflow(Dnsflow {
            query_name: name.to_owned(),
            query_type: "AAAA".to_owned(),
            rcode: 0,
            count: times.len() as u64,
            latency: latency(times),
        })),
        ..flow(53)
    }
}

/// Requests of curl, all answered with 200 after these many nanoseconds.
pub(crate) fn request(path: &str, times: &[u64]) -> FlowEvent {
    FlowEvent {
        data: Some(Data::Httpflow(Httpflow {
            method: "GET".to_owned(),
            path: path.to_owned(),
            route: path.to_owned(),
            status_code: 200,
            http_version: "1.1".to_owned(),
            count: times.len() as u64,
            latency: latency(times),
            bytes_read: 500,
            bytes_written: 70,
            ..Httpflow::default()
        })),
        ..flow(80)
    }
}

/// The event after `change` to its requests.
pub(crate) fn httpflow(event: FlowEvent, change: impl FnOnce(&mut Httpflow)) -> FlowEvent {
    with(event, |event| match &mut event.data {
        Some(Data::Httpflow(httpflow)) => change(httpflow),
        _ => panic!("an event without httpflow data"),
    })
}

/// The event after `change` to its queries.
pub(crate) fn dnsflow(event: FlowEvent, change: impl FnOnce(&mut Dnsflow)) -> FlowEvent {
    with(event, |event| match &mut event.data {
        Some(Data::Dnsflow(dnsflow)) => change(dnsflow),
        _ => panic!("an event without dnsflow data"),
    })
}
