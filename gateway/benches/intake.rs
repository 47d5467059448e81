//! What a flow event costs from the wire to `/metrics`.

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message as _;
use weir_gateway::{
    budget::{Budget, Limits},
    fanout::Output as _,
    intake::event,
    page::Format,
    profile::SEMCONV,
    prometheus::FlowSeries,
    self_metrics::SelfMetrics,
};
use weir_point::{Point, PointBatch, Text};
use weir_proto::flow::v1::{
    Direction, DirectionSource, FlowBatch, FlowEvent, Netflow, Transport, flow_event::Data,
};

const SERIES: u32 = 100_000;
const BATCH: u32 = 1000;

/// A row as a busy node sends it: container, process, merged client port.
fn event(number: u32) -> FlowEvent {
    let [_, a, b, c] = number.to_be_bytes();
    FlowEvent {
        time_unix_nano: 1_700_000_010_000_000_000,
        period_nano: 10_000_000_000,
        src_ip: vec![10, a, b, c],
        dst_ip: vec![172, 16, 3, 7],
        src_port: None,
        dst_port: Some(443),
        transport: Transport::Tcp.into(),
        direction: Direction::Outgoing.into(),
        direction_source: DirectionSource::Connect.into(),
        pid: 1000 + number,
        process_name: "payment-service".to_owned(),
        container_id: "0123456789abcdef".repeat(4),
        dst_nat_ip: Vec::new(),
        dst_nat_port: None,
        netns: 4_026_531_840,
        data: Some(Data::Netflow(Netflow {
            bytes_read: 123_456,
            bytes_written: 6_543,
            packets_read: 120,
            packets_written: 80,
            rtt_us: Some(812.5),
            rtt_var_us: Some(61.25),
            tcp_established: 3,
            tcp_closed: 2,
            connect_latency_us: Some(950.0),
            connect_latency_max_us: Some(1310.0),
            connections: 7,
            ..Netflow::default()
        })),
        ..FlowEvent::default()
    }
}

fn convert(events: Vec<FlowEvent>, host: &Text) -> PointBatch {
    let points: Vec<Point> = events
        .into_iter()
        .map(|own| event::point(own, host).expect("a right event"))
        .collect();
    points.into()
}

fn conversion(c: &mut Criterion) {
    let host = Text::new_static("node-1.example");
    let events: Vec<FlowEvent> = (0..BATCH).map(event).collect();
    let bytes = FlowBatch {
        sequence: 1,
        events: events.clone(),
    }
    .encode_to_vec();
    let mut group = c.benchmark_group("conversion");
    group.throughput(Throughput::Elements(BATCH.into()));
    group.bench_function("events to Points", |b| {
        b.iter_batched(
            || events.clone(),
            |events| convert(events, &host),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("bytes to Points", |b| {
        b.iter_with_large_drop(|| {
            let batch = FlowBatch::decode(black_box(bytes.as_slice())).expect("a batch");
            convert(batch.events, &host)
        });
    });
    group.finish();
}

fn series(c: &mut Criterion) {
    let host = Text::new_static("node-1.example");
    let batches: Vec<Arc<PointBatch>> = (0..SERIES / BATCH)
        .map(|part| (part * BATCH..(part + 1) * BATCH).map(event).collect())
        .map(|events| Arc::new(convert(events, &host)))
        .collect();
    let empty = || {
        let budget = Budget {
            series: SERIES as usize,
            values: Limits {
                default: SERIES as usize,
                own: Vec::new(),
            },
        };
        FlowSeries::new(
            &SEMCONV,
            &budget,
            Duration::from_secs(300),
            &SelfMetrics::new(),
        )
    };
    let full = empty();
    batches.iter().for_each(|batch| full.offer(batch));

    let mut group = c.benchmark_group("prometheus");
    group.sample_size(20);
    group.throughput(Throughput::Elements(SERIES.into()));
    group.bench_function("first Points of 100k label sets", |b| {
        b.iter_with_large_drop(|| {
            let series = empty();
            batches.iter().for_each(|batch| series.offer(batch));
            series
        });
    });
    group.bench_function("next Points of 100k label sets", |b| {
        b.iter(|| batches.iter().for_each(|batch| full.offer(batch)));
    });
    group.bench_function("one metric of 100k label sets as text", |b| {
        // The round-trip time: one series per label set.
        b.iter_with_large_drop(|| full.render(6, Format::Text));
    });
    for format in Format::ALL {
        let name = format!("all metrics of 100k label sets as {}", format.name());
        group.bench_function(name, |b| {
            b.iter(|| {
                (0..)
                    .map_while(|family| full.render(family, format))
                    .map(|text| text.len())
                    .sum::<usize>()
            });
        });
    }
    group.bench_function("sweep of 100k label sets", |b| b.iter(|| full.sweep()));
    group.finish();
}

criterion_group!(benches, conversion, series);
criterion_main!(benches);
