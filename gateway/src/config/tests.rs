use super::*;

fn read(text: &str) -> Result<Config, ConfigError> {
    Document::parse("gateway.yaml", text, ENV_PREFIX, []).and_then(|file| file.read(Config::read))
}

#[test]
fn an_empty_file_gives_a_gateway_on_loopback() {
    let config = read("").expect("defaults");
    assert_eq!(config.flow.listen.to_string(), "127.0.0.1:4319");
    assert_eq!(config.prometheus.listen.to_string(), "127.0.0.1:9464");
    assert!(config.otlp.is_none(), "OTLP is off");
}

#[test]
fn everything_can_be_set() {
    let text = "
flow: {listen: '[::1]:1', max_message: 1MiB, agents: 7}
prometheus: {listen: '0.0.0.0:2', series_budget: 3, idle_expiry: 1h}
otlp: {endpoint: 'http://collector:4317', queue: 9, timeout: 3s, gather: 0s}
subscription: {queue: 5, limit: 2}
stop: {deadline: 25s}
";
    let config = read(text).expect("a configuration");
    assert_eq!(config.flow.max_message, 1024 * 1024);
    assert_eq!(config.prometheus.series_budget, 3);
    let otlp = config.otlp.expect("on");
    assert_eq!(otlp.endpoint.uri(), "http://collector:4317/");
    assert_eq!(config.stop_deadline.as_secs(), 25);
}

#[test]
fn all_mistakes_are_reported_with_their_keys() {
    let text = "
flow: {agents: 0, max_message: 0B}
prometheus: {series_budget: 0, idle_expiry: 0s, lisen: 1}
otlp: {endpoint: 'https://collector:4317', queue: 0}
";
    let error = read(text).expect_err("mistakes").to_string();
    for key in [
        "flow.agents",
        "flow.max_message",
        "prometheus.series_budget",
        "prometheus.idle_expiry",
        "prometheus.lisen",
        "otlp.endpoint",
        "otlp.queue",
    ] {
        assert!(error.contains(key), "{key} in {error}");
    }
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
