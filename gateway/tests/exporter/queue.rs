//! The queue has a limit, and what becomes of it at a stop is known.

use std::time::Duration;

use weir_gateway::exporter::Full;

use crate::support::{
    Front, SIGNALS, Signal, Sink, batch, batch_of_size, eventually, nobody, start,
};

#[tokio::test]
async fn a_full_queue_says_so_and_takes_again_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let on_disk = format!(", folder: '{}'", folder.path().display());
    for more in ["", on_disk.as_str()] {
        let address = nobody();
        let running = start(address, &format!("queue: {{size: 1MiB{more}}}"));
        let mut taken = 0;
        let full = loop {
            match running
                .exporter
                .offer(&batch_of_size(Signal::Logs, taken, 10_000))
            {
                Ok(()) => taken += 1,
                Err(full) => break full,
            }
        };
        assert!(matches!(full, Full::Queue), "{full:?}");
        assert!((100..=105).contains(&taken), "{taken} of 10 kB in 1 MiB");
        let other = running
            .exporter
            .offer(&batch_of_size(Signal::Traces, 0, 10_000));
        assert!(other.is_err(), "the limit is for all signals together");
        assert_eq!(
            running.metric("items_refused_total", &["cause=\"full\""]),
            2
        );
        let used = running.metric("queue_used_bytes", &[]);
        assert!(used <= running.metric("queue_limit_bytes", &[]), "{used}");
        assert_eq!(running.ledger(), [taken.into(), 0, 0, taken.into()]);

        let sink = Sink::start_at(Front::Grpc, address, None);
        eventually!(running.ledger() == [taken.into(), taken.into(), 0, 0]);
        assert_eq!(running.metric("queue_used_bytes", &[]), 0);
        running
            .exporter
            .offer(&batch(Signal::Traces, 0, 1))
            .expect("room again");
        eventually!(sink.count() == taken as usize + 1);
        running.assert_balanced().await;
        assert!(running.stop_within(Duration::from_secs(10)).await);
    }
}

#[tokio::test]
async fn a_request_larger_than_the_queue_passes_when_nothing_else_waits() {
    let sink = Sink::start(Front::Grpc);
    let running = start(sink.address, "queue: {size: 1KiB}");
    let large = batch_of_size(Signal::Logs, 0, 100_000);
    running.exporter.offer(&large).expect("an empty queue");
    assert!(running.exporter.offer(&large).is_err());
    eventually!(sink.count() == 1);
}

#[tokio::test]
async fn a_stop_sends_what_is_there_without_waiting_for_more() {
    for protocol in ["grpc", "http"] {
        let front = if protocol == "grpc" {
            Front::Grpc
        } else {
            Front::Http
        };
        let sink = Sink::start(front);
        let keys = format!("protocol: {protocol}, batch: {{delay: 1h, size: 4KiB}}");
        let running = start(sink.address, &keys);
        for id in 0..30 {
            for signal in SIGNALS {
                running.exporter.offer(&batch(signal, id, 3)).expect("room");
            }
        }
        assert!(running.stop_within(Duration::from_secs(15)).await);
        assert_eq!(sink.count(), 270);
        assert_eq!(running.ledger(), [270, 270, 0, 0]);
        let late = running.exporter.offer(&batch(Signal::Logs, 0, 1));
        assert!(matches!(late, Err(Full::Stopped)));
        assert_eq!(
            running.metric("items_refused_total", &["cause=\"stopped\""]),
            1
        );
    }
}

#[tokio::test]
async fn what_is_only_in_memory_at_the_end_of_a_stop_is_counted_as_dropped() {
    let running = start(nobody(), "in_flight: 1");
    for id in 0..5 {
        running
            .exporter
            .offer(&batch(Signal::Metrics, id, 2))
            .expect("room");
    }
    eventually!(running.metric("requests_total", &[]) > 0);
    assert!(!running.stop_within(Duration::from_millis(100)).await);
    assert_eq!(running.ledger(), [10, 0, 10, 0]);
    assert_eq!(
        running.metric("items_dropped_total", &["cause=\"stopped\""]),
        10
    );
    running.assert_balanced().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_are_all_accounted_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let on_disk = format!("queue: {{folder: '{}'}}", folder.path().display());
    for more in ["protocol: grpc", on_disk.as_str()] {
        let sink = Sink::start(Front::Grpc);
        let running = std::sync::Arc::new(start(sink.address, more));
        let offerers = (0..8_u32).map(|offerer| {
            let running = std::sync::Arc::clone(&running);
            tokio::task::spawn_blocking(move || {
                for id in 0..300 {
                    let signal = SIGNALS[(id % 3) as usize];
                    let batch = batch(signal, offerer * 1000 + id, 1);
                    running.exporter.offer(&batch).expect("room");
                }
            })
        });
        for offerer in offerers.collect::<Vec<_>>() {
            offerer.await.expect("no panic");
        }
        eventually!(running.ledger() == [2400, 2400, 0, 0]);
        assert_eq!(sink.count(), 2400);
        let distinct: usize = SIGNALS
            .map(|signal| sink.distinct(signal).len())
            .iter()
            .sum();
        assert_eq!(distinct, 2400);
        running.assert_balanced().await;
        assert!(running.stop_within(Duration::from_secs(10)).await);
    }
}
