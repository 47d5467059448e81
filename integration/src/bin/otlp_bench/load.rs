//! The sender: one prepared request, sent as bytes, so that it is never the limit.

use std::{
    net::SocketAddr,
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::{Buf as _, BufMut as _, Bytes};
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
    },
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, span::Event},
};
use prost::Message as _;
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    transport::Endpoint,
};

use crate::{ITEMS, Signal};

/// Hands on messages as bytes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

impl Signal {
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }

    fn request(self) -> Bytes {
        match self {
            Self::Traces => traces().encode_to_vec().into(),
            Self::Metrics => metrics().encode_to_vec().into(),
        }
    }
}

/// Sends `requests` requests and waits for every answer.
pub(crate) async fn send(to: SocketAddr, signal: Signal, requests: usize) -> anyhow::Result<()> {
    let (body, left) = (signal.request(), Arc::new(AtomicUsize::new(requests)));
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let channel = Endpoint::from_shared(format!("http://{to}"))?
            .connect()
            .await?;
        for _ in 0..2 {
            let (mut client, body, left) =
                (Grpc::new(channel.clone()), body.clone(), Arc::clone(&left));
            senders.spawn(async move {
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                        left.checked_sub(1)
                    })
                    .is_ok()
                {
                    client.ready().await?;
                    let path = PathAndQuery::from_static(signal.path());
                    // A server that is full asks to be asked again.
                    while let Err(status) = client
                        .unary(Request::new(body.clone()), path.clone(), Raw)
                        .await
                    {
                        anyhow::ensure!(
                            status.code() == tonic::Code::ResourceExhausted,
                            "{status}"
                        );
                        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                        client.ready().await?;
                    }
                }
                Ok(())
            });
        }
    }
    while let Some(done) = senders.join_next().await {
        done??;
    }
    Ok(())
}

fn text(key: &str, value: String) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value)),
        }),
        ..KeyValue::default()
    }
}

fn resource(number: usize) -> Resource {
    Resource {
        attributes: vec![
            text("service.name", format!("service-{number}")),
            text("k8s.pod.name", format!("pod-{number}-5f6d8c7b9-abcde")),
        ],
        ..Resource::default()
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "bench".to_owned(),
        ..InstrumentationScope::default()
    }
}

/// 10 resources of 100 spans with 10 attributes and an event each.
fn traces() -> ExportTraceServiceRequest {
    let span = |number: usize| Span {
        trace_id: (number as u128 * 7919).to_be_bytes().to_vec(),
        span_id: (number as u64 * 104_729).to_be_bytes().to_vec(),
        name: format!("GET /api/v1/items/{}", number % 50),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000 + number as u64,
        end_time_unix_nano: 1_700_000_000_005_000_000 + number as u64,
        attributes: (0..10)
            .map(|at| {
                text(
                    &format!("attribute.key.{at}"),
                    format!("value-{}", number * 31 + at),
                )
            })
            .collect(),
        events: vec![Event {
            time_unix_nano: 1_700_000_000_001_000_000,
            name: "looked up".to_owned(),
            attributes: vec![text("hits", number.to_string())],
            ..Event::default()
        }],
        ..Span::default()
    };
    let of = |number: usize| ResourceSpans {
        resource: Some(resource(number)),
        scope_spans: vec![ScopeSpans {
            scope: Some(scope()),
            spans: (0..ITEMS / 10).map(|at| span(number * 100 + at)).collect(),
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest {
        resource_spans: (0..10).map(of).collect(),
    }
}

/// 10 resources of 100 gauge points with 6 attributes each.
fn metrics() -> ExportMetricsServiceRequest {
    let point = |number: usize| NumberDataPoint {
        time_unix_nano: 1_700_000_000_000_000_000,
        attributes: (0..6)
            .map(|at| {
                text(
                    &format!("attribute.{at}"),
                    format!("value-{}", number * 17 + at),
                )
            })
            .collect(),
        value: Some(number_data_point::Value::AsDouble(number as f64 / 3.0)),
        ..NumberDataPoint::default()
    };
    let of = |number: usize| ResourceMetrics {
        resource: Some(resource(number)),
        scope_metrics: vec![ScopeMetrics {
            scope: Some(scope()),
            metrics: vec![Metric {
                name: "bench.gauge".to_owned(),
                unit: "1".to_owned(),
                data: Some(metric::Data::Gauge(Gauge {
                    data_points: (0..ITEMS / 10).map(|at| point(number * 100 + at)).collect(),
                })),
                ..Metric::default()
            }],
            ..ScopeMetrics::default()
        }],
        ..ResourceMetrics::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: (0..10).map(of).collect(),
    }
}
