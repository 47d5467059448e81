//! Keys of `scripts` that change while the gateway runs.

use std::{fmt::Display, path::Path};

use weir_gateway::RunningGateway;
use weir_proto::observe::v1::ScriptNamespace;
use weir_runtime::reload::Outcome;

use super::{User, edited, tags, write};
use crate::support::{Agent, Subscriber, configured, eventually, gateway};

async fn change(gateway: &mut RunningGateway, keys: impl Display) {
    let config = configured(&format!("scripts: {{{keys}}}\n"));
    assert_eq!(gateway.apply(config).await, Outcome::Applied);
}

/// A user who sees what becomes of flows.
struct Eyes {
    agent: Agent,
    sequence: u64,
    subscriber: Subscriber,
}

impl Eyes {
    async fn on(gateway: &RunningGateway) -> Self {
        Self {
            agent: Agent::connect(gateway.flow, "a", 1).await,
            sequence: 0,
            subscriber: Subscriber::connect(gateway.flow, &[]).await,
        }
    }

    /// The tag `by` of the next flow.
    async fn by(&mut self) -> Option<String> {
        let point = edited(&mut self.agent, &mut self.sequence, &mut self.subscriber).await;
        tags(&point).get("by").map(|by| (*by).to_owned())
    }
}

fn by(folder: &Path, who: &str) {
    let source = format!(".tags.by = \"{who}\"");
    write(folder, "network/netflow.vrl", &source);
}

#[tokio::test]
async fn the_folder_is_switched_on_replaced_and_switched_off() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    by(first.path(), "first");
    by(second.path(), "second");
    let mut gateway = gateway("").await;
    let mut eyes = Eyes::on(&gateway).await;
    assert_eq!(eyes.by().await, None);

    // Looked at rarely, and still at once when it changes.
    let folder = |folder: &Path| format!("folder: '{}', watch: 1h", folder.display());
    change(&mut gateway, folder(first.path())).await;
    eventually!(eyes.by().await.as_deref() == Some("first"));
    change(&mut gateway, folder(second.path())).await;
    eventually!(eyes.by().await.as_deref() == Some("second"));

    let often = format!("folder: '{}', watch: 20ms", second.path().display());
    change(&mut gateway, often).await;
    by(second.path(), "second, edited");
    eventually!(eyes.by().await.as_deref() == Some("second, edited"));

    change(&mut gateway, "").await;
    eventually!(eyes.by().await.is_none());
    assert!(User::connect(gateway.flow).await.list().await.is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn limits_hold_for_scripts_that_run_already() {
    let mut gateway = gateway("").await;
    let mut user = User::connect(gateway.flow).await;
    let source = ".tags.by = upcase(\"me\")";
    user.load("netflow", source).await.expect("loaded");
    let mut eyes = Eyes::on(&gateway).await;
    assert_eq!(eyes.by().await.as_deref(), Some("ME"));
    change(&mut gateway, "operations: 1").await;
    eventually!(eyes.by().await.is_none());
    let stats = user.list().await.remove(0).stats.expect("stats");
    assert!(stats.errors > 0 && !stats.last_error.is_empty());
    change(&mut gateway, "").await;
    eventually!(eyes.by().await.as_deref() == Some("ME"));
    gateway.stop().await;
}

#[tokio::test]
async fn loaded_scripts_move_to_another_state_folder_and_meet_those_that_are_there() {
    let (state, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    by(other.path(), "the one that was there");
    write(other.path(), "network/dnsflow.vrl", ".tags.by = \"dns\"");
    let key = |state: &Path| format!("state: '{}'", state.display());
    let mut first = gateway("").await;
    let mut user = User::connect(first.flow).await;
    let source = ".tags.by = \"the one that runs\"";
    user.load("netflow", source).await.expect("loaded");
    change(&mut first, key(state.path())).await;
    let kept = state.path().join("network/netflow.vrl");
    eventually!(kept.exists());

    change(&mut first, key(other.path())).await;
    eventually!(user.list().await.len() == 2);
    let mut eyes = Eyes::on(&first).await;
    assert_eq!(eyes.by().await.as_deref(), Some("the one that runs"));
    // Back in memory only: forgotten in no folder.
    change(&mut first, "").await;
    assert_eq!(eyes.by().await.as_deref(), Some("the one that runs"));
    first.stop().await;

    for folder in [state.path(), other.path()] {
        let again = gateway(&format!("scripts: {{{}}}\n", key(folder))).await;
        let mut eyes = Eyes::on(&again).await;
        assert_eq!(eyes.by().await.as_deref(), Some("the one that runs"));
        let listed = User::connect(again.flow).await.list().await;
        let loaded = |own: ScriptNamespace| own == ScriptNamespace::Loaded;
        assert!(listed.iter().all(|own| loaded(own.namespace())));
        again.stop().await;
    }
}
