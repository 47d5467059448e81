use weir_point::otlp::Signal;

use super::*;
use crate::exporter::{Shape, Temporality};

fn read(text: &str) -> Result<Config, ConfigError> {
    Document::parse("gateway.yaml", text, ENV_PREFIX, []).and_then(|file| file.read(Config::read))
}

#[test]
fn an_empty_file_gives_a_gateway_on_loopback() {
    let config = read("").expect("defaults");
    assert_eq!(config.flow.listen.to_string(), "127.0.0.1:4319");
    assert_eq!(config.prometheus.listen.to_string(), "127.0.0.1:9464");
    assert!(config.otlp_exporters.is_empty(), "OTLP is off");
}

#[test]
fn everything_can_be_set() {
    let text = "
flow: {listen: '[::1]:1', max_message: 1MiB, agents: 7}
prometheus: {listen: '0.0.0.0:2', profile: native, series_budget: 3, idle_expiry: 1h}
otlp_exporters:
  main:
    endpoint: http://collector:4317
    signals: [traces]
    flows: {as: [metrics, spans, logs], profile: native, gather: 0s, temporality: cumulative, series_budget: 9, idle_expiry: 1m}
subscription: {queue: 5, limit: 2}
stop: {deadline: 25s}
";
    let config = read(text).expect("a configuration");
    assert_eq!(config.flow.max_message, 1024 * 1024);
    assert_eq!(config.prometheus.budget.series, 3);
    assert_eq!(config.prometheus.profile.name, "native");
    let (name, exporter) = &config.otlp_exporters[0];
    assert_eq!(name, "main");
    assert_eq!(exporter.signals, [Signal::Traces]);
    let flows = exporter.flows.as_ref().expect("on");
    assert_eq!(flows.shapes, [Shape::Metrics, Shape::Spans, Shape::Logs]);
    assert_eq!(flows.profile.name, "native");
    assert_eq!(flows.temporality, Temporality::Cumulative);
    assert_eq!(flows.budget.series, 9);
    assert_eq!(config.stop_deadline.as_secs(), 25);
}

#[test]
fn all_mistakes_are_reported_with_their_keys() {
    let text = "
flow: {agents: 0, max_message: 0B}
prometheus: {series_budget: 0, idle_expiry: 0s, lisen: 1}
otlp: {endpoint: 'http://collector:4317', queue: 5}
otlp_exporters:
  main: {endpoint: 'http://a:1', signals: [spans], flows: {as: [traces], profile: datakit, series_budget: 0, idle_expiry: 0s}}
";
    let error = read(text).expect_err("mistakes").to_string();
    for key in [
        "flow.agents",
        "flow.max_message",
        "prometheus.series_budget",
        "prometheus.idle_expiry",
        "prometheus.lisen",
        "otlp_exporters.main.signals[0]",
        "otlp_exporters.main.flows.as[0]",
        "otlp_exporters.main.flows.profile",
        "otlp_exporters.main.flows.series_budget",
        "otlp_exporters.main.flows.idle_expiry",
    ] {
        assert!(error.contains(key), "{key} in {error}");
    }
}

#[test]
fn the_old_place_of_flows_is_refused_with_the_name_of_the_new_one() {
    let error = read("otlp: {endpoint: 'http://collector:4317', queue: 5}").expect_err("gone");
    let error = error.to_string();
    assert_eq!(error.lines().count(), 2, "{error}");
    assert!(error.contains("gateway.yaml:1:7: otlp: "), "{error}");
    assert!(
        error.contains("otlp_exporters: {main: {endpoint: …, flows: {as: [metrics]}}}"),
        "{error}"
    );
}

#[test]
fn flows_go_out_as_metrics_once_an_exporter_has_a_section_for_them() {
    let flows = |keys: &str| {
        let text = format!("otlp_exporters: {{main: {{endpoint: 'http://a:1'{keys}}}}}");
        let mut config = read(&text).expect("a configuration");
        let (_, exporter) = config.otlp_exporters.pop().expect("one");
        assert_eq!(
            exporter.signals.len(),
            3,
            "everything received is forwarded"
        );
        exporter.flows.map(|flows| flows.shapes)
    };
    assert_eq!(flows(""), None);
    assert_eq!(flows(", flows:"), Some(vec![Shape::Metrics]));
    assert_eq!(flows(", flows: {gather: 2s}"), Some(vec![Shape::Metrics]));
    assert_eq!(flows(", flows: {as: []}"), None);
}

#[test]
fn span_metrics_are_off_and_have_the_buckets_of_the_collector() {
    assert!(read("").expect("defaults").span_metrics.is_none());
    let config = read("span_metrics: {enabled: true}").expect("a configuration");
    let spans = config.span_metrics.expect("on");
    assert_eq!(spans.buckets.len(), 16);
    assert_eq!(spans.buckets[11].as_millis(), 1400);
}

#[test]
fn span_metrics_that_make_no_sense_are_refused() {
    for (keys, key) in [
        ("buckets: [1s, 1ms]", "buckets"),
        ("buckets: [0s, 1s]", "buckets"),
        ("series_budget: 0", "series_budget"),
        ("dimensions: [service.name]", "dimensions"),
        ("dimensions: [http.route, http_route]", "dimensions"),
        ("dimesions: [http.route]", "dimesions"),
    ] {
        let error = read(&format!("span_metrics: {{{keys}}}")).expect_err("a mistake");
        let key = format!("span_metrics.{key}");
        assert!(error.to_string().contains(&key), "{key} in {error}");
    }
}
