//! The process dies without warning; what it had taken in arrives after the next start.

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::support::{Front, SIGNALS, Sink, batch_with_id, eventually, nobody, start};

const ENDPOINT: &str = "WEIR_TEST_CHILD_ENDPOINT";
const FOLDER: &str = "WEIR_TEST_CHILD_FOLDER";
const QUEUE: &str = "8MiB";

fn keys(folder: &str) -> String {
    format!("queue: {{size: {QUEUE}, folder: '{folder}'}}, batch: {{size: 64KiB, delay: 5ms}}")
}

/// Not a test: the process that dies. Takes in requests for ever and says which, each
/// after it was taken in; `full` whenever there is no room.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the other tests"]
async fn child() {
    let (Ok(endpoint), Ok(folder)) = (env::var(ENDPOINT), env::var(FOLDER)) else {
        return;
    };
    let endpoint: SocketAddr = endpoint.parse().expect("an address");
    let running = start(endpoint, &keys(&folder));
    let mut out = std::io::stdout().lock();
    for number in 0_u32.. {
        let signal = SIGNALS[(number % 3) as usize];
        let batch = batch_with_id(signal, &number.to_string(), 1, 10_000);
        while running.exporter.offer(&batch).is_err() {
            writeln!(out, "full").expect("a reader");
            tokio::task::yield_now().await;
        }
        writeln!(out, "taken {}/{number}/0", signal.name()).expect("a reader");
    }
}

fn spawn(endpoint: SocketAddr, folder: &Path) -> Child {
    Command::new(env::current_exe().expect("this program"))
        .args(["--exact", "death::child", "--ignored", "--nocapture"])
        .env(ENDPOINT, endpoint.to_string())
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this program again")
}

/// Kill -9 `child` as soon as `enough` of what it says; everything it said it had taken,
/// even after that.
fn kill_when(child: &mut Child, mut enough: impl FnMut(usize, &str) -> bool) -> BTreeSet<String> {
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut taken = BTreeSet::new();
    let mut killed = false;
    for line in lines.map_while(Result::ok) {
        if let Some((_, name)) = line.split_once("taken ") {
            taken.insert(name.to_owned());
        }
        if !killed && enough(taken.len(), &line) {
            child.kill().expect("killed");
            killed = true;
        }
    }
    child.wait().expect("dead");
    assert!(killed, "the child ended by itself");
    // The last line may have been cut in the middle.
    taken.retain(|name| name.ends_with("/0"));
    taken
}

fn arrived(sink: &Sink) -> Vec<String> {
    let named = |signal: crate::support::Signal| {
        let names = sink.names(signal).into_iter();
        names.map(move |name| format!("{}/{name}", signal.name()))
    };
    SIGNALS.into_iter().flat_map(named).collect()
}

#[tokio::test]
async fn a_full_queue_survives_the_death_of_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = spawn(nobody(), folder.path());
    let taken = kill_when(&mut child, |_, line| line == "full");
    assert!(taken.len() > 700, "{} of 10 kB in {QUEUE}", taken.len());

    let sink = Sink::start(Front::Grpc);
    let running = start(sink.address, &keys(&folder.path().display().to_string()));
    eventually!(running.metric("items_queued", &[]) == 0);
    let arrived = arrived(&sink);
    let distinct: BTreeSet<String> = arrived.iter().cloned().collect();
    let lost: Vec<_> = taken.difference(&distinct).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert_eq!(
        arrived.len(),
        distinct.len(),
        "nothing was sent before, so nothing comes twice"
    );
    running.assert_balanced().await;
}

#[tokio::test]
async fn a_death_while_sending_loses_nothing_and_repeats_only_what_was_under_way() {
    for round in 1..=3 {
        let folder = tempfile::tempdir().expect("a folder");
        let sink = Sink::start(Front::Grpc);
        let mut child = spawn(sink.address, folder.path());
        let taken = kill_when(&mut child, |taken, _| taken > 700 * round);
        let running = start(sink.address, &keys(&folder.path().display().to_string()));
        eventually!(running.metric("items_queued", &[]) == 0);
        eventually!(arrived(&sink).len() >= taken.len());
        let arrived = arrived(&sink);
        let distinct: BTreeSet<String> = arrived.iter().cloned().collect();
        let lost: Vec<_> = taken.difference(&distinct).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        // Four requests per signal of 64 KiB, six items each, were under way at most.
        let repeated = arrived.len() - distinct.len();
        assert!(repeated <= 3 * 4 * 6, "{repeated} items came twice");
        // A write may be cut by the kill, before it is acknowledged.
        let cut = running.metric("queue_unreadable_bytes_total", &[]);
        assert!(cut < 10_500, "{cut}: less than one request");
    }
}
