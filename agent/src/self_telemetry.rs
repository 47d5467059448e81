//! What the agent says about itself, sent as OTLP.

use std::sync::Arc;

use weir_proto::flow::v1::AgentStatus;
use weir_runtime::telemetry::{Config, Number, Sample, Service, StartError, Telemetry};

use crate::status::{Status, is_time};

/// Starts to send what is in `status`, and warnings and errors, if that is configured.
///
/// # Errors
/// If it cannot be sent.
pub fn start(
    config: Option<&Config>,
    host: &str,
    status: &Arc<Status>,
) -> Result<Option<Telemetry>, StartError> {
    let Some(config) = config else {
        return Ok(None);
    };
    let service = Service {
        name: "weir-agent",
        version: env!("CARGO_PKG_VERSION"),
        host,
    };
    let status = Arc::clone(status);
    Telemetry::start(config, service, move || samples(status.message())).map(Some)
}

/// Under the names that a gateway shows them with.
fn samples(status: AgentStatus) -> Vec<Sample> {
    let counters = status.counters.into_iter().map(|counter| {
        let cause = (!counter.cause.is_empty()).then_some(("cause".to_owned(), counter.cause));
        let (name, number) = if is_time(&counter.name) {
            let name = format!("weir_agent_{}", counter.name);
            (name, Number::Gauge(counter.value as f64))
        } else {
            let name = format!("weir_agent_{}_total", counter.name);
            (name, Number::Count(counter.value))
        };
        Sample {
            name,
            labels: cause.into_iter().collect(),
            number,
        }
    });
    let hooks = status.hooks.into_iter().map(|hook| {
        let labels = [
            ("event", hook.event),
            ("hook", hook.hook),
            ("reason", hook.reason),
        ];
        Sample {
            name: "weir_agent_hook_info".to_owned(),
            labels: labels.map(|(key, value)| (key.to_owned(), value)).to_vec(),
            number: Number::Gauge(1.0),
        }
    });
    counters.chain(hooks).collect()
}
