//! A running receiver with a consumer and a meter that remember, and clients.

mod alone;
mod client;
mod compression;
mod samples;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use weir_otel_receiver::{
    Cause, Certificates, Config, ConnectionEvent, Consumer, Exchange, Meter, Outcome, Receiver,
    Refused, Running, StartError, Taken, Transport,
};
use weir_point::otlp::{OtlpBatch, Signal};
use weir_runtime::config::Document;

pub(crate) use self::{
    alone::{alone, peak_memory, reset_peak_memory},
    client::{metrics_client, post, raw, request, send, trace_client},
    compression::{deflate, gzip, zstd},
    samples::{logs, metrics, request_of, traces},
};

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");

/// A receiver on free ports of this machine.
pub(crate) struct Server {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) running: Running,
    pub(crate) consumer: Arc<Recorder>,
    pub(crate) meter: Arc<Tally>,
}

/// Starts one with these keys of its section.
pub(crate) async fn server(keys: &[(&str, &str)]) -> Server {
    try_server(keys).await.expect("a configuration that works")
}

pub(crate) async fn try_server(keys: &[(&str, &str)]) -> Result<Server, StartError> {
    let config = config(keys).expect("a valid configuration");
    let consumer = Arc::new(Recorder::default());
    let meter = Arc::new(Tally::default());
    let running = Receiver::start(
        config.expect("a listener"),
        Arc::clone(&consumer) as Arc<dyn Consumer>,
        Arc::clone(&meter) as Arc<dyn Meter>,
    )
    .await?;
    Ok(Server {
        grpc: running.grpc.expect("on"),
        http: running.http.expect("on"),
        running,
        consumer,
        meter,
    })
}

/// Reads the keys, with free ports unless others are given; the mistakes as text.
pub(crate) fn config(keys: &[(&str, &str)]) -> Result<Option<Config>, String> {
    let listen = [
        ("grpc.listen", "127.0.0.1:0"),
        ("http.listen", "127.0.0.1:0"),
    ];
    let listen = listen
        .into_iter()
        .filter(|(key, _)| keys.iter().all(|(given, _)| given != key));
    let variables = keys.iter().copied().chain(listen).map(|(key, value)| {
        let name = key.to_uppercase().replace('.', "_");
        (format!("TEST_OTLP_RECEIVER_{name}"), value.to_owned())
    });
    Document::parse("test.yaml", "", "TEST", variables)
        .and_then(|document| document.read(|root| Config::read(&mut root.section("otlp_receiver"))))
        .map_err(|error| error.to_string())
}

/// Remembers what it gets.
#[derive(Default)]
pub(crate) struct Recorder {
    batches: Mutex<Vec<OtlpBatch>>,
    answers: Mutex<VecDeque<Result<Taken, Refused>>>,
}

impl Recorder {
    /// Refuse the next batch like this, after those told before.
    pub(crate) fn refuse(&self, refused: Refused) {
        self.answers.lock().expect("a lock").push_back(Err(refused));
    }

    /// Take the next batch like this, after those told before.
    pub(crate) fn take(&self, taken: Taken) {
        self.answers.lock().expect("a lock").push_back(Ok(taken));
    }

    pub(crate) fn batches(&self) -> Vec<OtlpBatch> {
        self.batches.lock().expect("a lock").clone()
    }

    /// The one batch so far.
    pub(crate) fn only(&self) -> OtlpBatch {
        let batches = self.batches();
        assert_eq!(batches.len(), 1);
        batches[0].clone()
    }
}

impl Consumer for Recorder {
    fn consume(&self, batch: OtlpBatch) -> Result<Taken, Refused> {
        let answer = self.answers.lock().expect("a lock").pop_front();
        let taken = answer.unwrap_or(Ok(Taken::ALL))?;
        self.batches.lock().expect("a lock").push(batch);
        Ok(taken)
    }
}

/// Remembers what it is told.
#[derive(Default)]
pub(crate) struct Tally {
    exchanges: Mutex<Vec<Exchange>>,
    connections: Mutex<Vec<(Transport, ConnectionEvent)>>,
    certificates: Mutex<Vec<Certificates>>,
}

impl Tally {
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.lock().expect("a lock").clone()
    }

    /// How the requests ended: transport, signal, outcome, status.
    pub(crate) fn ends(&self) -> Vec<(Transport, Option<Signal>, Outcome, u16)> {
        let end = |e: &Exchange| (e.transport, e.signal, e.outcome, e.status);
        self.exchanges().iter().map(end).collect()
    }

    /// The causes for which requests were refused.
    pub(crate) fn causes(&self) -> Vec<Cause> {
        let cause = |e: &Exchange| match e.outcome {
            Outcome::Refused(cause) => Some(cause),
            _ => None,
        };
        self.exchanges().iter().filter_map(cause).collect()
    }

    /// What became of changed certificates.
    pub(crate) fn certificates(&self) -> Vec<Certificates> {
        self.certificates.lock().expect("a lock").clone()
    }

    pub(crate) fn events(&self, event: ConnectionEvent) -> usize {
        let events = self.connections.lock().expect("a lock");
        events.iter().filter(|(_, known)| *known == event).count()
    }
}

impl Meter for Tally {
    fn exchange(&self, exchange: &Exchange) {
        self.exchanges.lock().expect("a lock").push(*exchange);
    }

    fn connection(&self, transport: Transport, event: ConnectionEvent) {
        let mut events = self.connections.lock().expect("a lock");
        events.push((transport, event));
    }

    fn certificates(&self, _: Transport, event: Certificates) {
        self.certificates.lock().expect("a lock").push(event);
    }
}

/// Wait until the condition holds; panics with it when it never does.
macro_rules! eventually {
    ($condition:expr) => {
        let deadline = std::time::Instant::now() + $crate::support::PATIENCE;
        while !$condition {
            assert!(
                std::time::Instant::now() < deadline,
                "never: {}",
                stringify!($condition)
            );
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
}
pub(crate) use eventually;
