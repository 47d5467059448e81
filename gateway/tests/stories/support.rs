//! The other side of each port: an agent, a scraper, an OTLP sink, a subscriber.

mod agent;
mod flows;
mod scrape;
mod sink;
mod subscriber;

use std::time::Duration;

use weir_gateway::{Config, Gateway, RunningGateway, config::ENV_PREFIX};
use weir_runtime::config::Document;

pub(crate) use self::{
    agent::{Agent, hello, raw_stream},
    flows::{PERIOD_END, dnsflow, flow, httpflow, netflow, netflow_of, query, request, with},
    scrape::{Metrics, get, scrape},
    sink::{Answer, DataPoint, Distribution, Sink, text},
    subscriber::Subscriber,
};

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running gateway with this configuration, on free ports of this machine.
pub(crate) async fn gateway(configuration: &str) -> RunningGateway {
    let config = configured(configuration);
    Gateway::start(config).await.expect("free ports")
}

/// This configuration, with every listener on a free port of this machine.
pub(crate) fn configured(configuration: &str) -> Config {
    let any = |key: &str| {
        (
            format!("{ENV_PREFIX}_{key}_LISTEN"),
            "127.0.0.1:0".to_owned(),
        )
    };
    Document::parse(
        "test.yaml",
        configuration,
        ENV_PREFIX,
        [
            any("FLOW"),
            any("PROMETHEUS"),
            any("OTLP_RECEIVER_GRPC"),
            any("OTLP_RECEIVER_HTTP"),
        ],
    )
    .and_then(|document| document.read(Config::read))
    .expect("a configuration")
}

/// Wait until the condition holds; panics with it when it never does.
macro_rules! eventually {
    ($condition:expr) => {
        eventually!($condition, "{}", stringify!($condition))
    };
    ($condition:expr, $($message:tt)+) => {
        let deadline = std::time::Instant::now() + $crate::support::PATIENCE;
        loop {
            if $condition {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "never: {}", format!($($message)+));
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
}
pub(crate) use eventually;
