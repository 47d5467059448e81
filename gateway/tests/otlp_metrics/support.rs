//! Clients that send metrics, and the page they end up on.

mod page;
mod promtool;

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data,
        number_data_point,
    },
    resource::v1::Resource,
};
use prost::Message as _;
use weir_gateway::{
    otlp_metrics::OtlpMetrics, page::Format, profile::SEMCONV, self_metrics::SelfMetrics,
};
use weir_point::otlp::{OtlpBatch, Signal};

pub(crate) use self::{
    page::Page,
    promtool::{Verdict, promtool},
};

pub(crate) const DELTA: i32 = 1;
pub(crate) const CUMULATIVE: i32 = 2;
const IDLE_EXPIRY: Duration = Duration::from_secs(300);

/// The series, and what is counted about them.
pub(crate) struct Output {
    metrics: OtlpMetrics,
    own: SelfMetrics,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self::with_budget(1000)
    }

    pub(crate) fn with_budget(budget: usize) -> Self {
        let own = SelfMetrics::new();
        let metrics = OtlpMetrics::new(&SEMCONV, budget, IDLE_EXPIRY, &own);
        Self { metrics, own }
    }

    /// Send metrics of a resource that says nothing about itself.
    pub(crate) fn send(&self, metrics: impl Into<Vec<Metric>>) {
        self.request(request(&[], metrics.into()));
    }

    pub(crate) fn request(&self, request: ExportMetricsServiceRequest) {
        self.bytes(request.encode_to_vec());
    }

    pub(crate) fn bytes(&self, bytes: Vec<u8>) {
        let batch = OtlpBatch::check(Signal::Metrics, bytes.into()).expect("a request");
        self.metrics.take(&batch);
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.render(Format::Text)).expect("text")
    }

    /// The page without its end.
    pub(crate) fn render(&self, format: Format) -> Vec<u8> {
        let mut page = Vec::new();
        self.metrics.render(format, &mut page);
        page
    }

    pub(crate) fn page(&self) -> Page {
        Page::parse(&self.text())
    }

    /// The gateway's own metrics.
    pub(crate) fn own(&self) -> Page {
        Page::parse(&self.own.render())
    }

    pub(crate) fn own_text(&self) -> String {
        self.own.render()
    }

    pub(crate) fn dropped(&self, cause: &str) -> f64 {
        let name = "weir_gateway_otlp_series_points_dropped_total";
        self.own().one(name, &[("cause", cause)])
    }

    /// Taken, folded and dropped.
    pub(crate) fn results(&self) -> [f64; 3] {
        let own = self.own();
        let name = "weir_gateway_otlp_series_points_total";
        ["taken", "folded", "dropped"].map(|result| own.one(name, &[("result", result)]))
    }

    /// Let time pass without data points; returns how many label sets went.
    pub(crate) fn idle(&self, seconds: u64) -> usize {
        self.metrics
            .sweep(Instant::now() + Duration::from_secs(seconds))
    }
}

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

pub(crate) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

pub(crate) fn texts(attributes: &[(&str, &str)]) -> Vec<KeyValue> {
    let attributes = attributes.iter();
    attributes.map(|(key, value)| text(key, value)).collect()
}

pub(crate) fn request(
    resource: &[(&str, &str)],
    metrics: Vec<Metric>,
) -> ExportMetricsServiceRequest {
    scoped(resource, InstrumentationScope::default(), metrics)
}

pub(crate) fn scoped(
    resource: &[(&str, &str)],
    scope: InstrumentationScope,
    metrics: Vec<Metric>,
) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: texts(resource),
                ..Resource::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope),
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

pub(crate) fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

/// A point at `time` seconds, of a series that began at second 1.
pub(crate) fn point(
    attributes: &[(&str, &str)],
    time: u64,
    value: impl Into<Num>,
) -> NumberDataPoint {
    NumberDataPoint {
        attributes: texts(attributes),
        start_time_unix_nano: 1_000_000_000,
        time_unix_nano: time * 1_000_000_000,
        value: Some(value.into().0),
        ..NumberDataPoint::default()
    }
}

/// A number of either kind.
pub(crate) struct Num(number_data_point::Value);

impl From<i64> for Num {
    fn from(value: i64) -> Self {
        Self(number_data_point::Value::AsInt(value))
    }
}

impl From<f64> for Num {
    fn from(value: f64) -> Self {
        Self(number_data_point::Value::AsDouble(value))
    }
}

pub(crate) fn gauge(name: &str, unit: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    metric(name, unit, Data::Gauge(Gauge { data_points }))
}

pub(crate) fn counter(name: &str, temporality: i32, data_points: Vec<NumberDataPoint>) -> Metric {
    sum(name, temporality, true, data_points)
}

pub(crate) fn sum(
    name: &str,
    aggregation_temporality: i32,
    is_monotonic: bool,
    data_points: Vec<NumberDataPoint>,
) -> Metric {
    let sum = Sum {
        data_points,
        aggregation_temporality,
        is_monotonic,
    };
    metric(name, "", Data::Sum(sum))
}
