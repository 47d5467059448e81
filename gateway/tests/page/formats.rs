//! One page in several formats and codings.

use std::{collections::BTreeMap, io::Read as _};

use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, HistogramDataPoint, Metric, NumberDataPoint, Summary, SummaryDataPoint, metric::Data,
    number_data_point, summary_data_point::ValueAtQuantile,
};
use weir_gateway::RunningGateway;

use crate::support::{
    Family, OPEN, PROTOBUF, Prometheus, counter, explicit, gateway, metrics, now, open_page,
    openmetrics, page, resource, send, texts,
};

const SECOND: u64 = 1_000_000_000;

fn number(labels: &[(&str, &str)], value: f64) -> NumberDataPoint {
    NumberDataPoint {
        attributes: texts(labels),
        start_time_unix_nano: 1_700_000_000 * SECOND + SECOND / 2,
        time_unix_nano: now(),
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

fn gauge(name: &str, unit: &str, points: Vec<NumberDataPoint>) -> Metric {
    Metric {
        name: name.to_owned(),
        unit: unit.to_owned(),
        description: "With \"quotes\", a \\ and two\nlines.".to_owned(),
        data: Some(Data::Gauge(Gauge {
            data_points: points,
        })),
        ..Metric::default()
    }
}

fn histogram(bounds: &[f64], sum: Option<f64>) -> HistogramDataPoint {
    HistogramDataPoint {
        start_time_unix_nano: 1_700_000_000 * SECOND,
        time_unix_nano: now(),
        count: bounds.len() as u64 + 1,
        sum,
        bucket_counts: vec![1; bounds.len() + 1],
        explicit_bounds: bounds.to_vec(),
        ..HistogramDataPoint::default()
    }
}

/// A gateway with metrics of every kind.
async fn full() -> RunningGateway {
    let gateway = gateway("span_metrics: {enabled: true}").await;
    let quantile = |quantile, value| ValueAtQuantile { quantile, value };
    let summary = SummaryDataPoint {
        time_unix_nano: now(),
        count: 3,
        sum: 6.5,
        quantile_values: vec![quantile(0.5, 2.0), quantile(1.0, 4.0)],
        ..SummaryDataPoint::default()
    };
    let bounds = [0.005, 1.0, 2.5, 100_000.0, 10_000_000.0];
    let mut request = metrics(vec![
        counter("net.io", "By", vec![number(&[("to", "a \"b\"\\\n")], 12.0)]),
        gauge(
            "temperature",
            "Cel",
            vec![number(&[], -1.5), number(&[("at", "x")], 1e30)],
        ),
        gauge(
            "strange",
            "",
            vec![number(&[], f64::NAN), number(&[("at", "x")], f64::INFINITY)],
        ),
        explicit("took", "s", vec![histogram(&bounds, Some(17.0))]),
        explicit("moved", "m", vec![histogram(&[-1.0, 0.0, 1.0], Some(0.5))]),
        explicit("unsummed", "", vec![histogram(&[1.0], None)]),
        Metric {
            name: "old".to_owned(),
            data: Some(Data::Summary(Summary {
                data_points: vec![summary],
            })),
            ..Metric::default()
        },
    ]);
    let about = [("service.name", "shop"), ("host.name", "node-1")];
    request.resource_metrics[0].resource = resource(&about);
    send(&gateway, "metrics", &request).await;
    gateway
}

fn family<'a>(families: &'a [Family], name: &str) -> &'a Family {
    let found = families.iter().find(|family| family.name == name);
    found.unwrap_or_else(|| panic!("no {name}"))
}

#[tokio::test]
async fn a_strict_reader_of_openmetrics_takes_the_whole_page() {
    let gateway = full().await;
    let answer = page(&gateway, &[("accept", OPEN)]).await;
    let content_type = answer.header("content-type").expect("a type");
    assert!(content_type.starts_with(OPEN), "{content_type}");
    let text = answer.text();
    assert!(text.ends_with("\n# EOF\n"));
    let families = openmetrics(&text);

    let io = family(&families, "net_io_bytes");
    assert_eq!((io.kind.as_str(), io.unit.as_str()), ("counter", "bytes"));
    let found: Vec<_> = io
        .samples
        .iter()
        .map(|s| (s.name.as_str(), s.value))
        .collect();
    // When it began is known to half a second.
    let created = 1_700_000_000.5;
    assert_eq!(
        found,
        [
            ("net_io_bytes_total", 12.0),
            ("net_io_bytes_created", created)
        ]
    );
    assert!(io.samples[0].has(&[("to", "a \"b\"\\\n"), ("job", "shop")]));

    let temperature = family(&families, "temperature_celsius");
    assert_eq!(temperature.unit, "celsius");
    assert_eq!(temperature.help, "With \"quotes\", a \\ and two\nlines.");

    let took = family(&families, "took_seconds");
    let bounds = took.samples.iter().filter_map(|s| s.labels["le"].as_str());
    let bounds: Vec<_> = bounds.collect();
    assert_eq!(bounds, ["0.005", "1.0", "2.5", "100000.0", "1e+07", "+Inf"]);
    // OpenMetrics has neither a sum of negative values nor a count without a sum.
    for (name, parts) in [("took_seconds", 9), ("moved_meters", 5), ("unsummed", 3)] {
        assert_eq!(family(&families, name).samples.len(), parts, "{name}");
    }
    let target = family(&families, "target");
    assert_eq!(target.kind, "info");
    assert!(target.samples[0].has(&[("job", "shop"), ("host_name", "node-1")]));
    let own = family(
        &families,
        "weir_gateway_otlp_receiver_request_duration_seconds",
    );
    assert_eq!(
        (own.kind.as_str(), own.unit.as_str()),
        ("histogram", "seconds")
    );
}

#[tokio::test]
async fn metrics_whose_names_meet_in_openmetrics_only_are_all_shown() {
    let gateway = gateway("").await;
    let request = metrics(vec![
        counter("jobs", "", vec![number(&[], 3.0)]),
        gauge("jobs", "", vec![number(&[], 2.0)]),
        counter("tasks", "", vec![number(&[], 4.0)]),
        gauge("tasks.created", "", vec![number(&[], 5.0)]),
        gauge("target", "", vec![number(&[], 6.0)]),
    ]);
    send(&gateway, "metrics", &request).await;
    let families = open_page(&gateway).await;
    for (name, kind, sample, value) in [
        ("jobs_total", "unknown", "jobs_total", 3.0),
        ("jobs", "gauge", "jobs", 2.0),
        ("tasks_total", "unknown", "tasks_total", 4.0),
        ("tasks_created", "gauge", "tasks_created", 5.0),
        ("target", "gauge", "target", 6.0),
    ] {
        let family = family(&families, name);
        assert_eq!(family.kind, kind, "{name}");
        let found = family.samples.iter().find(|found| found.name == sample);
        assert_eq!(found.expect("a sample").value, value, "{name}");
    }
}

/// Name and labels of every series, and its value.
type Series = BTreeMap<String, f64>;

/// What Prometheus holds of this gateway but what it adds itself and what changes with each
/// scrape.
async fn held(features: &str) -> Series {
    let gateway = full().await;
    let prometheus = Prometheus::scraping(&gateway, features);
    prometheus.query("net_io_bytes_total", 1).await;
    let query = "{job=~\".+\",__name__!~\"up|scrape_.*|.*_created|.*_timestamp_seconds|weir_gateway_prometheus_scrape.*|.*request_duration.*\"}";
    let count = format!("count({query})");
    let count = prometheus.one(&count).await as usize;
    let series = prometheus.query(query, count).await.into_iter();
    series
        .map(|(labels, value)| {
            let mut labels = labels.as_object().expect("labels").clone();
            labels.remove("instance");
            (serde_json::to_string(&labels).expect("JSON"), value)
        })
        .collect()
}

#[tokio::test]
async fn prometheus_gets_the_same_numbers_in_openmetrics_and_in_protobuf() {
    // Prometheus asks for protobuf only if it takes native histograms.
    let open = held("exemplar-storage").await;
    let mut messages = held("native-histograms").await;
    assert!(open.len() > 100);
    // A message cannot leave out what OpenMetrics must not show.
    for part in [
        "moved_meters_sum",
        "moved_meters_count",
        "unsummed_sum",
        "unsummed_count",
    ] {
        let before = messages.len();
        messages.retain(|series, _| !series.contains(part));
        assert_eq!(messages.len(), before - 1, "{part}");
    }
    let same = |a: f64, b: f64| a == b || a.is_nan() && b.is_nan();
    for (series, value) in &open {
        let other = messages.get(series);
        let other = other.unwrap_or_else(|| panic!("no {series} in {messages:#?}"));
        assert!(same(*value, *other), "{series}: {value}, {other}");
    }
    assert_eq!(open.len(), messages.len());
}

#[tokio::test]
async fn an_answer_is_compressed_when_the_scraper_asks_for_it() {
    let gateway = full().await;
    let marker = "net_io_bytes_total{";
    let plain = page(&gateway, &[]).await;
    assert_eq!(plain.header("content-encoding"), None);
    assert!(
        plain
            .header("content-type")
            .expect("a type")
            .contains("0.0.4")
    );
    let size = plain.body.len();
    assert!(plain.text().contains(marker));

    let answer = page(&gateway, &[("accept-encoding", "gzip, deflate")]).await;
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert!(answer.body.len() < size / 3);
    let mut text = String::new();
    let mut decoder = flate2::read::GzDecoder::new(answer.body.as_slice());
    decoder.read_to_string(&mut text).expect("gzip");
    assert!(text.contains(marker));

    let headers = [("accept-encoding", "gzip, zstd"), ("accept", OPEN)];
    let answer = page(&gateway, &headers).await;
    assert_eq!(answer.header("content-encoding"), Some("zstd"));
    assert_eq!(answer.header("vary"), Some("accept, accept-encoding"));
    let text = zstd::decode_all(answer.body.as_slice()).expect("zstd");
    assert!(text.ends_with(b"# EOF\n"));

    let answer = page(
        &gateway,
        &[("accept", PROTOBUF), ("accept-encoding", "gzip")],
    )
    .await;
    assert_eq!(answer.header("content-type"), Some(PROTOBUF));
}
