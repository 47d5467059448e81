//! Histograms of both kinds, and summaries.

use fastrand::Rng;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Histogram, HistogramDataPoint, Metric,
    Summary, SummaryDataPoint, exponential_histogram_data_point::Buckets, metric::Data,
    summary_data_point::ValueAtQuantile,
};

use crate::support::{CUMULATIVE, DELTA, Output, Page, Verdict, metric, promtool, texts};

const BOUNDS: [f64; 4] = [0.25, 1.0, 2.5, 10.0];

/// The explicit histogram of these values.
fn explicit(host: &str, time: u64, values: &[f64]) -> HistogramDataPoint {
    let mut bucket_counts = vec![0; BOUNDS.len() + 1];
    for value in values {
        bucket_counts[BOUNDS.partition_point(|bound| bound < value)] += 1;
    }
    HistogramDataPoint {
        attributes: texts(&[("host", host)]),
        time_unix_nano: time,
        count: values.len() as u64,
        sum: Some(values.iter().sum()),
        bucket_counts,
        explicit_bounds: BOUNDS.to_vec(),
        ..HistogramDataPoint::default()
    }
}

/// The exponential histogram of these values, by the formula of the data model.
fn exponential(host: &str, time: u64, scale: i32, values: &[f64]) -> ExponentialHistogramDataPoint {
    let index = |value: f64| ((value.log2() * 2_f64.powi(scale)).ceil() as i32) - 1;
    let side = |values: Vec<f64>| {
        let indexes: Vec<i32> = values.into_iter().map(index).collect();
        let offset = indexes.iter().copied().min().unwrap_or(0);
        let mut bucket_counts = Vec::new();
        for index in indexes {
            let place = (index - offset) as usize;
            if bucket_counts.len() <= place {
                bucket_counts.resize(place + 1, 0);
            }
            bucket_counts[place] += 1;
        }
        Buckets {
            offset,
            bucket_counts,
        }
    };
    ExponentialHistogramDataPoint {
        attributes: texts(&[("host", host)]),
        time_unix_nano: time,
        count: values.len() as u64,
        sum: Some(values.iter().sum()),
        scale,
        zero_count: values.iter().filter(|value| **value == 0.0).count() as u64,
        positive: Some(side(values.iter().copied().filter(|v| *v > 0.0).collect())),
        negative: Some(side(
            values.iter().filter(|v| **v < 0.0).map(|v| -v).collect(),
        )),
        ..ExponentialHistogramDataPoint::default()
    }
}

fn with_explicit(temporality: i32, data_points: Vec<HistogramDataPoint>) -> Metric {
    let histogram = Histogram {
        data_points,
        aggregation_temporality: temporality,
    };
    metric("took", "s", Data::Histogram(histogram))
}

fn with_exponential(temporality: i32, data_points: Vec<ExponentialHistogramDataPoint>) -> Metric {
    let histogram = ExponentialHistogram {
        data_points,
        aggregation_temporality: temporality,
    };
    metric("took", "s", Data::ExponentialHistogram(histogram))
}

/// Every bucket of `host` holds the values up to its bound.
fn assert_shows(page: &Page, host: &str, values: &[f64]) {
    let labels = [("host", host)];
    let buckets = page.series("took_seconds_bucket", &labels);
    assert!(buckets.len() > 1);
    for (labels, count) in buckets {
        let bound: f64 = labels["le"].parse().expect("a number");
        let below = values.iter().filter(|value| **value <= bound).count();
        assert_eq!(count, below as f64, "up to {bound} in {values:?}");
    }
    let sum: f64 = values.iter().sum();
    assert_eq!(page.one("took_seconds_sum", &labels), sum);
    assert_eq!(page.one("took_seconds_count", &labels), values.len() as f64);
}

/// Values that add up exactly.
fn some_values(rng: &mut Rng) -> Vec<f64> {
    let value = |rng: &mut Rng| {
        let most = 2_u32.pow(rng.u32(1..16));
        f64::from(rng.u32(1..=most)) / 1024.0
    };
    (0..rng.usize(..20)).map(|_| value(rng)).collect()
}

#[test]
fn a_histogram_counts_the_values_up_to_each_bound_in_both_temporalities() {
    let mut rng = Rng::with_seed(1);
    let (delta, cumulative) = (Output::new(), Output::new());
    let mut all = [vec![], vec![], vec![]];
    for round in 1..60 {
        for (host, all) in ["a", "b", "c"].iter().zip(&mut all) {
            let values = some_values(&mut rng);
            all.extend(&values);
            delta.send([with_explicit(DELTA, vec![explicit(host, round, &values)])]);
            cumulative.send([with_explicit(CUMULATIVE, vec![explicit(host, round, all)])]);
        }
    }
    for output in [delta, cumulative] {
        for (host, values) in ["a", "b", "c"].iter().zip(&all) {
            assert_shows(&output.page(), host, values);
        }
        assert_eq!(promtool(&output.text()), Verdict::Clean);
    }
}

#[test]
fn an_exponential_histogram_counts_the_values_up_to_each_power_of_two() {
    let mut rng = Rng::with_seed(2);
    for scale in [-2, 0, 1, 3, 8] {
        let (delta, cumulative) = (Output::new(), Output::new());
        let mut all = [vec![], vec![]];
        for round in 1..40 {
            for (host, all) in ["a", "b"].iter().zip(&mut all) {
                let mut values = some_values(&mut rng);
                if scale < 0 {
                    // Wider buckets than ours say less; at their own bounds they agree.
                    values.retain(|value| [0.0625, 1.0, 16.0].contains(value));
                }
                all.extend(&values);
                // The scale changes as values spread.
                let own = if scale > 1 { rng.i32(1..=scale) } else { scale };
                delta.send([with_exponential(
                    DELTA,
                    vec![exponential(host, round, own, &values)],
                )]);
                let point = exponential(host, round, own, all);
                cumulative.send([with_exponential(CUMULATIVE, vec![point])]);
            }
        }
        for output in [delta, cumulative] {
            let page = output.page();
            if scale >= 0 {
                assert_shows(&page, "a", &all[0]);
                assert_shows(&page, "b", &all[1]);
            }
            // Sums over series need equal bounds.
            let bounds = |host| {
                let series = page.series("took_seconds_bucket", &[("host", host)]);
                let bounds = series.into_iter().map(|(labels, _)| labels["le"].clone());
                bounds.collect::<Vec<String>>()
            };
            assert_eq!(bounds("a"), bounds("b"));
            assert_eq!(promtool(&output.text()), Verdict::Clean);
        }
    }
}

#[test]
fn wide_exponential_buckets_end_at_their_own_bounds() {
    let output = Output::new();
    // Scale -1: the bounds are powers of four.
    let point = ExponentialHistogramDataPoint {
        count: 10,
        scale: -1,
        positive: Some(Buckets {
            offset: -1,
            bucket_counts: vec![1, 2, 3, 4],
        }),
        ..ExponentialHistogramDataPoint::default()
    };
    output.send([with_exponential(CUMULATIVE, vec![point])]);
    let page = output.page();
    for (bound, count) in [
        ("1", 1.0),
        ("4", 3.0),
        ("16", 6.0),
        ("64", 10.0),
        ("+Inf", 10.0),
    ] {
        assert_eq!(
            page.one("took_seconds_bucket", &[("le", bound)]),
            count,
            "{bound}"
        );
    }
    // Not given, so not shown.
    assert!(page.series("took_seconds_sum", &[]).is_empty());
}

#[test]
fn zero_and_what_is_below_has_a_bucket_of_its_own() {
    let output = Output::new();
    let values = [0.0, -4.0, -0.5, 3.0, 0.0, 8.0];
    output.send([with_exponential(
        CUMULATIVE,
        vec![exponential("a", 1, 2, &values)],
    )]);
    assert_shows(&output.page(), "a", &values);
    assert_eq!(
        output.page().one("took_seconds_bucket", &[("le", "0")]),
        4.0
    );
}

#[test]
fn buckets_beyond_all_measure_are_counted_without_one() {
    let output = Output::new();
    for (time, scale) in [(1, 0), (2, i32::MIN), (3, 20), (4, i32::MAX)] {
        for offset in [i32::MIN, -1, i32::MAX - 2] {
            let point = ExponentialHistogramDataPoint {
                time_unix_nano: time,
                scale,
                count: 3,
                positive: Some(Buckets {
                    offset,
                    bucket_counts: vec![1, 1, 1],
                }),
                ..ExponentialHistogramDataPoint::default()
            };
            output.send([with_exponential(CUMULATIVE, vec![point])]);
            let page = output.page();
            assert_eq!(page.one("took_seconds_count", &[]), 3.0);
            assert!(page.series("took_seconds_bucket", &[]).len() < 140);
        }
    }
}

#[test]
fn other_bounds_begin_another_histogram() {
    let output = Output::new();
    output.send([with_explicit(DELTA, vec![explicit("a", 1, &[1.0, 2.0])])]);
    let other = HistogramDataPoint {
        explicit_bounds: vec![5.0],
        bucket_counts: vec![3, 4],
        sum: None,
        ..explicit("a", 2, &[])
    };
    output.send([with_explicit(DELTA, vec![other])]);
    let page = output.page();
    assert_eq!(page.series("took_seconds_bucket", &[]).len(), 2);
    assert_eq!(page.one("took_seconds_bucket", &[("le", "5")]), 3.0);
    assert_eq!(page.one("took_seconds_count", &[]), 7.0);
}

#[test]
fn a_histogram_without_buckets_has_a_count_and_a_sum() {
    let output = Output::new();
    let point = HistogramDataPoint {
        count: 5,
        sum: Some(2.5),
        ..HistogramDataPoint::default()
    };
    output.send([with_explicit(CUMULATIVE, vec![point])]);
    let page = output.page();
    assert_eq!(page.one("took_seconds_bucket", &[("le", "+Inf")]), 5.0);
    assert_eq!(page.one("took_seconds_sum", &[]), 2.5);
    assert_eq!(page.one("took_seconds_count", &[]), 5.0);
}

#[test]
fn histograms_that_cannot_be_are_left_out_and_counted() {
    let output = Output::new();
    let point = |bounds: &[f64], counts: &[u64], sum| HistogramDataPoint {
        explicit_bounds: bounds.to_vec(),
        bucket_counts: counts.to_vec(),
        sum: Some(sum),
        ..HistogramDataPoint::default()
    };
    let broken = vec![
        point(&[1.0], &[1], 0.0),
        point(&[1.0], &[], 0.0),
        point(&[], &[1, 2], 0.0),
        point(&[2.0, 1.0], &[1, 2, 3], 0.0),
        point(&[1.0, 1.0], &[1, 2, 3], 0.0),
        point(&[f64::NAN], &[1, 2], 0.0),
        point(&[f64::INFINITY], &[1, 2], 0.0),
        point(&[1.0], &[1, 2], f64::NAN),
    ];
    let wanted = broken.len() as f64;
    output.send([with_explicit(CUMULATIVE, broken)]);
    let bounds: Vec<f64> = (0..600).map(f64::from).collect();
    output.send([with_explicit(
        CUMULATIVE,
        vec![point(&bounds, &[1; 601], 0.0)],
    )]);
    assert_eq!(output.text(), "");
    assert_eq!(output.dropped("malformed"), wanted);
    assert_eq!(output.dropped("too_large"), 1.0);
}

#[test]
fn a_summary_shows_its_quantiles() {
    let output = Output::new();
    let at = |quantile, value| ValueAtQuantile { quantile, value };
    let point = |quantile_values| SummaryDataPoint {
        attributes: texts(&[("host", "a"), ("quantile", "x")]),
        count: 12,
        sum: 7.5,
        quantile_values,
        ..SummaryDataPoint::default()
    };
    let quantiles = vec![at(0.99, 3.5), at(0.5, 1.25), at(0.5, 9.0), at(1.0, 4.0)];
    let summary = |data_points| metric("took", "s", Data::Summary(Summary { data_points }));
    output.send([summary(vec![point(quantiles), point(vec![at(1.5, 1.0)])])]);
    let page = output.page();
    assert_eq!(page.types["took_seconds"], "summary");
    for (quantile, value) in [("0.5", 1.25), ("0.99", 3.5), ("1", 4.0)] {
        let labels = [("quantile", quantile), ("exported_quantile", "x")];
        assert_eq!(page.one("took_seconds", &labels), value);
    }
    assert_eq!(page.one("took_seconds_sum", &[("host", "a")]), 7.5);
    assert_eq!(page.one("took_seconds_count", &[("host", "a")]), 12.0);
    assert_eq!(output.dropped("malformed"), 1.0);
    assert_eq!(promtool(&output.text()), Verdict::Clean);
}
