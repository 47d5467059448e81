//! Every name. `docs/metrics.md` explains them; a test keeps the two together.

use super::SelfMetric;
use crate::profile::naming::Kind::{self, Counter, Gauge};

const fn metric(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
) -> SelfMetric {
    SelfMetric {
        name,
        kind,
        labels,
        help,
    }
}

macro_rules! self_metrics {
    ($($constant:ident = $name:literal, $kind:expr, [$($label:literal),*], $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $constant: SelfMetric = metric($name, $kind, &[$($label),*], $help);
        )*
        /// All of them.
        pub static ALL: &[&SelfMetric] = &[$(&$constant),*];
    };
}

self_metrics! {
    BUILD_INFO = "weir_gateway_build_info", Gauge, ["version"],
        "The running version; always 1.";

    AGENTS = "weir_gateway_agents", Gauge, [],
        "Agents with an open stream.";
    STREAMS_REFUSED = "weir_gateway_intake_streams_refused_total", Counter, ["cause"],
        "Agent streams ended by the gateway because of what came in.";
    BATCHES = "weir_gateway_intake_batches_total", Counter, [],
        "Batches processed, without duplicates.";
    BATCHES_DUPLICATE = "weir_gateway_intake_batches_duplicate_total", Counter, [],
        "Batches that came again and were dropped.";
    BATCHES_MISSING = "weir_gateway_intake_batches_missing_total", Counter, [],
        "Batches that never came: gaps in the sequence of an agent.";
    BYTES = "weir_gateway_intake_bytes_total", Counter, [],
        "Size of the batches processed, as encoded.";
    ROWS = "weir_gateway_intake_rows_total", Counter, [],
        "Flow events in the batches processed.";
    ROWS_MALFORMED = "weir_gateway_intake_rows_malformed_total", Counter, ["cause"],
        "Flow events that did not become a Point.";
    STATUS_REFUSED = "weir_gateway_intake_status_entries_refused_total", Counter, [],
        "Counters and hooks in agent status messages that cannot be shown.";
    RUNS_FORGOTTEN = "weir_gateway_intake_runs_forgotten_total", Counter, [],
        "Agent runs whose last sequence was forgotten to make room.";

    POINTS_OFFERED = "weir_gateway_output_points_offered_total", Counter, ["output"],
        "Points that the fan-out had for an output.";
    POINTS_DELIVERED = "weir_gateway_output_points_delivered_total", Counter, ["output"],
        "Points that an output has passed on.";
    POINTS_DROPPED = "weir_gateway_output_points_dropped_total", Counter, ["output", "cause"],
        "Points that an output dropped.";
    POINTS_QUEUED = "weir_gateway_output_points_queued", Gauge, ["output"],
        "Points that wait in the queues of an output.";

    LABEL_SETS = "weir_gateway_prometheus_label_sets", Gauge, ["group"],
        "Label sets held, each with one series per metric of its group.";
    LABEL_SETS_EXPIRED = "weir_gateway_prometheus_label_sets_expired_total", Counter, ["group"],
        "Label sets removed because no Point came for them.";
    POINTS_FOLDED = "weir_gateway_prometheus_points_folded_total", Counter, ["group"],
        "Points added to the ~other series because the budget was used up.";
    VALUES_LEFT = "weir_gateway_prometheus_values_left_total", Counter, ["group"],
        "Gauge values left out because they mean nothing on the ~other series.";
    SCRAPES = "weir_gateway_prometheus_scrapes_total", Counter, [],
        "Scrapes that were answered in full.";
    SCRAPE_BYTES = "weir_gateway_prometheus_scrape_size_bytes", Gauge, [],
        "Size of the latest complete answer to a scrape.";

    OTLP_REQUESTS = "weir_gateway_otlp_requests_total", Counter, ["result"],
        "Export requests by what became of them.";
    OTLP_DATA_POINTS = "weir_gateway_otlp_data_points_total", Counter, [],
        "Data points in the export requests that were accepted.";
    OTLP_DATA_POINTS_REJECTED = "weir_gateway_otlp_data_points_rejected_total", Counter, [],
        "Data points that the endpoint rejected from a request it accepted.";

    SUBSCRIBERS = "weir_gateway_subscribers", Gauge, [],
        "Subscriptions that are open.";
    SUBSCRIPTIONS_REFUSED = "weir_gateway_subscriptions_refused_total", Counter, ["cause"],
        "Subscriptions that were not opened.";
}
