//! Wiring: from a configuration to open listeners, and their stop.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use weir_runtime::{
    listen::{self, ListenError},
    stop::Deadline,
};

use crate::{
    budget::Budget,
    config::Config,
    consumer::Consumer,
    http::Cors,
    intake::{Intake, Limits},
    listener::Listener,
    meter::{Meter, Transport},
    tls::{self, TlsError},
};

/// The receiver could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener could not be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// TLS cannot be offered as configured.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An open listener does not say where it listens.
    #[error("cannot tell where {key} listens")]
    Address {
        /// The configuration key of the listener.
        key: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

/// The receiver before it runs.
#[derive(Debug)]
pub struct Receiver;

/// A receiver that runs until [`Self::stop`].
#[derive(Debug)]
pub struct Running {
    /// Where OTLP/gRPC is taken.
    pub grpc: Option<SocketAddr>,
    /// Where OTLP/HTTP is taken.
    pub http: Option<SocketAddr>,
    stop: CancellationToken,
    tasks: Vec<(&'static str, JoinHandle<()>)>,
}

impl Receiver {
    /// Opens the listeners that are on, then serves them.
    ///
    /// # Errors
    /// A listener cannot be opened, or the files for TLS are not usable; then nothing was started.
    pub async fn start(
        config: Config,
        consumer: Arc<dyn Consumer>,
        meter: Arc<dyn Meter>,
    ) -> Result<Running, StartError> {
        let stop = CancellationToken::new();
        let intake = Arc::new(Intake {
            consumer,
            meter,
            budget: Budget::new(config.memory),
            token: config.token.clone(),
            cors: Cors::new(config.cors_origins.clone()),
            limits: Limits {
                message: config.max_message,
                time: config.timeout,
            },
        });
        let open = async |transport, address: Option<SocketAddr>| match address {
            Some(address) => open(&config, &intake, &stop, transport, address)
                .await
                .map(Some),
            None => Ok(None),
        };
        let grpc = open(Transport::Grpc, config.grpc).await?;
        let http = open(Transport::Http, config.http).await?;
        let address = |opened: &Option<(Listener, SocketAddr)>| opened.as_ref().map(|(_, at)| *at);
        let (grpc_address, http_address) = (address(&grpc), address(&http));
        let listeners = [("OTLP/gRPC receiver", grpc), ("OTLP/HTTP receiver", http)];
        let spawn = |(name, opened): (_, Option<(Listener, _)>)| {
            opened.map(|(listener, _)| (name, tokio::spawn(listener.run())))
        };
        let running = Running {
            grpc: grpc_address,
            http: http_address,
            stop,
            tasks: listeners.into_iter().filter_map(spawn).collect(),
        };
        info!(
            grpc = running.grpc.map(tracing::field::display),
            http = running.http.map(tracing::field::display),
            tls = config.tls.is_some(),
            client_certificates = config.tls.is_some_and(|tls| tls.client_ca.is_some()),
            token = config.token.is_some(),
            "OTLP receiver listens"
        );
        Ok(running)
    }
}

impl Running {
    /// Takes no more connections and calls, and lets those under way come to their end as long as time is left.
    /// Whether all did.
    pub async fn stop(self, deadline: &Deadline) -> bool {
        self.stop.cancel();
        let mut complete = true;
        for (stage, task) in self.tasks {
            complete &= deadline.finish(stage, task).await;
        }
        complete
    }
}

async fn open(
    config: &Config,
    intake: &Arc<Intake>,
    stop: &CancellationToken,
    transport: Transport,
    address: SocketAddr,
) -> Result<(Listener, SocketAddr), StartError> {
    let key = match transport {
        Transport::Grpc => "otlp_receiver.grpc.listen",
        Transport::Http => "otlp_receiver.http.listen",
    };
    let tls = config
        .tls
        .as_ref()
        .map(|tls| tls::Acceptor::new(tls, transport, &intake.meter))
        .transpose()?;
    let socket = listen::bind(key, address).await?;
    let bound = socket
        .local_addr()
        .map_err(|source| StartError::Address { key, source })?;
    warn_if_open(config, key, bound);
    let listener = Listener {
        socket,
        transport,
        tls,
        intake: Arc::clone(intake),
        connections: config.connections,
        stop: stop.clone(),
    };
    Ok((listener, bound))
}

fn warn_if_open(config: &Config, key: &'static str, address: SocketAddr) {
    if address.ip().is_loopback() {
        return;
    }
    let clients_are_known =
        config.token.is_some() || config.tls.as_ref().is_some_and(|t| t.client_ca.is_some());
    match (&config.tls, clients_are_known) {
        (Some(_), true) => {}
        (Some(_), false) => warn!(
            key,
            %address,
            "listens beyond this machine without a token or client certificates; anyone who can reach it can send"
        ),
        (None, true) => warn!(
            key,
            %address,
            "listens beyond this machine without TLS; the token and the data can be read on the way"
        ),
        (None, false) => warn!(
            key,
            %address,
            "listens beyond this machine without TLS or a token; anyone who can reach it can use it"
        ),
    }
}
