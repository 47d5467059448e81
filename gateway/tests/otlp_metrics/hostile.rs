//! Whatever comes, Prometheus can read the page.

use fastrand::Rng;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{
        AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
    },
    metrics::v1::{
        ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
        Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
        exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
        summary_data_point::ValueAtQuantile,
    },
    resource::v1::Resource,
};
use prost::Message as _;
use weir_point::otlp::{OtlpBatch, Signal};

use crate::support::{Output, Verdict, promtool};

/// Few enough that they meet each other.
const WORDS: [&str; 24] = [
    "",
    "a",
    "a.b",
    "a_b",
    "le",
    "job",
    "instance",
    "quantile",
    "otel.scope.name",
    "_",
    "5",
    "温度",
    "x\"y\\\n",
    "total",
    "count",
    "a_count",
    "a_bucket",
    "target_info",
    "weir_agent_up",
    "service.name",
    "service.instance.id",
    "~other",
    "name",
    "version",
];
const NUMBERS: [f64; 10] = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::MAX,
    f64::MIN_POSITIVE,
    1e-7,
];

fn word(rng: &mut Rng) -> String {
    rng.choice(WORDS).expect("a word").to_owned()
}

fn double(rng: &mut Rng) -> f64 {
    match rng.bool() {
        true => rng.choice(NUMBERS).expect("a number"),
        false => rng.f64() * 100.0,
    }
}

fn count(rng: &mut Rng) -> u64 {
    rng.u64(..) >> rng.u32(..64)
}

fn some<T>(rng: &mut Rng, most: usize, mut make: impl FnMut(&mut Rng) -> T) -> Vec<T> {
    (0..rng.usize(..=most)).map(|_| make(rng)).collect()
}

fn attribute(rng: &mut Rng, depth: u32) -> KeyValue {
    KeyValue {
        key: word(rng),
        value: rng.bool().then(|| value(rng, depth)),
        ..KeyValue::default()
    }
}

fn value(rng: &mut Rng, depth: u32) -> AnyValue {
    let value = match rng.u8(..if depth == 0 { 5 } else { 7 }) {
        0 => Value::StringValue(word(rng)),
        1 => Value::BoolValue(rng.bool()),
        2 => Value::IntValue(rng.i64(..)),
        3 => Value::DoubleValue(double(rng)),
        4 => Value::BytesValue(some(rng, 5, |rng| rng.u8(..))),
        5 => Value::ArrayValue(ArrayValue {
            values: some(rng, 3, |rng| value(rng, depth - 1)),
        }),
        _ => Value::KvlistValue(KeyValueList {
            values: some(rng, 3, |rng| attribute(rng, depth - 1)),
        }),
    };
    AnyValue { value: Some(value) }
}

fn attributes(rng: &mut Rng) -> Vec<KeyValue> {
    some(rng, 3, |rng| attribute(rng, 2))
}

/// Start, time and flags.
fn span(rng: &mut Rng) -> (u64, u64, u32) {
    (rng.u64(..5), rng.u64(..20), u32::from(rng.u8(..10) == 0))
}

fn number(rng: &mut Rng) -> NumberDataPoint {
    let (start_time_unix_nano, time_unix_nano, flags) = span(rng);
    NumberDataPoint {
        attributes: attributes(rng),
        start_time_unix_nano,
        time_unix_nano,
        flags,
        value: match rng.u8(..5) {
            0 => None,
            1..3 => Some(number_data_point::Value::AsInt(rng.i64(..))),
            _ => Some(number_data_point::Value::AsDouble(double(rng))),
        },
        ..NumberDataPoint::default()
    }
}

fn explicit(rng: &mut Rng) -> HistogramDataPoint {
    let (start_time_unix_nano, time_unix_nano, flags) = span(rng);
    let buckets = rng.usize(..4);
    let mut bounds: Vec<f64> = (0..buckets).map(|_| double(rng)).collect();
    if rng.bool() {
        bounds.sort_by(f64::total_cmp);
    }
    let more = usize::from(rng.u8(..8) > 0);
    HistogramDataPoint {
        attributes: attributes(rng),
        start_time_unix_nano,
        time_unix_nano,
        flags,
        count: count(rng),
        sum: rng.bool().then(|| double(rng)),
        bucket_counts: (0..buckets + more).map(|_| count(rng)).collect(),
        explicit_bounds: bounds,
        ..HistogramDataPoint::default()
    }
}

fn exponential(rng: &mut Rng) -> ExponentialHistogramDataPoint {
    let (start_time_unix_nano, time_unix_nano, flags) = span(rng);
    let buckets = |rng: &mut Rng| {
        rng.bool().then(|| Buckets {
            offset: rng.i32(..) >> rng.u32(..32),
            bucket_counts: some(rng, 5, count),
        })
    };
    ExponentialHistogramDataPoint {
        attributes: attributes(rng),
        start_time_unix_nano,
        time_unix_nano,
        flags,
        count: count(rng),
        sum: rng.bool().then(|| double(rng)),
        scale: rng.i32(..) >> rng.u32(..32),
        zero_count: count(rng),
        positive: buckets(rng),
        negative: buckets(rng),
        zero_threshold: double(rng),
        ..ExponentialHistogramDataPoint::default()
    }
}

fn summary(rng: &mut Rng) -> SummaryDataPoint {
    let (start_time_unix_nano, time_unix_nano, flags) = span(rng);
    SummaryDataPoint {
        attributes: attributes(rng),
        start_time_unix_nano,
        time_unix_nano,
        flags,
        count: count(rng),
        sum: double(rng),
        quantile_values: some(rng, 3, |rng| ValueAtQuantile {
            quantile: if rng.bool() { rng.f64() } else { double(rng) },
            value: double(rng),
        }),
    }
}

fn metric(rng: &mut Rng) -> Metric {
    let aggregation_temporality = rng.i32(0..4);
    let data = match rng.u8(..6) {
        0 => None,
        1 => Some(Data::Gauge(Gauge {
            data_points: some(rng, 3, number),
        })),
        2 => Some(Data::Sum(Sum {
            data_points: some(rng, 3, number),
            aggregation_temporality,
            is_monotonic: rng.bool(),
        })),
        3 => Some(Data::Histogram(Histogram {
            data_points: some(rng, 3, explicit),
            aggregation_temporality,
        })),
        4 => Some(Data::ExponentialHistogram(ExponentialHistogram {
            data_points: some(rng, 3, exponential),
            aggregation_temporality,
        })),
        _ => Some(Data::Summary(Summary {
            data_points: some(rng, 3, summary),
        })),
    };
    let units = ["", "1", "s", "By/s", "{x}", "}{", "温", "a\0b"];
    Metric {
        name: [word(rng), word(rng)].concat(),
        description: word(rng),
        unit: rng.choice(units).expect("a unit").to_owned(),
        data,
        ..Metric::default()
    }
}

fn request(rng: &mut Rng) -> ExportMetricsServiceRequest {
    let scope_metrics = |rng: &mut Rng| ScopeMetrics {
        scope: rng.bool().then(|| InstrumentationScope {
            name: word(rng),
            version: word(rng),
            attributes: attributes(rng),
            ..InstrumentationScope::default()
        }),
        metrics: some(rng, 4, metric),
        ..ScopeMetrics::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: some(rng, 2, |rng| ResourceMetrics {
            resource: rng.bool().then(|| Resource {
                attributes: attributes(rng),
                ..Resource::default()
            }),
            scope_metrics: some(rng, 2, scope_metrics),
            ..ResourceMetrics::default()
        }),
    }
}

fn assert_readable(output: &Output) {
    // The parser panics on series that come twice, on buckets that shrink, and so on.
    output.page();
    let whole = output.own_text() + &output.text();
    if let Verdict::Unreadable(error) = promtool(&whole) {
        panic!("{error}");
    }
}

#[test]
fn the_page_can_be_read_whatever_was_sent() {
    let mut rng = Rng::with_seed(1);
    for budget in [3, 1000] {
        let output = Output::with_budget(budget);
        let mut sent = 0;
        for round in 0..10_000 {
            let bytes = request(&mut rng).encode_to_vec();
            let batch = OtlpBatch::check(Signal::Metrics, bytes.clone().into());
            sent += batch.expect("a request").items();
            output.bytes(bytes);
            if round % 1000 == 999 {
                assert_readable(&output);
                output.idle(rng.u64(..400));
            }
        }
        // Every data point is accounted for.
        let [taken, folded, dropped] = output.results();
        assert_eq!(taken + folded + dropped, sent as f64);
        assert!(
            taken > 1000.0 && dropped > 1000.0,
            "{taken} {folded} {dropped}"
        );
        assert!(budget > 3 || folded > 100.0, "{folded}");
    }
}

#[test]
fn spoilt_requests_that_still_are_requests_do_no_harm() {
    let mut rng = Rng::with_seed(2);
    let output = Output::with_budget(100);
    let mut taken = 0;
    for _ in 0..20_000 {
        let mut bytes = request(&mut rng).encode_to_vec();
        for _ in 0..rng.usize(1..4) {
            if !bytes.is_empty() {
                let at = rng.usize(..bytes.len());
                bytes[at] = rng.u8(..);
            }
        }
        if OtlpBatch::check(Signal::Metrics, bytes.clone().into()).is_ok() {
            output.bytes(bytes);
            taken += 1;
        }
    }
    assert!(taken > 1000, "{taken}");
    assert_readable(&output);
}
