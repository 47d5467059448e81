//! Exponential histograms as native ones in a real Prometheus.

use fastrand::Rng;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, exponential_histogram_data_point::Buckets,
};
use weir_gateway::RunningGateway;

use crate::support::{
    CUMULATIVE, DELTA, Prometheus, exemplar, exponential, gateway, metrics, now, page, send, texts,
};

const FEATURES: &str = "native-histograms,exemplar-storage";

/// The exponential histogram of these values, by the formula of the data model.
fn of(host: &str, scale: i32, values: &[f64]) -> ExponentialHistogramDataPoint {
    let index = |value: f64| ((value.log2() * 2_f64.powi(scale)).ceil() as i32) - 1;
    let side = |values: Vec<f64>| {
        let indexes: Vec<i32> = values.into_iter().map(index).collect();
        let offset = indexes.iter().copied().min().unwrap_or(0);
        let length = indexes.iter().max().map_or(0, |last| last - offset + 1);
        let mut bucket_counts = vec![0; length as usize];
        for index in indexes {
            bucket_counts[(index - offset) as usize] += 1;
        }
        Some(Buckets {
            offset,
            bucket_counts,
        })
    };
    ExponentialHistogramDataPoint {
        attributes: texts(&[("host", host)]),
        start_time_unix_nano: now(),
        time_unix_nano: now(),
        count: values.len() as u64,
        sum: Some(values.iter().sum()),
        scale,
        zero_count: values.iter().filter(|value| **value == 0.0).count() as u64,
        positive: side(values.iter().copied().filter(|v| *v > 0.0).collect()),
        negative: side(values.iter().filter(|v| **v < 0.0).map(|v| -v).collect()),
        ..ExponentialHistogramDataPoint::default()
    }
}

async fn send_one(
    gateway: &RunningGateway,
    temporality: i32,
    point: ExponentialHistogramDataPoint,
) {
    let metric = exponential("took", "s", temporality, vec![point]);
    send(gateway, "metrics", &metrics(vec![metric])).await;
}

/// Which formats were asked for.
async fn assert_protobuf_was_scraped(gateway: &RunningGateway) {
    let text = page(gateway, &[]).await.text();
    let name = "weir_gateway_prometheus_scrapes_total{format=\"protobuf\"} ";
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let scrapes: u64 = line.expect("a counter").parse().expect("a number");
    assert!(scrapes > 0);
}

fn close(found: f64, wanted: f64) -> bool {
    (found - wanted).abs() <= wanted.abs() * 1e-9
}

#[tokio::test]
async fn prometheus_has_the_count_the_sum_and_the_buckets_that_were_sent() {
    let gateway = gateway("").await;
    let prometheus = Prometheus::scraping(&gateway, FEATURES);
    let mut rng = Rng::with_seed(11);
    // The scale of the client, how many powers of two the values span, and the scale in
    // Prometheus: it has none finer than 8, and the gateway keeps 320 buckets.
    for (host, scale, span, kept) in [
        ("a", 12, 1.2, 8),
        ("b", 8, 1.2, 8),
        ("c", 8, 17.0, 4),
        ("d", 3, 17.0, 3),
        ("e", 0, 17.0, 0),
        ("f", -1, 17.0, -1),
        ("g", -4, 17.0, -4),
    ] {
        let value = |rng: &mut Rng| ((rng.f64() - 0.5) * span).exp2();
        let mut values: Vec<f64> = (0..500).map(|_| value(&mut rng)).collect();
        values.extend([0.0, 0.0, 0.0]);
        values.extend((0..20).map(|_| -value(&mut rng) - 1.0));
        send_one(&gateway, CUMULATIVE, of(host, scale, &values)).await;
        let series = format!("took_seconds{{host=\"{host}\"}}");
        let count = prometheus.one(&format!("histogram_count({series})")).await;
        assert_eq!(count, values.len() as f64, "{host}");
        let sum = prometheus.one(&format!("histogram_sum({series})")).await;
        assert!(close(sum, values.iter().sum()), "{host}: {sum}");

        // A quantile is somewhere in the bucket of the value of that rank.
        values.sort_by(f64::total_cmp);
        let width = 2_f64.powf(2_f64.powi(-kept));
        for quantile in [0.25, 0.5, 0.9, 0.99] {
            let query = format!("histogram_quantile({quantile}, {series})");
            let found = prometheus.one(&query).await;
            let rank = (quantile * values.len() as f64).ceil() as usize - 1;
            let wanted = values[rank];
            let near = found / wanted;
            assert!(
                near < width * 1.000_001 && near > 1.0 / width / 1.000_001,
                "{host}, {quantile}: {found}, not {wanted}"
            );
        }
        // Negative values are where they were.
        let query = format!("histogram_fraction(-Inf, -1, {series})");
        let fraction = prometheus.one(&query).await;
        if scale >= 0 {
            assert!(
                close(fraction, 20.0 / values.len() as f64),
                "{host}: {fraction}"
            );
        }
    }
    assert_protobuf_was_scraped(&gateway).await;
}

#[tokio::test]
async fn deltas_of_different_scales_and_thresholds_add_up() {
    let gateway = gateway("").await;
    let prometheus = Prometheus::scraping(&gateway, FEATURES);
    let mut rng = Rng::with_seed(12);
    let mut all = Vec::new();
    for (scale, threshold) in [(5, 0.0), (10, 0.0), (3, 0.001), (4, 0.25), (5, 0.0)] {
        let values: Vec<f64> = (0..100).map(|_| 1.0 + rng.f64() * 100.0).collect();
        let mut point = of("a", scale, &values);
        // Ten more below the threshold.
        point.zero_count += 10;
        point.zero_threshold = threshold;
        point.count += 10;
        send_one(&gateway, DELTA, point).await;
        all.extend(values);
    }
    let wanted = all.len() as f64 + 50.0;
    let series = "took_seconds{host=\"a\"}";
    let whole = format!("histogram_count({series}) == {wanted}");
    assert_eq!(prometheus.one(&whole).await, wanted);
    let sum = prometheus.one(&format!("histogram_sum({series})")).await;
    assert!(close(sum, all.iter().sum()));
    let zero = format!("histogram_fraction(-0.25, 0.25, {series})");
    assert!(close(prometheus.one(&zero).await, 50.0 / wanted));
    // 2 and 8 are bounds at every scale from 0 up.
    for bound in [2.0, 8.0, 64.0] {
        let below = all.iter().filter(|value| **value <= bound).count() as f64 + 50.0;
        let query = format!("histogram_fraction(-Inf, {bound}, {series})");
        let fraction = prometheus.one(&query).await;
        assert!(close(fraction, below / wanted), "{bound}: {fraction}");
    }
}

#[tokio::test]
async fn an_empty_histogram_is_a_native_one_too() {
    let gateway = gateway("").await;
    let prometheus = Prometheus::scraping(&gateway, FEATURES);
    send_one(&gateway, CUMULATIVE, of("a", 3, &[])).await;
    assert_eq!(prometheus.one("histogram_count(took_seconds)").await, 0.0);
}

#[tokio::test]
async fn one_that_is_too_coarse_for_prometheus_has_classic_buckets_and_is_counted() {
    let gateway = gateway("").await;
    let prometheus = Prometheus::scraping(&gateway, FEATURES);
    // One bucket up to 2^32.
    send_one(&gateway, CUMULATIVE, of("a", -5, &[2.0, 3.0, 1000.0])).await;
    assert_eq!(prometheus.one("took_seconds_count{host=\"a\"}").await, 3.0);
    let query = "took_seconds_bucket{host=\"a\",le=\"4.294967296e+09\"}";
    assert_eq!(prometheus.one(query).await, 3.0);
    let counted = "weir_gateway_otlp_series_too_coarse_total";
    assert_eq!(prometheus.one(counted).await, 1.0);
}

#[tokio::test]
async fn a_native_histogram_leads_to_its_traces() {
    let gateway = gateway("").await;
    let prometheus = Prometheus::scraping(&gateway, FEATURES);
    let mut point = of("a", 3, &[0.3, 5.0]);
    let time = now();
    // The later one is in the lower bucket.
    point.exemplars = vec![
        exemplar(5.0, time - 1_000_000_000, 7),
        exemplar(0.3, time, 9),
    ];
    send_one(&gateway, CUMULATIVE, point).await;
    prometheus.one("histogram_count(took_seconds)").await;
    let found = prometheus.exemplars("took_seconds", 1).await;
    assert!(found.iter().all(|(_, exemplar)| {
        let trace = exemplar["labels"]["trace_id"].as_str().expect("a trace");
        ["07".repeat(16), "09".repeat(16)].contains(&trace.to_owned())
    }));
}
