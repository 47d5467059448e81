//! Users whose scripts edit what goes through the gateway.

mod change;
mod live;
mod otlp;
mod places;

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path};

use tonic::{Code, Status, transport::Channel};
use weir_gateway::RunningGateway;
use weir_proto::observe::v1::{
    Category, ListScriptsRequest, LoadScriptRequest, Point, Script, ScriptNamespace,
    UnloadScriptRequest, scripts_client::ScriptsClient,
};

use crate::support::{Agent, Metrics, Subscriber, eventually, flow, gateway, scrape};

/// A user of the API for scripts.
struct User(ScriptsClient<Channel>);

impl User {
    async fn connect(gateway: SocketAddr) -> Self {
        let channel = Channel::from_shared(format!("http://{gateway}")).expect("a URL");
        Self(ScriptsClient::new(
            channel.connect().await.expect("a gateway"),
        ))
    }

    async fn list(&mut self) -> Vec<Script> {
        let listed = self.0.list_scripts(ListScriptsRequest {}).await;
        listed.expect("a list").into_inner().scripts
    }

    async fn load(&mut self, name: &str, source: &str) -> Result<(), Status> {
        let request = LoadScriptRequest {
            category: Category::Network.into(),
            name: name.to_owned(),
            source: source.to_owned(),
        };
        self.0.load_script(request).await.map(drop)
    }

    async fn unload(&mut self, name: &str) -> Result<(), Status> {
        let request = UnloadScriptRequest {
            category: Category::Network.into(),
            name: name.to_owned(),
        };
        self.0.unload_script(request).await.map(drop)
    }
}

/// A gateway with scripts in `folder`, looked at often.
async fn scripted(folder: &Path, more: &str) -> RunningGateway {
    let folder = folder.display();
    gateway(&format!(
        "scripts: {{folder: '{folder}', watch: 20ms, {more}}}\nsubscription: {{queue: 4000000}}\n"
    ))
    .await
}

fn write(folder: &Path, file: &str, source: &str) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, source).expect("a file");
}

fn tags(point: &Point) -> BTreeMap<&str, &str> {
    let tags = point.tags.iter();
    tags.map(|tag| (tag.key.as_str(), tag.value.as_str()))
        .collect()
}

/// What became of one flow.
async fn edited(agent: &mut Agent, sequence: &mut u64, subscriber: &mut Subscriber) -> Point {
    *sequence += 1;
    agent.deliver(*sequence, vec![flow(443)]).await;
    subscriber.points(1).await.remove(0)
}

#[tokio::test]
async fn a_script_edits_drops_and_adds_points_and_every_one_is_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        "network/netflow.vrl",
        r#"
        if .tags.dst_port == "80" { abort }
        if .tags.dst_port == "53" { emit({"name": "lookup", "tags": {"host": .tags.host}, "fields": {"n": 1}}) }
        if .tags.dst_port == "22" { .fields.x = to_int!("no number") }
        .tags.service = "port-" + to_string(.tags.dst_port)
        "#,
    );
    let gateway = scripted(folder.path(), "").await;
    let mut subscriber = Subscriber::connect(gateway.flow, &[]).await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let sent = [443, 80, 53, 22].map(flow).to_vec();
    agent.deliver(1, sent).await;

    let points = subscriber.points(4).await;
    let names: Vec<_> = points.iter().map(|point| point.name.as_str()).collect();
    assert_eq!(names, ["netflow", "netflow", "lookup", "netflow"]);
    assert_eq!(tags(&points[0])["service"], "port-443");
    assert_eq!(tags(&points[1])["service"], "port-53");
    assert_eq!(tags(&points[2]), BTreeMap::from([("host", "node-1")]));
    assert_eq!(tags(&points[3]).get("service"), None, "failed, so unedited");

    let page = scrape(gateway.prometheus).await;
    let labels = [
        ("category", "network"),
        ("script", "netflow"),
        ("namespace", "local"),
    ];
    let count = |what: &str| page.sum(&format!("weir_gateway_script_{what}_total"), &labels);
    assert_eq!(count("points"), 4.0);
    assert_eq!(count("points_edited"), 2.0);
    assert_eq!(count("points_dropped"), 1.0);
    assert_eq!(count("points_emitted"), 1.0);
    assert_eq!(count("errors"), 1.0);
    let (offered, delivered, dropped) = page.ledger("subscription");
    assert_eq!((offered, dropped), (4.0, 0.0), "in + added = out + dropped");
    assert_eq!(delivered, 4.0);

    let stats = User::connect(gateway.flow).await.list().await.remove(0);
    let stats = stats.stats.expect("stats");
    assert!(stats.last_error.starts_with("line 4, column "), "{stats:?}");
    assert!(stats.last_error_unix_nano > 0 && stats.nanoseconds > 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_script_that_does_not_compile_changes_nothing_and_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        "network/default.vrl",
        ".tags.version = \"1\"",
    );
    let gateway = scripted(folder.path(), "").await;
    let mut subscriber = Subscriber::connect(gateway.flow, &[]).await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let mut user = User::connect(gateway.flow).await;
    let mut sequence = 0;
    let point = edited(&mut agent, &mut sequence, &mut subscriber).await;
    assert_eq!(tags(&point)["version"], "1");

    let broken = ".tags.version = \"2\"\n.tags.x = downcase(5)";
    write(folder.path(), "network/default.vrl", broken);
    eventually!(!user.list().await[0].mistake.is_empty());
    let script = user.list().await.remove(0);
    assert!(script.runs);
    assert!(
        script.mistake.starts_with("line 2, column "),
        "{}",
        script.mistake
    );
    assert!(script.mistake.contains("^"), "{}", script.mistake);
    let point = edited(&mut agent, &mut sequence, &mut subscriber).await;
    assert_eq!(tags(&point)["version"], "1");
    let broken =
        |page: &Metrics| page.sum("weir_gateway_scripts_broken", &[("namespace", "local")]);
    assert_eq!(broken(&scrape(gateway.prometheus).await), 1.0);

    write(
        folder.path(),
        "network/default.vrl",
        ".tags.version = \"3\"",
    );
    eventually!(user.list().await[0].mistake.is_empty());
    let point = edited(&mut agent, &mut sequence, &mut subscriber).await;
    assert_eq!(tags(&point)["version"], "3");
    assert_eq!(broken(&scrape(gateway.prometheus).await), 0.0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_local_script_comes_before_a_loaded_one_and_the_own_name_before_the_default() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = scripted(folder.path(), "").await;
    let mut subscriber = Subscriber::connect(gateway.flow, &[]).await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    let mut user = User::connect(gateway.flow).await;
    let mut sequence = 0;
    macro_rules! by {
        () => {{
            let point = edited(&mut agent, &mut sequence, &mut subscriber).await;
            tags(&point).get("by").map(|by| (*by).to_owned())
        }};
    }
    assert_eq!(by!(), None);
    user.load("default", ".tags.by = \"default\"")
        .await
        .expect("loaded");
    assert_eq!(by!().as_deref(), Some("default"));
    user.load("netflow", ".tags.by = \"loaded\"")
        .await
        .expect("loaded");
    assert_eq!(by!().as_deref(), Some("loaded"));

    write(folder.path(), "network/netflow.vrl", ".tags.by = \"local\"");
    eventually!(user.list().await.len() == 3);
    assert_eq!(by!().as_deref(), Some("local"));
    let listed: Vec<_> = user
        .list()
        .await
        .into_iter()
        .map(|own| (own.namespace(), own.runs))
        .collect();
    assert_eq!(
        listed,
        [
            (ScriptNamespace::Loaded, true),
            (ScriptNamespace::Local, true),
            (ScriptNamespace::Loaded, false),
        ]
    );

    fs::remove_file(folder.path().join("network/netflow.vrl")).expect("a file");
    eventually!(user.list().await.len() == 2);
    assert_eq!(by!().as_deref(), Some("loaded"));
    user.unload("netflow").await.expect("unloaded");
    assert_eq!(by!().as_deref(), Some("default"));
    user.unload("default").await.expect("unloaded");
    assert_eq!(by!(), None);
    gateway.stop().await;
}

#[tokio::test]
async fn what_cannot_be_loaded_is_refused_with_the_reason() {
    let gateway = gateway("").await;
    let mut user = User::connect(gateway.flow).await;
    let refused = user.load("netflow", "\n.tags.x = nothing").await;
    let status = refused.expect_err("a mistake");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("line 2, column 11"), "{status:?}");
    assert!(status.message().contains("^^^^^^^"), "{status:?}");
    for name in ["", "../netflow", ".hidden", "a\nb", &"x".repeat(201)] {
        let status = user.load(name, "").await.expect_err("a bad name");
        assert_eq!(status.code(), Code::InvalidArgument, "{name:?}");
    }
    let status = user.unload("netflow").await.expect_err("nothing there");
    assert_eq!(status.code(), Code::NotFound);
    assert!(user.list().await.is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn loaded_scripts_are_kept_in_the_state_folder() {
    let state = tempfile::tempdir().expect("a folder");
    let configuration = format!("scripts: {{state: '{}'}}", state.path().display());
    let first = gateway(&configuration).await;
    let mut user = User::connect(first.flow).await;
    user.load("netflow", ".tags.kept = \"yes\"")
        .await
        .expect("loaded");
    user.load("gone", ".tags.kept = \"no\"")
        .await
        .expect("loaded");
    user.unload("gone").await.expect("unloaded");
    first.stop().await;

    let second = gateway(&configuration).await;
    let mut user = User::connect(second.flow).await;
    let listed = user.list().await;
    let [script] = &listed[..] else {
        panic!("{listed:?}");
    };
    assert_eq!(script.name, "netflow");
    assert_eq!(script.namespace(), ScriptNamespace::Loaded);
    let mut subscriber = Subscriber::connect(second.flow, &[]).await;
    let mut agent = Agent::connect(second.flow, "a", 1).await;
    let point = edited(&mut agent, &mut 0, &mut subscriber).await;
    assert_eq!(tags(&point)["kept"], "yes");
    second.stop().await;
}
