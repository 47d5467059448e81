//! Delays between attempts to reach a peer that is away.

use std::time::Duration;

/// Doubling delays with full jitter, so that many clients of one restarted
/// server do not come back at the same instant.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// The first delay is at most `first`; no delay is ever longer than `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            ceiling: first.min(most),
        }
    }

    /// A random delay between zero and a ceiling that doubles on every call.
    pub fn next_delay(&mut self) -> Duration {
        let ceiling = self.ceiling;
        self.ceiling = ceiling.saturating_mul(2).min(self.most);
        ceiling.mul_f64(fastrand::f64())
    }

    /// Start again from the first delay, after an attempt succeeded.
    pub fn reset(&mut self) {
        self.ceiling = self.first.min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const MOST: Duration = Duration::from_secs(5);

    #[test]
    fn a_peer_that_stays_away_is_asked_less_and_less_often_up_to_a_limit() {
        let longest_of = |attempt: usize| {
            (0..200)
                .map(|_| {
                    let mut backoff = Backoff::new(FIRST, MOST);
                    for _ in 0..attempt {
                        backoff.next_delay();
                    }
                    backoff.next_delay()
                })
                .max()
                .expect("200 samples")
        };
        assert!(longest_of(0) <= FIRST);
        assert!(longest_of(3) > FIRST, "the ceiling has grown to 800 ms");
        assert!(longest_of(1000) <= MOST);
    }

    #[test]
    fn two_clients_do_not_come_back_together() {
        let mut a = Backoff::new(MOST, MOST);
        let mut b = Backoff::new(MOST, MOST);
        assert!((0..20).any(|_| a.next_delay() != b.next_delay()));
    }

    #[test]
    fn after_a_success_the_next_failure_is_retried_soon() {
        let mut backoff = Backoff::new(FIRST, MOST);
        for _ in 0..20 {
            backoff.next_delay();
        }
        backoff.reset();
        assert!(backoff.next_delay() <= FIRST);
    }
}
