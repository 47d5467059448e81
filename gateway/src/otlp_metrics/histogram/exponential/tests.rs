use fastrand::Rng;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{
        ExponentialHistogram, ExponentialHistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics,
        exponential_histogram_data_point::Buckets, metric::Data,
    },
};
use prost::Message as _;
use weir_point::otlp::{OtlpBatch, Signal};

use super::*;

fn read(point: ExponentialHistogramDataPoint) -> Option<Exponential> {
    let data = Data::ExponentialHistogram(ExponentialHistogram {
        data_points: vec![point],
        aggregation_temporality: 1,
    });
    let metric = Metric {
        data: Some(data),
        ..Metric::default()
    };
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![metric],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    };
    let batch = OtlpBatch::check(Signal::Metrics, request.encode_to_vec().into()).expect("one");
    let resource = batch.resource_metrics().next().expect("a resource");
    let scope = resource.scopes().next().expect("a scope");
    let metric = scope.metrics().next().expect("a metric");
    let metrics::Data::ExponentialHistogram { mut points, .. } = metric.data else {
        panic!("another kind");
    };
    Exponential::read(&points.next().expect("a point"))
}

fn extreme(rng: &mut Rng) -> i32 {
    match rng.u8(..4) {
        0 => rng.i32(-12..25),
        1 => rng.i32(-300..300),
        2 => rng.i32(..),
        _ => [i32::MIN, i32::MAX, 0, -1][rng.usize(..4)],
    }
}

/// Anything that can be written, and how many values it has.
fn random(rng: &mut Rng) -> (ExponentialHistogramDataPoint, u64) {
    let mut count = rng.u64(..10);
    let zero_count = count;
    let mut side = || {
        let buckets = Buckets {
            offset: extreme(rng),
            bucket_counts: (0..rng.usize(..700))
                .map(|_| rng.u64(..3).saturating_sub(1))
                .collect(),
        };
        count += buckets.bucket_counts.iter().sum::<u64>();
        Some(buckets)
    };
    let (positive, negative) = (side(), side());
    let point = ExponentialHistogramDataPoint {
        scale: extreme(rng),
        zero_count,
        zero_threshold: [0.0, 1e-300, 0.5, 3.0, 1e300][rng.usize(..5)],
        positive,
        negative,
        ..ExponentialHistogramDataPoint::default()
    };
    (point, count)
}

fn assert_whole(histogram: &Exponential, count: u64) {
    assert_eq!(histogram.count(), count, "{histogram:?}");
    for side in [&histogram.positive, &histogram.negative] {
        assert!(side.counts.len() as i64 <= MOST_BUCKETS);
        assert_ne!(side.counts.first(), Some(&0));
        assert_ne!(side.counts.last(), Some(&0));
    }
    assert!(histogram.scale <= FINEST);
    assert!(histogram.native().is_some() || histogram.scale < COARSEST);
    let mut exponents = Exponents::default();
    exponents.include(histogram);
    let (mut before, mut bounds) = (0, 0);
    exponents.cumulate(histogram, |_, sum| {
        assert!(sum >= before && sum <= count);
        (before, bounds) = (sum, bounds + 1);
    });
    assert!(bounds <= HIGHEST - LOWEST + 2);
}

#[test]
fn whatever_clients_send_no_value_is_lost_and_memory_is_bounded() {
    let mut rng = Rng::with_seed(21);
    for _ in 0..2000 {
        let (point, mut count) = random(&mut rng);
        let mut sum = read(point).expect("a histogram");
        assert_whole(&sum, count);
        for _ in 0..rng.usize(..4) {
            let (point, more) = random(&mut rng);
            let point = read(point).expect("a histogram");
            let threshold = sum.zero_threshold.max(point.zero_threshold);
            sum.add(&point);
            count += more;
            assert_whole(&sum, count);
            assert!(sum.zero_threshold >= threshold);
        }
    }
}

#[test]
fn a_threshold_that_is_none_is_refused() {
    for zero_threshold in [f64::NAN, f64::INFINITY, -1.0] {
        let point = ExponentialHistogramDataPoint {
            zero_threshold,
            ..ExponentialHistogramDataPoint::default()
        };
        assert!(read(point).is_none(), "{zero_threshold}");
    }
}

/// Values in `(1, 2]`, `(2, 4]` and so on.
fn powers(offset: i32, counts: &[u64]) -> ExponentialHistogramDataPoint {
    ExponentialHistogramDataPoint {
        positive: Some(Buckets {
            offset,
            bucket_counts: counts.to_vec(),
        }),
        ..ExponentialHistogramDataPoint::default()
    }
}

#[test]
fn a_bucket_that_begins_within_the_threshold_takes_the_threshold_with_it() {
    let mut fine = read(powers(0, &[1, 2, 4, 8])).expect("a histogram");
    let wide = ExponentialHistogramDataPoint {
        zero_threshold: 3.0,
        zero_count: 16,
        ..powers(5, &[32])
    };
    fine.add(&read(wide).expect("a histogram"));
    // 3 is inside the bucket up to 4.
    assert_eq!(fine.zero_threshold, 4.0);
    assert_eq!(fine.zero_count, 1 + 2 + 16);
    assert_eq!(
        (fine.positive.first, &*fine.positive.counts),
        (2, &[4, 8, 0, 32][..])
    );
}

#[test]
fn a_finer_histogram_becomes_as_coarse_as_the_one_it_is_added_to() {
    let mut sum = read(powers(-1, &[1, 1])).expect("a histogram");
    let fine = ExponentialHistogramDataPoint {
        scale: 1,
        ..powers(-2, &[1, 1, 1, 1, 1])
    };
    sum.add(&read(fine).expect("a histogram"));
    assert_eq!((sum.scale, sum.positive.first), (0, -1));
    assert_eq!(sum.positive.counts, [3, 3, 1]);
}
