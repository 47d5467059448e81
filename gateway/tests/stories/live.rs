//! What a user gets who changes the configuration of a gateway that runs.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::task::JoinHandle;
use weir_gateway::RunningGateway;
use weir_proto::flow::v1::{SettingsAnswer, agent_message, gateway_message};
use weir_runtime::reload::{Outcome, Trigger};

use crate::support::{Agent, Sink, configured, eventually, flow, gateway, hello, scrape};

/// An agent that delivers one flow after the other, each to a port of its own.
struct Load {
    stop: Arc<AtomicBool>,
    delivered: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Load {
    async fn start(gateway: &RunningGateway) -> Self {
        let mut agent = Agent::connect(gateway.flow, "load", 1).await;
        let (stop, delivered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&delivered));
        let task = tokio::spawn(async move {
            for sequence in 1.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let port = u32::try_from(sequence).expect("a small number");
                agent.deliver(sequence, vec![flow(port)]).await;
                counted.store(sequence, Ordering::Relaxed);
            }
        });
        Self {
            stop,
            delivered,
            task,
        }
    }

    /// Wait for some more flows.
    async fn goes_on(&self) {
        let before = self.delivered.load(Ordering::Relaxed);
        eventually!(self.delivered.load(Ordering::Relaxed) >= before + 50);
    }

    /// The number of flows delivered.
    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("no panic");
        self.delivered.load(Ordering::Relaxed)
    }
}

/// How often each port came to these sinks.
fn ports(sinks: &[&Sink]) -> BTreeMap<u64, usize> {
    let mut ports = BTreeMap::new();
    for (_, record) in sinks.iter().flat_map(|sink| sink.logs()) {
        let port = crate::support::text(&record.attributes)["destination.port"].clone();
        let port = port.trim_start_matches("int ").parse().expect("a port");
        *ports.entry(port).or_default() += 1;
    }
    ports
}

fn exporter(name: &str, sink: &Sink, more: &str) -> String {
    let address = sink.address;
    format!(
        "  {name}: {{endpoint: 'http://{address}', flows: {{as: [logs]}}, batch: {{delay: 5ms}}{more}}}\n"
    )
}

fn exporters(all: &[String]) -> String {
    format!("otlp_exporters:\n{}", all.concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exporters_come_change_and_go_under_load_and_every_flow_goes_where_it_should_once() {
    let (first, second, other) = (
        Sink::start().await,
        Sink::start().await,
        Sink::start().await,
    );
    let main = |sink| exporter("main", sink, "");
    let mut gateway = gateway(&exporters(&[main(&first)])).await;
    let load = Load::start(&gateway).await;
    load.goes_on().await;
    for round in 0..5 {
        let main = main(if round % 2 == 0 { &second } else { &first });
        let both = exporters(&[
            main.clone(),
            exporter(&format!("other-{round}"), &other, ""),
        ]);
        assert_eq!(gateway.apply(configured(&both)).await, Outcome::Applied);
        load.goes_on().await;
        let one = exporters(&[main]);
        assert_eq!(gateway.apply(configured(&one)).await, Outcome::Applied);
        load.goes_on().await;
    }
    let delivered = load.stop().await;
    assert!(gateway.stop().await, "nothing was cut off");

    let main = ports(&[&first, &second]);
    let whole: BTreeMap<u64, usize> = (1..=delivered).map(|port| (port, 1)).collect();
    assert_eq!(main, whole);
    // It was there five times, and each time got all flows of that time.
    let other = ports(&[&other]);
    assert!(other.values().all(|times| *times == 1));
    let ports: Vec<u64> = other.into_keys().collect();
    let stays = ports.chunk_by(|a, b| a + 1 == *b).count();
    assert_eq!(stays, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_queued_for_an_endpoint_that_is_away_goes_to_the_one_that_takes_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = format!(", queue: {{folder: {}}}", folder.path().display());
    for (round, queue) in ["", &queue].into_iter().enumerate() {
        let away = Sink::start().await;
        let old = exporters(&[exporter("main", &away, queue)]);
        drop(away);
        let mut gateway = gateway(&old).await;
        let load = Load::start(&gateway).await;
        load.goes_on().await;
        let sink = Sink::start().await;
        let new = exporters(&[exporter("main", &sink, queue)]);
        assert_eq!(gateway.apply(configured(&new)).await, Outcome::Applied);
        load.goes_on().await;
        let delivered = load.stop().await;
        assert!(gateway.stop().await, "round {round}");
        let whole: BTreeMap<u64, usize> = (1..=delivered).map(|port| (port, 1)).collect();
        assert_eq!(ports(&[&sink]), whole, "round {round}");
    }
}

#[tokio::test]
async fn a_file_with_mistakes_changes_nothing_and_what_cannot_change_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("gateway.yaml");
    let mut gateway = gateway("").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.deliver(1, vec![flow(443)]).await;

    fs::write(&file, "prometheus: {profile: nativ}\n").expect("a file");
    gateway.reload(&file, Trigger::File).await;
    fs::remove_file(&file).expect("to remove it");
    gateway.reload(&file, Trigger::File).await;
    let page = scrape(gateway.prometheus).await;
    let invalid = page.one(
        "weir_gateway_config_reloads_total",
        &[("outcome", "invalid")],
    );
    assert_eq!(invalid, 2.0);
    assert!(page.types.contains_key("weir_network_flow_io_bytes_total"));

    let moved = configured("prometheus: {profile: native}\nflow: {agents: 7}\n");
    assert_eq!(gateway.apply(moved).await, Outcome::Partly);
    agent.deliver(2, vec![flow(443)]).await;
    let page = scrape(gateway.prometheus).await;
    assert!(!page.types.contains_key("weir_network_flow_io_bytes_total"));
    assert_eq!(page.sum("netflow_bytes_read_total", &[]), 100.0);

    // A budget changes the series that are there.
    let small = configured("prometheus: {profile: native, series_budget: 1}\nflow: {agents: 7}\n");
    assert_eq!(gateway.apply(small).await, Outcome::Partly);
    agent.deliver(3, vec![flow(444), flow(445)]).await;
    let page = scrape(gateway.prometheus).await;
    assert_eq!(page.sum("netflow_bytes_read_total", &[]), 300.0);
    assert_eq!(
        page.sum("netflow_bytes_read_total", &[("dst_port", "~other")]),
        200.0
    );
}

#[tokio::test]
async fn an_exporter_that_does_not_start_leaves_the_others_and_the_old_one_as_they_are() {
    let sink = Sink::start().await;
    let mut gateway = gateway(&exporters(&[exporter("main", &sink, "")])).await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let broken = ", tls: {ca: /nowhere.pem}";
    let text = exporters(&[
        exporter("main", &sink, broken),
        exporter("more", &sink, broken),
    ]);
    let text = text.replace("http://", "https://");
    assert_eq!(gateway.apply(configured(&text)).await, Outcome::Failed);
    agent.deliver(1, vec![flow(443)]).await;
    assert!(gateway.stop().await);
    assert_eq!(ports(&[&sink]), BTreeMap::from([(443, 1)]));
}

#[tokio::test]
async fn an_agent_gets_its_settings_and_says_what_became_of_them() {
    let rules = |period: &str| {
        format!(
            "agents:\n  - match: {{label.env: prod}}\n    settings: {{netflow: {{period: {period}}}}}\n"
        )
    };
    let mut gateway = gateway(&rules("5s")).await;
    let mut plain = Agent::connect(gateway.flow, "plain", 1).await;
    plain.deliver(1, vec![flow(443)]).await;

    let mut greeting = hello("a", 1, "node-2");
    greeting.labels.insert("env".to_owned(), "prod".to_owned());
    let mut agent = Agent::greet(gateway.flow, greeting).await;
    agent.send(1, vec![flow(443)]).await;
    let first = settings(&mut agent).await;
    assert_eq!(first.1, "netflow:\n  period: 5s\n");
    assert_eq!(agent.ack().await, 1);
    answer(&agent, first.0, &[]).await;
    eventually!(confirmed(&gateway, "confirmed").await == Some(first.0));

    gateway.apply(configured(&rules("1ms"))).await;
    let second = settings(&mut agent).await;
    assert!(second.0 > first.0);
    assert_eq!(confirmed(&gateway, "sent").await, Some(second.0));
    answer(
        &agent,
        second.0,
        &["settings of the gateway:2:11: netflow.period: too short"],
    )
    .await;
    let mistakes = "weir_agent_settings_mistakes";
    eventually!(
        scrape(gateway.prometheus)
            .await
            .one(mistakes, &[("host", "node-2")])
            == 1.0
    );
    assert_eq!(confirmed(&gateway, "confirmed").await, Some(first.0));

    gateway.apply(configured("")).await;
    let third = settings(&mut agent).await;
    assert_eq!(third.1, "", "taken back");
    plain.deliver(2, vec![flow(443)]).await;
}

async fn settings(agent: &mut Agent) -> (u64, String) {
    match agent.answer().await {
        Ok(Some(gateway_message::Message::Settings(settings))) => {
            (settings.revision, settings.yaml)
        }
        other => panic!("no settings but {other:?}"),
    }
}

async fn answer(agent: &Agent, revision: u64, mistakes: &[&str]) {
    let mistakes = mistakes.iter().map(|text| (*text).to_owned()).collect();
    agent
        .say(agent_message::Message::SettingsAnswer(SettingsAnswer {
            revision,
            mistakes,
        }))
        .await;
}

async fn confirmed(gateway: &RunningGateway, state: &str) -> Option<u64> {
    let labels = [("host", "node-2"), ("state", state)];
    let page = scrape(gateway.prometheus).await;
    let values = page.values("weir_agent_settings_revision", &labels);
    values.first().map(|revision| *revision as u64)
}
