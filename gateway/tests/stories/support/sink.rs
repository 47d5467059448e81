//! An OTLP endpoint that remembers what it got and answers as told.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsServiceRequest, ExportLogsServiceResponse,
            logs_service_server::{LogsService, LogsServiceServer},
        },
        metrics::v1::{
            ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{AnyValue, KeyValue, any_value},
    logs::v1::{LogRecord, ResourceLogs},
    metrics::v1::{
        AggregationTemporality, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
        metric::Data, number_data_point::Value,
    },
    trace::v1::{ResourceSpans, Span},
};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    time::sleep,
};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// A running endpoint. Goes away, connections included, when dropped.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    /// Its own, so that going away takes the open connections along.
    runtime: Option<Runtime>,
}

#[derive(Default)]
struct State {
    received: Mutex<Vec<ResourceMetrics>>,
    logs: Mutex<Vec<ResourceLogs>>,
    spans: Mutex<Vec<ResourceSpans>>,
    answers: Mutex<VecDeque<Answer>>,
}

/// How to answer one request.
pub(crate) enum Answer {
    Fail(Status),
    Reject(i64),
    Hang,
}

/// One data point with what surrounds it, attributes as text.
#[derive(Debug, Clone)]
pub(crate) struct DataPoint {
    pub(crate) metric: String,
    pub(crate) unit: String,
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) start: u64,
    pub(crate) time: u64,
    /// Of a histogram: how many values.
    pub(crate) value: f64,
    pub(crate) distribution: Option<Distribution>,
    pub(crate) delta: bool,
}

/// What a data point of a histogram has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Distribution {
    pub(crate) sum: f64,
    pub(crate) max: f64,
    pub(crate) buckets: Vec<u64>,
    pub(crate) bounds: Vec<f64>,
}

impl Sink {
    pub(crate) async fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let state = Arc::new(State::default());
        let service = MetricsServiceServer::new(Service(Arc::clone(&state)));
        let logs = LogsServiceServer::new(Service(Arc::clone(&state)));
        let traces = TraceServiceServer::new(Service(Arc::clone(&state)));
        let listening = runtime.spawn(async move {
            let listener = TcpListener::bind(address).await.expect("a free port");
            let address = listener.local_addr().expect("a bound socket");
            let incoming = TcpIncoming::from(listener);
            tokio::spawn(
                Server::builder()
                    .add_service(service)
                    .add_service(logs)
                    .add_service(traces)
                    .serve_with_incoming(incoming),
            );
            address
        });
        Self {
            address: listening.await.expect("a server"),
            state,
            runtime: Some(runtime),
        }
    }

    /// Answer the next request like this, after those told before.
    pub(crate) fn then(&self, answer: Answer) {
        self.state.answers.lock().expect("a lock").push_back(answer);
    }

    /// Everything received so far.
    pub(crate) fn data_points(&self) -> Vec<DataPoint> {
        let received = self.state.received.lock().expect("a lock");
        received.iter().flat_map(data_points).collect()
    }

    /// Every log record received, and its resource.
    pub(crate) fn logs(&self) -> Vec<(BTreeMap<String, String>, LogRecord)> {
        let received = self.state.logs.lock().expect("a lock").clone();
        let all = received.into_iter().flat_map(|group| {
            let resource = text(&group.resource.expect("a resource").attributes);
            let records = group.scope_logs.into_iter().flat_map(|s| s.log_records);
            records.map(move |record| (resource.clone(), record))
        });
        all.collect()
    }

    /// Every span received, and its resource.
    pub(crate) fn spans(&self) -> Vec<(BTreeMap<String, String>, Span)> {
        let received = self.state.spans.lock().expect("a lock").clone();
        let all = received.into_iter().flat_map(|group| {
            let resource = text(&group.resource.expect("a resource").attributes);
            let spans = group.scope_spans.into_iter().flat_map(|s| s.spans);
            spans.map(move |span| (resource.clone(), span))
        });
        all.collect()
    }

    /// The schema of every resource of metrics.
    pub(crate) fn schemas(&self) -> Vec<String> {
        let received = self.state.received.lock().expect("a lock");
        let schema = |group: &ResourceMetrics| group.schema_url.clone();
        received.iter().map(schema).collect()
    }

    /// The sum of `metric` over the data points that have these attributes.
    pub(crate) fn sum(&self, metric: &str, attributes: &[(&str, &str)]) -> f64 {
        let wanted = |point: &DataPoint| {
            attributes
                .iter()
                .all(|(k, v)| point.attributes.get(*k).is_some_and(|own| own == v))
        };
        self.data_points()
            .iter()
            .filter(|point| point.metric == metric && wanted(point))
            .map(|point| point.value)
            .sum()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Service(Arc<State>);

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let answer = self.0.answers.lock().expect("a lock").pop_front();
        let partial_success = match answer {
            Some(Answer::Fail(status)) => return Err(status),
            Some(Answer::Hang) => {
                sleep(Duration::from_secs(3600)).await;
                None
            }
            Some(Answer::Reject(rejected_data_points)) => Some(ExportMetricsPartialSuccess {
                rejected_data_points,
                error_message: "on purpose".to_owned(),
            }),
            None => None,
        };
        let mut received = self.0.received.lock().expect("a lock");
        received.extend(request.into_inner().resource_metrics);
        Ok(Response::new(ExportMetricsServiceResponse {
            partial_success,
        }))
    }
}

#[tonic::async_trait]
impl LogsService for Service {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let mut received = self.0.logs.lock().expect("a lock");
        received.extend(request.into_inner().resource_logs);
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut received = self.0.spans.lock().expect("a lock");
        received.extend(request.into_inner().resource_spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn data_points(resource: &ResourceMetrics) -> Vec<DataPoint> {
    let own = resource.resource.as_ref().map(|r| text(&r.attributes));
    let own = own.unwrap_or_default();
    let metrics = resource.scope_metrics.iter().flat_map(|scope| {
        assert_eq!(scope.scope.as_ref().expect("a scope").name, "weir");
        &scope.metrics
    });
    let mut all = Vec::new();
    for metric in metrics {
        let (points, delta): (&[NumberDataPoint], bool) = match &metric.data {
            Some(Data::Sum(sum)) => {
                assert!(sum.is_monotonic);
                (&sum.data_points, is_delta(sum.aggregation_temporality()))
            }
            Some(Data::Gauge(gauge)) => (&gauge.data_points, false),
            Some(Data::Histogram(histogram)) => {
                let delta = is_delta(histogram.aggregation_temporality());
                let points = histogram.data_points.iter();
                all.extend(points.map(|point| distribution(metric, &own, point, delta)));
                continue;
            }
            other => panic!("unexpected data {other:?}"),
        };
        all.extend(points.iter().map(|point| DataPoint {
            metric: metric.name.clone(),
            unit: metric.unit.clone(),
            resource: own.clone(),
            attributes: text(&point.attributes),
            start: point.start_time_unix_nano,
            time: point.time_unix_nano,
            #[expect(clippy::cast_precision_loss, reason = "test numbers are small")]
            value: match point.value {
                Some(Value::AsInt(value)) => value as f64,
                Some(Value::AsDouble(value)) => value,
                None => panic!("a data point without a value"),
            },
            distribution: None,
            delta,
        }));
    }
    all
}

fn distribution(
    metric: &Metric,
    resource: &BTreeMap<String, String>,
    point: &HistogramDataPoint,
    delta: bool,
) -> DataPoint {
    let bounds = &point.explicit_bounds;
    assert_eq!(point.bucket_counts.len(), bounds.len() + 1);
    assert!(bounds.is_sorted_by(|a, b| a < b), "{bounds:?}");
    assert_eq!(point.count, point.bucket_counts.iter().sum::<u64>());
    DataPoint {
        metric: metric.name.clone(),
        unit: metric.unit.clone(),
        resource: resource.clone(),
        attributes: text(&point.attributes),
        start: point.start_time_unix_nano,
        time: point.time_unix_nano,
        #[expect(clippy::cast_precision_loss, reason = "test numbers are small")]
        value: point.count as f64,
        distribution: Some(Distribution {
            sum: point.sum.expect("a sum"),
            max: point.max.expect("a maximum"),
            buckets: point.bucket_counts.clone(),
            bounds: bounds.clone(),
        }),
        delta,
    }
}

fn is_delta(temporality: AggregationTemporality) -> bool {
    assert_ne!(temporality, AggregationTemporality::Unspecified);
    temporality == AggregationTemporality::Delta
}

/// Attributes as text; what is not text says what it is.
pub(crate) fn text(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let all: BTreeMap<String, String> = attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), shown(attribute.value.as_ref())))
        .collect();
    assert_eq!(all.len(), attributes.len(), "an attribute twice");
    all
}

fn shown(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(value)) => value.clone(),
        Some(any_value::Value::BoolValue(value)) => format!("bool {value}"),
        Some(any_value::Value::IntValue(value)) => format!("int {value}"),
        Some(any_value::Value::DoubleValue(value)) => format!("double {value}"),
        Some(any_value::Value::ArrayValue(list)) => {
            let values = list.values.iter();
            let values: Vec<_> = values.map(|value| shown(Some(value))).collect();
            format!("[{}]", values.join(", "))
        }
        other => panic!("unexpected value {other:?}"),
    }
}
