//! Being asked to stop, and stopping every stage within one time budget.

use std::{any::Any, future::pending, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tracing::{error, warn};

/// Wait until the process is asked to stop; returns the signal's name.
pub async fn requested() -> &'static str {
    tokio::select! {
        () = arrival(SignalKind::terminate(), "SIGTERM") => "SIGTERM",
        () = arrival(SignalKind::interrupt(), "SIGINT") => "SIGINT",
    }
}

async fn arrival(kind: SignalKind, name: &'static str) {
    match signal(kind) {
        Ok(mut stream) => {
            stream.recv().await;
        }
        Err(error) => {
            // The default action, ending the process, stays in force.
            error!(
                error = &error as &dyn std::error::Error,
                "cannot wait for {name}; it will not stop this process in order"
            );
            pending().await
        }
    }
}

/// One time budget, shared by all stages of a stop.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Instant,
}

impl Deadline {
    /// A budget of `budget` that starts to run now.
    pub fn after(budget: Duration) -> Self {
        Self {
            at: Instant::now() + budget,
        }
    }

    /// Let a stage end by itself, as long as time is left; then abort it.
    /// Returns whether it ended by itself and without a panic. A stage that
    /// did not is named in the log.
    pub async fn finish(&self, stage: &'static str, mut task: JoinHandle<()>) -> bool {
        match timeout_at(self.at, &mut task).await {
            Ok(Ok(())) => true,
            Ok(Err(failure)) if failure.is_panic() => {
                error!(
                    stage,
                    "stage panicked: {}",
                    panic_text(&*failure.into_panic())
                );
                false
            }
            Ok(Err(_cancelled)) => {
                warn!(stage, "stage was cancelled before the stop");
                false
            }
            Err(_elapsed) => {
                task.abort();
                warn!(stage, "stage did not end in time and is aborted");
                false
            }
        }
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};
    use tokio::{sync::oneshot, task::yield_now, time::sleep};

    use super::*;

    #[tokio::test]
    async fn a_signal_is_answered_with_its_name_instead_of_sudden_death() {
        for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
            let waiting = tokio::spawn(requested());
            // On this single-threaded runtime the task has run once, and so waits, after a yield.
            yield_now().await;
            kill_process(getpid(), signal).expect("a signal to this process");
            assert_eq!(waiting.await.expect("no panic"), name);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stage_that_ends_by_itself_is_waited_for() {
        let deadline = Deadline::after(Duration::from_secs(10));
        let task = tokio::spawn(sleep(Duration::from_secs(9)));
        assert!(deadline.finish("drain", task).await);
    }

    #[tokio::test(start_paused = true)]
    async fn all_stages_share_one_budget_and_the_late_one_is_aborted() {
        let started = Instant::now();
        let deadline = Deadline::after(Duration::from_secs(10));
        let (held, mut dropped) = oneshot::channel::<()>();
        let first = tokio::spawn(sleep(Duration::from_secs(8)));
        let stuck = tokio::spawn(async move {
            pending::<()>().await;
            drop(held);
        });

        assert!(deadline.finish("first", first).await);
        assert!(!deadline.finish("stuck", stuck).await);

        assert_eq!(started.elapsed().as_secs(), 10);
        assert!((&mut dropped).await.is_err(), "the aborted task is gone");
    }

    #[tokio::test]
    async fn a_panicking_stage_does_not_look_like_a_clean_stop() {
        let deadline = Deadline::after(Duration::from_secs(10));
        let task = tokio::spawn(async { panic!("on purpose") });
        assert!(!deadline.finish("broken", task).await);
    }

    #[test]
    fn the_message_of_a_panic_reaches_the_log() {
        assert_eq!(panic_text(&"short"), "short");
        assert_eq!(
            panic_text(&String::from("made at run time")),
            "made at run time"
        );
        assert_eq!(panic_text(&7_u32), "no message");
    }
}
