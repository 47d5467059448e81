//! Metrics and spans that came over OTLP, as a page: readable in every format, and not much larger than what was sent.
//! The first byte chooses metrics or traces and the budget. The rest are two requests in a row; where the second
//! begins say the next two bytes.

#![no_main]

use std::{
    cell::LazyCell,
    time::{Duration, Instant},
};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use weir_fuzz::{input::Input, page};
use weir_gateway::{
    otlp_metrics::OtlpMetrics,
    page::Format,
    profile::SEMCONV,
    self_metrics::SelfMetrics,
    span_metrics::{self, SpanMetrics},
};
use weir_point::otlp::{OtlpBatch, Signal};

const IDLE_EXPIRY: Duration = Duration::from_secs(300);

thread_local! {
    /// Made once: that takes longer than all else.
    static METRICS: LazyCell<SelfMetrics> = LazyCell::new(SelfMetrics::new);
}

fuzz_target!(|data: &[u8]| METRICS.with(|metrics| run(metrics, data)));

fn run(metrics: &SelfMetrics, data: &[u8]) {
    let mut input = Input(data);
    let choice = input.byte();
    let signal = match choice & 1 {
        0 => Signal::Metrics,
        _ => Signal::Traces,
    };
    let first = input.short();
    let requests = [input.piece(first.into()), input.0];
    let batches = requests.map(|bytes| OtlpBatch::check(signal, Bytes::copy_from_slice(bytes)));
    let batches = batches.iter().flatten().filter(|batch| batch.items() > 0);
    let sent = data.len();
    let budget = 1 + usize::from(choice >> 1);
    match signal {
        Signal::Metrics => {
            let series = OtlpMetrics::new(&SEMCONV, budget, IDLE_EXPIRY, metrics);
            for batch in batches {
                let _counted = series.take(batch);
                assert_pages(sent, |index, format| series.part(index, format));
            }
            series.sweep(Instant::now() + 2 * IDLE_EXPIRY);
            assert_pages(0, |index, format| series.part(index, format));
        }
        _ => {
            let config = span_metrics::Config {
                dimensions: vec!["http.route".to_owned(), "a".to_owned()],
                series_budget: budget,
                ..span_metrics::Config::default()
            };
            let series = SpanMetrics::new(config, IDLE_EXPIRY, metrics);
            for batch in batches {
                series.take(batch);
                assert_pages(sent, |index, format| series.part(index, format));
            }
        }
    }
}

/// The page in every format. Labels stand before each bucket, so it can grow with the square of what was `sent`.
fn assert_pages(sent: usize, part: impl Fn(usize, Format) -> Option<Vec<u8>>) {
    let most = 16 * 1024 + 256 * sent + sent * sent;
    for format in Format::ALL {
        let whole: Vec<u8> = (0..)
            .map_while(|index| part(index, format))
            .flatten()
            .collect();
        assert!(whole.len() <= most, "{} bytes of {sent}", whole.len());
        match format {
            Format::Text | Format::OpenMetrics => page::assert_readable(&whole),
            Format::Protobuf => page::assert_delimited(&whole),
        }
    }
}
