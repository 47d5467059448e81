//! What the process says about itself, sent as OTLP: its metrics, and its warnings and errors as log
//! records. Off unless it is configured; then nothing of this runs.

mod config;
mod events;
mod metrics;

use std::{
    fs, io,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use opentelemetry::{KeyValue, logs::LoggerProvider as _};
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, WithExportConfig as _, WithTonicConfig as _,
    tonic_types::metadata::MetadataMap,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkError,
    logs::{BatchConfigBuilder, BatchLogProcessor, SdkLoggerProvider},
};
use tokio::sync::oneshot;
use tracing::{info, warn};

pub(crate) use self::events::events;
use self::metrics::Metrics;
pub use self::{
    config::Config,
    metrics::{Number, Sample},
};
use crate::stop::Deadline;

/// How long one request may take. An endpoint that is away costs this much of a stop.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Log records that wait to be sent, and the most that are sent in one request.
const QUEUE: usize = 512;
/// How long a log record waits for others.
const LOG_DELAY: Duration = Duration::from_secs(1);

/// Telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The exporter does not take its configuration.
    #[error("self-telemetry cannot be sent to {endpoint}")]
    Exporter {
        /// Where to.
        endpoint: String,
        /// Why.
        source: ExporterBuildError,
    },
    /// There is no thread for it.
    #[error("self-telemetry has no thread")]
    Thread(#[source] io::Error),
}

/// Who sends.
#[derive(Debug, Clone, Copy)]
pub struct Service<'a> {
    /// `service.name`.
    pub name: &'static str,
    /// `service.version`.
    pub version: &'static str,
    /// `host.name`.
    pub host: &'a str,
}

/// Sends until it is stopped.
#[derive(Debug)]
pub struct Telemetry {
    stop: mpsc::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl Telemetry {
    /// Start to send what `samples` gives, every `interval` of `config`, and every warning and error
    /// that is logged from now on. Needs a Tokio runtime with time and I/O; the endpoint need not be
    /// there yet.
    ///
    /// # Errors
    /// If the exporter cannot be built or no thread started.
    pub fn start(
        config: &Config,
        service: Service<'_>,
        samples: impl Fn() -> Vec<Sample> + Send + 'static,
    ) -> Result<Self, StartError> {
        let subject = |source| StartError::Exporter {
            endpoint: config.endpoint.clone(),
            source,
        };
        let resource = resource(config, service);
        let metadata = MetadataMap::from_headers(config.headers.clone());
        let numbers = MetricExporter::builder()
            .with_tonic()
            .with_endpoint(&config.endpoint)
            .with_timeout(TIMEOUT)
            .with_metadata(metadata.clone())
            .build()
            .map_err(subject)?;
        let records = LogExporter::builder()
            .with_tonic()
            .with_endpoint(&config.endpoint)
            .with_timeout(TIMEOUT)
            .with_metadata(metadata)
            .build()
            .map_err(subject)?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(QUEUE)
            .with_scheduled_delay(LOG_DELAY)
            .build();
        let logs = SdkLoggerProvider::builder()
            .with_resource(resource.clone())
            .with_log_processor(
                BatchLogProcessor::builder(records)
                    .with_batch_config(batches)
                    .build(),
            )
            .build();
        let worker = Worker {
            metrics: Metrics::new(numbers, resource, config.interval),
            samples: Box::new(samples),
            failing: false,
        };
        events::send_to(Some(logs.logger(service.name)), config.interval);

        let (stop, stopped) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let interval = config.interval;
        // Of its own, because sending blocks, and because a blocked one must not hold up the end of
        // the process.
        let run = move || {
            worker.run(interval, &stopped, &logs);
            // Nobody waits any more if the deadline has passed.
            end.send(()).unwrap_or_default();
        };
        thread::Builder::new()
            .name("self-telemetry".to_owned())
            .spawn(run)
            .map_err(StartError::Thread)?;
        info!(
            endpoint = config.endpoint,
            "telemetry about this process is sent"
        );
        Ok(Self { stop, ended })
    }

    /// Send a last time, as long as there is time. Whether that was enough.
    pub async fn stop(self, deadline: &Deadline) -> bool {
        events::send_to(None, Duration::ZERO);
        // Fails if the thread has ended, and then there is nothing to wait for.
        self.stop.send(()).unwrap_or_default();
        let ended = self.ended;
        let waiting = tokio::spawn(async move { ended.await.unwrap_or_default() });
        deadline.finish("self-telemetry", waiting).await
    }
}

struct Worker {
    metrics: Metrics,
    samples: Box<dyn Fn() -> Vec<Sample> + Send>,
    failing: bool,
}

impl Worker {
    fn run(mut self, interval: Duration, stopped: &mpsc::Receiver<()>, logs: &SdkLoggerProvider) {
        loop {
            let stop = stopped.recv_timeout(interval);
            let samples = (self.samples)();
            let sent = self.metrics.send(samples);
            self.report(sent);
            if stop != Err(RecvTimeoutError::Timeout) {
                break;
            }
        }
        if let Err(error) = logs.shutdown_with_timeout(TIMEOUT) {
            let error = &error as &dyn std::error::Error;
            warn!(error, "the last log records could not be sent");
        }
        self.metrics.shut_down();
    }

    /// Once, not at every attempt: this is an event that is sent itself.
    fn report(&mut self, sent: Result<(), OTelSdkError>) {
        match sent {
            Ok(()) if self.failing => {
                self.failing = false;
                info!("self-telemetry is sent again");
            }
            Ok(()) => {}
            Err(error) if !self.failing => {
                self.failing = true;
                let error = &error as &dyn std::error::Error;
                warn!(error, "self-telemetry cannot be sent, trying again");
            }
            Err(_) => {}
        }
    }
}

/// The name of this machine, as the kernel has it; empty if it cannot be read.
#[must_use]
pub fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

fn resource(config: &Config, service: Service<'_>) -> Resource {
    let own = [
        ("service.name", service.name.to_owned()),
        ("service.version", service.version.to_owned()),
        ("service.instance.id", instance_id()),
        ("host.name", service.host.to_owned()),
    ];
    let own = own.map(|(key, value)| KeyValue::new(key, value));
    let configured = config.attributes.iter();
    let configured = configured.map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty()
        .with_attributes(own)
        .with_attributes(configured)
        .build()
}

/// Of this run: a random UUID (version 4).
fn instance_id() -> String {
    let random = fastrand::u128(..);
    let id = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{id:032x}");
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_has_an_id_of_the_common_form() {
        let (one, other) = (instance_id(), instance_id());
        assert_ne!(one, other);
        let lengths: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&one[14..15], "4");
        assert!("89ab".contains(&one[19..20]), "{one}");
    }
}
