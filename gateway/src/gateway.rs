//! Wiring: from a configuration to a running gateway, and its stop.

mod otlp;

use std::{
    error::Error as _,
    io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::transport::{
    Server,
    server::{Router, TcpIncoming},
};
use tracing::{error, field::display, info, warn};
use weir_runtime::{
    listen::{self, ListenError},
    reload::{Outcome, Trigger},
    stop::Deadline,
    telemetry::{self, Telemetry},
};
use weir_script::lookups::LookupError;

use self::otlp::Otlp;
use crate::{
    agent_settings::AgentSettings,
    agents::Agents,
    config::Config,
    exporter,
    http_spans::HttpSpans,
    intake::Intake,
    live::{Fixed, Live, Notes, Outputs},
    lookups,
    otlp_intake::OtlpIntake,
    prometheus::{self, Exposition},
    self_metrics::{self, CONFIG_LOADED, CONFIG_RELOADS, SelfMetrics},
    subscription::Subscribers,
};

/// A peer that does not answer within both is gone: half-open connections end.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(20);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(10);
/// An agent has one stream and a subscriber few.
const STREAMS_PER_CONNECTION: u32 = 64;
/// How long telemetry may take to send its last numbers before it starts anew.
const TELEMETRY_ENDS_WITHIN: Duration = Duration::from_secs(3);

/// The gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener could not be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// An open listener does not say where it listens.
    #[error("cannot tell where {key} listens")]
    Address {
        /// The configuration key of the listener.
        key: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// OTLP cannot be received.
    #[error(transparent)]
    Receiver(#[from] weir_otel_receiver::StartError),
    /// OTLP cannot be forwarded.
    #[error(transparent)]
    Exporter(#[from] exporter::StartError),
    /// What scripts look up contradicts itself.
    #[error(transparent)]
    Lookups(#[from] LookupError),
    /// What the gateway says about itself cannot be sent.
    #[error(transparent)]
    Telemetry(#[from] telemetry::StartError),
}

/// The gateway before it runs.
#[derive(Debug)]
pub struct Gateway;

/// A gateway that runs until [`Self::stop`].
pub struct RunningGateway {
    /// Where agents and subscribers connect.
    pub flow: SocketAddr,
    /// Where `/metrics` is served.
    pub prometheus: SocketAddr,
    /// Where OTLP is taken over gRPC, if it is.
    pub otlp_grpc: Option<SocketAddr>,
    /// Where OTLP is taken over HTTP, if it is.
    pub otlp_http: Option<SocketAddr>,
    /// What is in force.
    config: Config,
    stop_intake: CancellationToken,
    stop_rest: CancellationToken,
    intake: Arc<Intake>,
    outputs: Outputs,
    otlp_in: Otlp,
    /// The parts that go over to another configuration by themselves.
    live: Vec<Box<dyn Live>>,
    telemetry: Option<Telemetry>,
    metrics: Arc<SelfMetrics>,
    tasks: Tasks,
}

struct Tasks {
    flow: JoinHandle<()>,
    metrics: JoinHandle<()>,
    sweep: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    scripts: JoinHandle<()>,
    lookups: JoinHandle<()>,
}

impl Gateway {
    /// Open every listener, then start everything behind them.
    ///
    /// # Errors
    /// A listener cannot be opened; then nothing was started.
    pub async fn start(config: Config) -> Result<RunningGateway, StartError> {
        let (flow_listener, flow) = open("flow.listen", config.flow.listen).await?;
        let (metrics_listener, prometheus) =
            open("prometheus.listen", config.prometheus.listen).await?;

        let metrics = Arc::new(SelfMetrics::new());
        let agents = Arc::new(Agents::new(config.flow.agents));
        let settings = Arc::new(AgentSettings::new(config.agents.clone()));
        let (scripts, lookups) = lookups::start(&config.lookups, config.scripts.clone(), &metrics)?;
        let outputs = Outputs::start(&config, &scripts, &metrics)?;
        let (stop_intake, stop_rest) = (CancellationToken::new(), CancellationToken::new());
        let otlp_in = Otlp::start(config.otlp_receiver.clone(), &outputs.otlp, &metrics).await?;
        let intake = Intake::new(
            Arc::clone(&agents),
            Arc::clone(&settings),
            Arc::clone(&scripts),
            Arc::clone(&outputs.fanout),
            HttpSpans::new(Arc::<OtlpIntake>::clone(&outputs.otlp), &metrics),
            &metrics,
            stop_intake.clone(),
        );
        let services = services(&intake, config.flow.max_message, &outputs.subscribers)
            .add_service(scripts.service());
        let (otlp_grpc, otlp_http) = otlp_in.addresses();
        let telemetry = about_itself(config.telemetry.as_ref(), &metrics)?;
        let upkeep = self_metrics::upkeep(Arc::clone(&metrics), stop_rest.clone());
        let exposition = Exposition::new(Arc::clone(&outputs.page), agents, Arc::clone(&metrics));
        let sweep = prometheus::sweep(
            Arc::clone(&outputs.page),
            outputs.idle_expiry(),
            stop_rest.clone(),
        );
        loaded_now(&metrics);
        let live: Vec<Box<dyn Live>> = vec![
            Box::new(Fixed),
            Box::new(settings),
            Box::new(Arc::clone(&scripts)),
            Box::new(lookups.lookups()),
        ];
        let tasks = Tasks {
            flow: tokio::spawn(serve(services, flow_listener, stop_intake.clone())),
            metrics: tokio::spawn(prometheus::serve(
                metrics_listener,
                exposition,
                stop_rest.clone(),
            )),
            sweep: tokio::spawn(sweep),
            upkeep: tokio::spawn(upkeep),
            scripts: tokio::spawn(scripts.watch(stop_rest.clone())),
            lookups: tokio::spawn(lookups.watch(stop_rest.clone())),
        };
        let (grpc, http) = (otlp_grpc.map(display), otlp_http.map(display));
        info!(%flow, %prometheus, otlp_grpc = grpc, otlp_http = http, "gateway listens");
        Ok(RunningGateway {
            flow,
            prometheus,
            otlp_grpc,
            otlp_http,
            config,
            stop_intake,
            stop_rest,
            intake,
            outputs,
            otlp_in,
            live,
            telemetry,
            metrics,
            tasks,
        })
    }
}

impl RunningGateway {
    /// Read `file` again and go over to it. What is wrong with it is logged; the one before then stays in force.
    pub async fn reload(&mut self, file: &Path, trigger: Trigger) {
        let trigger = trigger.name();
        let outcome = match Config::load(file) {
            Ok(config) => {
                let outcome = self.apply(config).await;
                info!(
                    trigger,
                    outcome = outcome.name(),
                    "configuration read again"
                );
                outcome
            }
            Err(mistakes) => {
                let cause = mistakes.source().map(|cause| format!(": {cause}"));
                let cause = cause.unwrap_or_default();
                error!(trigger, "configuration stays as it was: {mistakes}{cause}");
                Outcome::Invalid
            }
        };
        self.metrics
            .counter(&CONFIG_RELOADS, &[outcome.name()])
            .increment(1);
    }

    /// Go over to `config`, as far as that can be without a restart.
    pub async fn apply(&mut self, mut config: Config) -> Outcome {
        let mut notes = Notes::default();
        for part in &mut self.live {
            part.apply(&self.config, &mut config, &mut notes);
        }
        self.outputs.apply(&self.config, &mut config, &mut notes);
        if config.telemetry != self.config.telemetry {
            if let Some(telemetry) = self.telemetry.take() {
                let deadline = Deadline::after(TELEMETRY_ENDS_WITHIN);
                telemetry.stop(&deadline).await;
            }
            match about_itself(config.telemetry.as_ref(), &self.metrics) {
                Ok(telemetry) => self.telemetry = telemetry,
                Err(error) => {
                    notes.fail(&error);
                    config.telemetry = None;
                }
            }
        }
        self.config = config;
        let outcome = notes.outcome();
        if outcome != Outcome::Failed {
            loaded_now(&self.metrics);
        }
        outcome
    }

    /// Stop in the order the data flows: no more input, then drain every output, then
    /// end; what is left after the deadline is cut off. Whether nothing was cut off.
    pub async fn stop(self) -> bool {
        let deadline = Deadline::after(self.config.stop_deadline);
        self.stop_intake.cancel();
        let intake = self.intake;
        let ended = tokio::spawn(async move { intake.ended().await });
        let mut otlp_in = self.otlp_in;
        let (intake_ended, ()) = tokio::join!(
            deadline.finish("intake", ended),
            otlp_in.stop_receiver(&deadline)
        );
        // Agents bring spans by the same door.
        otlp_in.close();
        // What was gathered goes to the exporters before they stop.
        self.outputs.fanout.close();
        self.stop_rest.cancel();
        let Tasks {
            flow,
            metrics,
            sweep,
            upkeep,
            scripts,
            lookups,
        } = self.tasks;
        let telemetry = async {
            match self.telemetry {
                Some(telemetry) => telemetry.stop(&deadline).await,
                None => true,
            }
        };
        let (exported, flow, metrics, sweep, upkeep, scripts, lookups, telemetry) = tokio::join!(
            self.outputs.stop(&deadline),
            deadline.finish("flow server", flow),
            deadline.finish("metrics server", metrics),
            deadline.finish("series expiry", sweep),
            deadline.finish("upkeep", upkeep),
            deadline.finish("watch of scripts", scripts),
            deadline.finish("watch of lookups", lookups),
            telemetry,
        );
        let all = [
            intake_ended,
            exported,
            flow,
            metrics,
            sweep,
            upkeep,
            scripts,
            lookups,
            telemetry,
        ];
        let complete = all.iter().all(|ended| *ended);
        info!(complete, "gateway stopped");
        complete
    }
}

/// The configuration in force was read now.
fn loaded_now(metrics: &SelfMetrics) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0.0, |since| since.as_secs_f64().floor());
    metrics.gauge(&CONFIG_LOADED, &[]).set(now);
}

/// Send the gateway's own metrics and warnings, if that is configured.
fn about_itself(
    config: Option<&telemetry::Config>,
    metrics: &Arc<SelfMetrics>,
) -> Result<Option<Telemetry>, telemetry::StartError> {
    let Some(config) = config else {
        return Ok(None);
    };
    let service = telemetry::Service {
        name: "weir-gateway",
        version: env!("CARGO_PKG_VERSION"),
        host: &telemetry::host_name(),
    };
    let metrics = Arc::clone(metrics);
    Telemetry::start(config, service, move || metrics.samples()).map(Some)
}

/// What agents and subscribers call.
fn services(intake: &Arc<Intake>, max_message: usize, subscribers: &Arc<Subscribers>) -> Router {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_AFTER))
        .http2_keepalive_timeout(Some(KEEPALIVE_WITHIN))
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .add_service(intake.service(max_message))
        .add_service(subscribers.service())
}

async fn open(
    key: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let listener = listen::bind(key, address).await?;
    let bound = listener
        .local_addr()
        .map_err(|source| StartError::Address { key, source })?;
    if !bound.ip().is_loopback() {
        warn!(
            key,
            address = %bound,
            "listens beyond this machine without TLS or a token; anyone who can reach it can use it"
        );
    }
    Ok((listener, bound))
}

async fn serve(services: Router, listener: TcpListener, stop: CancellationToken) {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let served = services
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
        .await;
    if let Err(error) = served {
        error!(
            error = &error as &dyn std::error::Error,
            "serving flows failed"
        );
    }
}
