//! A queue on disk outlives a stop, and belongs to one exporter.

use std::{error::Error as _, fs, path::Path, time::Duration};

use weir_gateway::exporter::{OpenError, StartError};

use crate::support::{
    Front, Running, SIGNALS, Signal, Sink, batch, batch_of_size, config, eventually, nobody, start,
};

fn folder_key(folder: &Path) -> String {
    format!("queue: {{folder: '{}'}}", folder.display())
}

#[tokio::test]
async fn what_the_endpoint_did_not_take_before_a_stop_it_gets_after_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = folder_key(folder.path());
    let running = start(nobody(), &queue);
    for id in 0..20 {
        for signal in SIGNALS {
            running.exporter.offer(&batch(signal, id, 1)).expect("room");
        }
    }
    let started = std::time::Instant::now();
    assert!(
        running.stop_within(Duration::from_secs(60)).await,
        "nothing is lost"
    );
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "what is safe is not waited for"
    );
    assert_eq!(running.ledger(), [60, 0, 0, 60]);

    let sink = Sink::start(Front::Http);
    let running = start(sink.address, &format!("protocol: http, {queue}"));
    eventually!(running.ledger() == [60, 60, 0, 0]);
    for signal in SIGNALS {
        let wanted: Vec<String> = (0..20).map(|id| format!("{id}/0")).collect();
        assert_eq!(sink.names(signal), wanted, "oldest first, and once");
    }
    assert!(running.stop_within(Duration::from_secs(10)).await);

    let running = start(sink.address, &format!("protocol: http, {queue}"));
    assert_eq!(running.ledger(), [0, 0, 0, 0], "delivered is delivered");
}

#[tokio::test]
async fn a_folder_is_used_by_one_exporter_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = folder_key(folder.path());
    let running = start(nobody(), &queue);
    let second = || Running::try_start(config(&format!("endpoint: 'http://127.0.0.1:1', {queue}")));
    let error = second().err().expect("refused");
    assert!(
        matches!(
            &error,
            StartError::Queue {
                source: OpenError::InUse { .. },
                ..
            }
        ),
        "{error:?}"
    );
    let cause = error.source().expect("a cause").to_string();
    assert!(
        cause.contains(&folder.path().display().to_string()),
        "{cause}"
    );
    running.stop_within(Duration::from_secs(1)).await;
    assert!(second().is_ok(), "after a stop");
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let error = Running::try_start(config(
        "endpoint: 'http://127.0.0.1:1', queue: {folder: /proc/no/such}",
    ));
    let error = error.err().expect("refused");
    let cause = error.source().expect("a cause").to_string();
    assert!(cause.contains("/proc/no/such"), "{cause}");
}

#[tokio::test]
async fn a_cut_file_is_counted_and_what_is_before_the_cut_arrives() {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = folder_key(folder.path());
    let running = start(nobody(), &queue);
    for id in 0..10 {
        running
            .exporter
            .offer(&batch(Signal::Traces, id, 1))
            .expect("room");
    }
    running.stop_within(Duration::from_secs(1)).await;
    let lane = fs::read_dir(folder.path().join("traces")).expect("a folder");
    let file = lane
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.extension().is_some_and(|suffix| suffix == "otlp1"))
        .expect("a file");
    let length = fs::metadata(&file).expect("a file").len();
    let cut = fs::OpenOptions::new()
        .write(true)
        .open(&file)
        .expect("the file");
    cut.set_len(length - 3).expect("cut");

    let sink = Sink::start(Front::Grpc);
    let running = start(sink.address, &queue);
    eventually!(running.ledger() == [9, 9, 0, 0]);
    assert!(running.metric("queue_unreadable_bytes_total", &[]) > 0);
    running
        .exporter
        .offer(&batch(Signal::Traces, 10, 1))
        .expect("room");
    eventually!(
        sink.names(Signal::Traces)
            .last()
            .is_some_and(|name| name == "10/0")
    );
}

#[tokio::test]
async fn files_are_removed_as_they_are_delivered() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = nobody();
    let running = start(address, &folder_key(folder.path()));
    for id in 0..60 {
        let batch = batch_of_size(Signal::Logs, id, 1_000_000);
        running.exporter.offer(&batch).expect("room");
    }
    let on_disk = || -> u64 {
        let lane = fs::read_dir(folder.path().join("logs")).expect("a folder");
        lane.map(|entry| {
            entry
                .and_then(|entry| entry.metadata())
                .map_or(0, |m| m.len())
        })
        .sum()
    };
    assert!(on_disk() > 60_000_000);
    let sink = Sink::start_at(Front::Grpc, address, None);
    eventually!(running.metric("items_queued", &[]) == 0);
    assert_eq!(sink.distinct(Signal::Logs).len(), 60);
    let left = on_disk();
    assert!(left <= 9_000_000, "{left}: one file at most");
}
