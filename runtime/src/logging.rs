//! Log lines on standard error.

use std::{env, io, io::IsTerminal};

use tracing::{debug, warn};
use tracing_subscriber::{
    EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::telemetry;

/// The variable that sets what is logged, e.g. `debug` or `info,weir_agent=trace`.
const FILTER: &str = "WEIR_LOG";
const DEFAULT_FILTER: &str = "info";

/// Log to standard error from now on: UTC times (RFC 3339), level `info` unless
/// `WEIR_LOG` says otherwise, colours only on a terminal and not if `NO_COLOR` is
/// set. A filter that cannot be read is reported and the default used. Calling
/// it again changes nothing.
pub fn init() {
    let wanted = env::var_os(FILTER).map(|value| value.to_string_lossy().into_owned());
    let (filter, refused) = choose_filter(wanted.as_deref());
    let colour = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(colour)
        .with_filter(filter);
    let installed = tracing_subscriber::registry()
        .with(lines)
        .with(telemetry::events())
        .try_init();
    if installed.is_err() {
        debug!("logging was already set up");
    }
    if let Some(error) = refused {
        warn!(
            error = &error as &dyn std::error::Error,
            "{FILTER} is not a filter; logging at level {DEFAULT_FILTER}"
        );
    }
}

fn choose_filter(
    wanted: Option<&str>,
) -> (EnvFilter, Option<tracing_subscriber::filter::ParseError>) {
    match wanted.map(str::trim).filter(|text| !text.is_empty()) {
        None => (EnvFilter::new(DEFAULT_FILTER), None),
        Some(text) => match EnvFilter::builder().parse(text) {
            Ok(filter) => (filter, None),
            Err(error) => (EnvFilter::new(DEFAULT_FILTER), Some(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_filter_the_level_is_info() {
        for wanted in [None, Some(""), Some("  ")] {
            let (filter, refused) = choose_filter(wanted);
            assert_eq!(filter.to_string(), "info");
            assert!(refused.is_none());
        }
    }

    #[test]
    fn one_part_of_a_process_can_be_made_more_talkative() {
        let (filter, refused) = choose_filter(Some("info,weir_agent=trace"));
        assert!(filter.to_string().contains("weir_agent=trace"));
        assert!(refused.is_none());
    }

    #[test]
    fn a_misspelt_filter_is_reported_and_the_process_still_logs() {
        let (filter, refused) = choose_filter(Some("weir_agent=loud"));
        assert_eq!(filter.to_string(), "info");
        assert!(refused.is_some());
    }
}
