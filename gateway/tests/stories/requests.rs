//! DNS queries and HTTP requests: exact on every output, and beside the metrics of those who measure themselves.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::metrics::v1::{
        ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient,
    },
    metrics::v1::{
        Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
        ScopeMetrics, metric::Data, number_data_point::Value,
    },
};
use weir_gateway::RunningGateway;
use weir_proto::flow::v1::{Direction, FlowEvent, HttpSpan, flow_event};

use crate::support::{
    Agent, Distribution, PERIOD_END, Sink, eventually, flow, gateway, get, httpflow, query,
    request, scrape, with,
};

const CLIENT: &str = "http_client_request_duration_seconds";
const SERVER: &str = "http_server_request_duration_seconds";

fn incoming(event: FlowEvent) -> FlowEvent {
    with(event, |event| {
        event.src_port = event.dst_port.take();
        event.direction = Direction::Incoming.into();
    })
}

#[tokio::test]
async fn times_of_many_rows_are_one_histogram_that_misses_none() {
    let gateway = gateway("").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    // 99 us, 1 ms, 2 s and 100 s, in rows of two processes and two periods.
    let rows: [&[u64]; 3] = [
        &[99_000, 1_000_000],
        &[2_000_000_000],
        &[99_000, 100_000_000_000],
    ];
    for (sequence, times) in (1..).zip(rows) {
        let row = with(request("/", times), |event| {
            event.pid = 1 + u32::try_from(sequence % 2).expect("small");
            event.time_unix_nano += sequence / 2 * 10_000_000_000;
        });
        agent.deliver(sequence, vec![row]).await;
    }
    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(metrics.types[CLIENT], "histogram");
    let of = |part: &str, labels: &[(&str, &str)]| metrics.one(&format!("{CLIENT}{part}"), labels);
    for (bound, values) in [
        ("0.0001", 2.0),
        ("0.00025", 2.0),
        ("0.0005", 2.0),
        ("0.001", 3.0),
        ("1", 3.0),
        ("2.5", 4.0),
        ("10", 4.0),
        ("+Inf", 5.0),
    ] {
        assert_eq!(of("_bucket", &[("le", bound)]), values, "{bound}");
    }
    assert_eq!(of("_count", &[("http_route", "/")]), 5.0);
    assert_eq!(
        of("_sum", &[("http_response_status_code", "200")]),
        102.001_198
    );
    assert_eq!(metrics.one("weir_http_requests_total", &[]), 5.0);
    assert_eq!(
        metrics.one("weir_http_request_duration_max_seconds", &[]),
        100.0
    );
    assert_eq!(metrics.sum(SERVER, &[]), 0.0);
}

#[tokio::test]
async fn a_flood_of_names_is_folded_and_every_time_still_counted() {
    let gateway = gateway("prometheus: {series_budget: 10}").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let rows = |_| -> Vec<FlowEvent> {
        let name = |number| format!("{number}.example");
        (0..100).map(|own| query(&name(own), &[300_000])).collect()
    };
    for sequence in 1..=3 {
        agent.deliver(sequence, rows(sequence)).await;
    }
    let metrics = scrape(gateway.prometheus).await;
    let name = "dns_lookup_duration_seconds";
    let other = [("dns_question_name", "~other")];
    assert_eq!(metrics.sum(&format!("{name}_count"), &[]), 300.0);
    assert_eq!(metrics.one(&format!("{name}_count"), &other), 270.0);
    let bound = [other[0], ("le", "0.0005")];
    assert_eq!(metrics.one(&format!("{name}_bucket"), &bound), 270.0);
    assert_eq!(metrics.values(&format!("{name}_count"), &[]).len(), 11);
    assert_eq!(metrics.ledger("prometheus"), (300.0, 300.0, 0.0));
}

#[tokio::test]
async fn an_endpoint_gets_the_same_times_as_deltas_and_as_sums() {
    let (deltas, sums) = (Sink::start().await, Sink::start().await);
    let gateway = gateway(&format!(
        "otlp_exporters:
  deltas: {{endpoint: 'http://{}', flows: {{gather: 0s}}}}
  sums: {{endpoint: 'http://{}', flows: {{gather: 0s, temporality: cumulative, series_budget: 1}}}}",
        deltas.address, sums.address
    ))
    .await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    for period in 0..3_u64 {
        let at = |event| {
            with(event, |event| {
                event.time_unix_nano += period * 10_000_000_000;
            })
        };
        let own = request("/", &[50_000, 20_000_000_000 + period]);
        let past_the_budget = incoming(request("/else", &[1_000_000 * (period + 1)]));
        let rows = vec![at(own), at(past_the_budget)];
        agent.deliver(period + 1, rows).await;
    }
    let of = |sink: &Sink, metric: &str| -> BTreeMap<u64, Distribution> {
        let points = sink.data_points().into_iter();
        let points = points.filter(|point| point.metric == metric);
        let own = points.map(|point| {
            assert!(point.start < point.time && point.unit == "s", "{point:?}");
            (
                point.time - PERIOD_END,
                point.distribution.expect("a histogram"),
            )
        });
        own.collect()
    };
    let (client, server) = (
        "http.client.request.duration",
        "http.server.request.duration",
    );
    for metric in [client, server] {
        eventually!(of(&deltas, metric).len() == 3 && of(&sums, metric).len() == 3);
    }
    let periods = [0, 10_000_000_000, 20_000_000_000];
    for (passed, time) in (1..).zip(periods) {
        let (delta, sum) = (&of(&deltas, client)[&time], &of(&sums, client)[&time]);
        let ends = |values: &Distribution| (values.buckets[0], values.buckets[16]);
        assert_eq!((ends(delta), ends(sum)), ((1, 1), (passed, passed)));
        assert_eq!(delta.bounds.len(), 16);
        assert_eq!((delta.bounds[0], delta.bounds[15]), (0.0001, 10.0));
        assert!(
            (sum.sum - passed as f64 * 20.000_05).abs() < 1e-6,
            "{sum:?}"
        );
        assert!(delta.max >= 20.0 && sum.max >= delta.max);
    }
    let folded = &of(&sums, server)[&periods[2]];
    assert_eq!(folded.buckets.iter().sum::<u64>(), 3);
    assert_eq!((folded.sum, folded.max), (0.006, 0.003));
}

/// The data points of an SDK, as `metrics`.
async fn send(gateway: &RunningGateway, metrics: Vec<Metric>) -> i64 {
    let endpoint = format!("http://{}", gateway.otlp_grpc.expect("on"));
    let client = MetricsServiceClient::connect(endpoint);
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    };
    let answer = client.await.expect("a receiver").export(request).await;
    let partial = answer.expect("taken").into_inner().partial_success;
    partial.map_or(0, |partial| partial.rejected_data_points)
}

fn measured(name: &str) -> Metric {
    Metric {
        name: name.to_owned(),
        unit: "s".to_owned(),
        data: Some(Data::Histogram(Histogram {
            data_points: vec![HistogramDataPoint {
                time_unix_nano: PERIOD_END,
                count: 7,
                sum: Some(0.7),
                bucket_counts: vec![7, 0],
                explicit_bounds: vec![0.25],
                ..HistogramDataPoint::default()
            }],
            aggregation_temporality: 2,
        })),
        ..Metric::default()
    }
}

#[tokio::test]
async fn a_service_that_measures_itself_shares_the_name_of_the_convention() {
    let gateway = gateway("").await;
    let name = "http.server.request.duration";
    assert_eq!(send(&gateway, vec![measured(name)]).await, 0);
    // Alone on the page first, then under one head with what the network shows.
    let count = format!("{SERVER}_count");
    assert_eq!(scrape(gateway.prometheus).await.one(&count, &[]), 7.0);
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.deliver(1, vec![incoming(request("/", &[1]))]).await;
    let metrics = scrape(gateway.prometheus).await;
    assert_eq!(metrics.values(&count, &[]).len(), 2);
    assert_eq!(metrics.one(&count, &[("http_route", "/")]), 1.0);
    assert_eq!(metrics.sum(&count, &[]), 8.0);

    let gauge = Metric {
        name: name.to_owned(),
        unit: "s".to_owned(),
        data: Some(Data::Gauge(Gauge {
            data_points: vec![NumberDataPoint {
                value: Some(Value::AsDouble(1.0)),
                ..NumberDataPoint::default()
            }],
        })),
        ..Metric::default()
    };
    let own = measured("weir.dns.server.duration");
    assert_eq!(
        send(&gateway, vec![gauge, own]).await,
        2,
        "no kind, no name"
    );
    let (_, page) = get(gateway.prometheus, "/metrics").await;
    assert_eq!(page.matches(&format!("# TYPE {SERVER} ")).count(), 1);
}

#[tokio::test]
async fn spans_go_the_way_of_those_that_sdks_send() {
    let sink = Sink::start().await;
    let gateway = gateway(&format!(
        "otlp_exporters: {{main: {{endpoint: 'http://{}', batch: {{delay: 5ms}}}}}}\nspan_metrics: {{enabled: true}}",
        sink.address
    ))
    .await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let span = |trace: u8| {
        let mut inner = None;
        httpflow(request("/user/7", &[5_000_000]), |own| {
            inner = Some(own.clone())
        });
        with(incoming(flow(80)), |event| {
            event.data = Some(flow_event::Data::HttpSpan(HttpSpan {
                trace_id: vec![trace; 16],
                span_id: vec![9; 8],
                parent_span_id: vec![8; 8],
                request: inner,
                sampling_factor: 1.0,
            }));
        })
    };
    // One span has no trace: it cannot be joined to anything.
    let events = vec![span(1), request("/user/7", &[5_000_000]), span(0), span(2)];
    agent.deliver(1, events).await;
    eventually!(sink.spans().len() == 2);
    for (resource, span) in sink.spans() {
        assert_eq!(resource["service.name"], "curl");
        assert_eq!(resource["host.name"], "node-1");
        assert_eq!(
            (span.name.as_str(), span.parent_span_id),
            ("GET /user/7", vec![8; 8])
        );
    }
    let metrics = scrape(gateway.prometheus).await;
    let taken = [("result", "taken")];
    assert_eq!(metrics.one("weir_gateway_intake_spans_total", &taken), 2.0);
    let cause = [("cause", "span")];
    let malformed = "weir_gateway_intake_rows_malformed_total";
    assert_eq!(metrics.one(malformed, &cause), 1.0);
    assert_eq!(metrics.sum("traces_span_metrics_calls_total", &[]), 2.0);
    assert_eq!(
        metrics.ledger("prometheus"),
        (1.0, 1.0, 0.0),
        "a span is no Point"
    );
    assert!(gateway.stop().await);
}
