//! Spans of single requests, of which some are chosen.
//!
//! A request with a valid `traceparent` has a span in that trace if its caller samples it, and none otherwise. Of the
//! others, a part has one, in a new trace. No more than so many are made in a second. Each says how many requests it
//! stands for, and those add up to all of them.

use weir_proto::flow::v1::{Counter, FlowEvent, HttpSpan, flow_event::Data};

use super::{exchange::Exchange, rows::Rows};
use crate::{config, status::counter};

const SECOND_NS: u64 = 1_000_000_000;

/// Makes spans.
#[derive(Debug)]
pub struct Spans {
    config: config::Spans,
    random: fastrand::Rng,
    /// When the second began, and how many spans there were in it.
    second: (u64, u32),
    /// Requests that were chosen and had no room; the next span stands for them.
    owed: f64,
    made: u64,
    over_limit: u64,
}

impl Spans {
    /// None made yet.
    #[must_use]
    pub fn new(config: config::Spans) -> Self {
        Self {
            config,
            random: fastrand::Rng::new(),
            second: (0, 0),
            owed: 0.0,
            made: 0,
            over_limit: 0,
        }
    }

    /// Spans made, and those that the limit left out, since the start.
    #[must_use]
    pub fn counters(&self) -> Vec<Counter> {
        vec![
            counter("http_spans", "", self.made),
            counter("http_spans_left_out", "limit", self.over_limit),
        ]
    }

    /// The span of a request, if it is chosen and this is the last report on it. `unix_minus_monotonic_ns` is what makes
    /// times of `CLOCK_MONOTONIC` ones since the epoch.
    pub fn take(
        &mut self,
        exchange: &Exchange<'_>,
        rows: &mut Rows,
        unix_minus_monotonic_ns: u64,
    ) -> Option<FlowEvent> {
        if !self.config.enabled || !exchange.is_last {
            return None;
        }
        let trace = exchange.request.trace;
        let stands_for = match trace {
            Some(trace) if trace.sampled => 1.0,
            Some(_) => return None,
            None if self.random.f64() < self.config.sample => 1.0 / self.config.sample,
            None => return None,
        };
        if exchange.ended_ns.saturating_sub(self.second.0) >= SECOND_NS {
            self.second = (exchange.ended_ns, 0);
        }
        if self.second.1 >= self.config.max_per_second {
            self.owed += stands_for;
            self.over_limit += 1;
            return None;
        }
        self.second.1 += 1;
        self.made += 1;
        let (event, request) = rows.event_of(exchange);
        let trace_id = match trace {
            Some(trace) => trace.trace.to_vec(),
            None => self.random.u128(1..).to_be_bytes().to_vec(),
        };
        Some(FlowEvent {
            time_unix_nano: exchange.ended_ns.wrapping_add(unix_minus_monotonic_ns),
            period_nano: exchange.ended_ns.saturating_sub(exchange.began_ns),
            data: Some(Data::HttpSpan(HttpSpan {
                trace_id,
                span_id: self.random.u64(1..).to_be_bytes().to_vec(),
                parent_span_id: trace.map(|trace| trace.parent.to_vec()).unwrap_or_default(),
                request: Some(request),
                sampling_factor: stands_for + std::mem::take(&mut self.owed),
            })),
            ..event
        })
    }
}

#[cfg(test)]
mod tests;
