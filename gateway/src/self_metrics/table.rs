//! Every name. `docs/metrics.md` explains them; a test keeps the two together.

use super::{
    Kind::{self, Counter, Gauge, Histogram},
    SelfMetric,
};

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

    CONFIG_RELOADS = "weir_gateway_config_reloads_total", Counter, ["outcome"],
        "Configurations read while the gateway runs, by what became of them.";
    CONFIG_LOADED = "weir_gateway_config_loaded_timestamp_seconds", Gauge, [],
        "When the configuration in force was read, in seconds since the Unix epoch.";

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
    INTAKE_SPANS = "weir_gateway_intake_spans_total", Counter, ["result"],
        "Spans of HTTP requests that agents sent, by what became of them.";
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
    LABEL_VALUES = "weir_gateway_prometheus_label_values", Gauge, ["group", "tag"],
        "Values of a tag among the label sets held, without ~other.";
    LABEL_VALUES_FOLDED = "weir_gateway_prometheus_label_values_folded_total", Counter, ["group", "tag"],
        "Points whose value of a tag was written ~other because the budget of its values was used up.";
    VALUES_LEFT = "weir_gateway_prometheus_values_left_total", Counter, ["group"],
        "Gauge values left out because they mean nothing on a series with ~other.";
    SCRAPES = "weir_gateway_prometheus_scrapes_total", Counter, ["format"],
        "Scrapes that were answered in full.";
    SCRAPE_BYTES = "weir_gateway_prometheus_scrape_size_bytes", Gauge, [],
        "Size of the latest complete answer to a scrape, before compression.";

    EXPORTER_ITEMS_OFFERED = "weir_gateway_exporter_items_offered_total", Counter, ["exporter", "signal"],
        "Spans, data points and log records taken into a queue, with those found on disk at the start.";
    EXPORTER_ITEMS_SENT = "weir_gateway_exporter_items_sent_total", Counter, ["exporter", "signal"],
        "Items that the endpoint has taken.";
    EXPORTER_ITEMS_DROPPED = "weir_gateway_exporter_items_dropped_total", Counter, ["exporter", "signal", "cause"],
        "Items that were taken into the queue and not delivered.";
    EXPORTER_ITEMS_QUEUED = "weir_gateway_exporter_items_queued", Gauge, ["exporter", "signal"],
        "Items that wait or are under way.";
    EXPORTER_ITEMS_REFUSED = "weir_gateway_exporter_items_refused_total", Counter, ["exporter", "signal", "cause"],
        "Items that were not taken into the queue. If no other exporter took them, the sender was told to come again.";
    EXPORTER_BYTES_OFFERED = "weir_gateway_exporter_bytes_offered_total", Counter, ["exporter", "signal"],
        "Size of the requests taken into a queue, with those found on disk at the start.";
    EXPORTER_BYTES_SENT = "weir_gateway_exporter_bytes_sent_total", Counter, ["exporter", "signal"],
        "Size of the requests that the endpoint has taken, before compression.";
    EXPORTER_BYTES_DROPPED = "weir_gateway_exporter_bytes_dropped_total", Counter, ["exporter", "signal", "cause"],
        "Size of the requests that were taken into the queue and not delivered.";
    EXPORTER_BYTES_QUEUED = "weir_gateway_exporter_bytes_queued", Gauge, ["exporter", "signal"],
        "Size of the requests that wait or are under way.";
    EXPORTER_REQUESTS = "weir_gateway_exporter_requests_total", Counter, ["exporter", "signal", "result"],
        "Attempts to send a request, by what became of them.";
    EXPORTER_RETRIES = "weir_gateway_exporter_retries_total", Counter, ["exporter", "signal"],
        "Attempts that sent a request again.";
    EXPORTER_QUEUE_BYTES = "weir_gateway_exporter_queue_used_bytes", Gauge, ["exporter"],
        "How much of the queue is used.";
    EXPORTER_QUEUE_LIMIT = "weir_gateway_exporter_queue_limit_bytes", Gauge, ["exporter"],
        "How much the queue may hold.";
    EXPORTER_UNREADABLE = "weir_gateway_exporter_queue_unreadable_bytes_total", Counter, ["exporter"],
        "Bytes of the queue on disk that could not be read.";
    EXPORTER_FLOW_LABEL_SETS = "weir_gateway_exporter_flow_label_sets", Gauge, ["exporter", "group"],
        "Label sets held to send flow metrics as cumulative sums.";
    EXPORTER_FLOW_EXPIRED = "weir_gateway_exporter_flow_label_sets_expired_total", Counter, ["exporter", "group"],
        "Label sets of cumulative sums removed because no Point came for them.";
    EXPORTER_FLOW_FOLDED = "weir_gateway_exporter_flow_points_folded_total", Counter, ["exporter", "group"],
        "Points added to the ~other series of cumulative sums because the budget was used up.";
    EXPORTER_FLOW_LABEL_VALUES = "weir_gateway_exporter_flow_label_values", Gauge, ["exporter", "group", "tag"],
        "Values of a tag among the label sets held for cumulative sums, without ~other.";
    EXPORTER_FLOW_LABEL_VALUES_FOLDED = "weir_gateway_exporter_flow_label_values_folded_total", Counter, ["exporter", "group", "tag"],
        "Points whose value of a tag was written ~other in a cumulative sum because the budget of its values was used up.";
    EXPORTER_FLOW_VALUES_LEFT = "weir_gateway_exporter_flow_values_left_total", Counter, ["exporter", "group"],
        "Gauge values left out because they mean nothing on a series of cumulative sums with ~other.";

    OTLP_SERIES_POINTS = "weir_gateway_otlp_series_points_total", Counter, ["result"],
        "Metric data points that came over OTLP, by what became of them on the Prometheus page.";
    OTLP_SERIES_DROPPED = "weir_gateway_otlp_series_points_dropped_total", Counter, ["cause"],
        "Metric data points that came over OTLP and did not reach the Prometheus page.";
    OTLP_SERIES = "weir_gateway_otlp_series", Gauge, [],
        "Label sets held for metrics that came over OTLP.";
    OTLP_SERIES_EXPIRED = "weir_gateway_otlp_series_expired_total", Counter, [],
        "Label sets removed because no data point came for them.";
    OTLP_HELP_CONFLICTS = "weir_gateway_otlp_series_help_conflicts_total", Counter, [],
        "Metrics that came over OTLP with another description than the first of their name.";
    OTLP_TARGETS_DROPPED = "weir_gateway_otlp_targets_dropped_total", Counter, [],
        "Resources that came over OTLP and are not in target_info, which was full.";

    OTLP_EXEMPLARS = "weir_gateway_otlp_series_exemplars_total", Counter, ["result"],
        "Exemplars of counters and histograms that came over OTLP, by what became of them on the Prometheus page.";
    OTLP_SERIES_COARSE = "weir_gateway_otlp_series_too_coarse_total", Counter, [],
        "Exponential histograms that came over OTLP with a scale below -4: they have classic buckets in every format.";

    SPAN_METRICS_SPANS = "weir_gateway_span_metrics_spans_total", Counter, ["result"],
        "Spans counted by the span metrics, by where they went.";
    SPAN_METRICS_LABEL_SETS = "weir_gateway_span_metrics_label_sets", Gauge, [],
        "Label sets held for span metrics, without the ~other ones.";
    SPAN_METRICS_EXPIRED = "weir_gateway_span_metrics_label_sets_expired_total", Counter, [],
        "Label sets of span metrics removed because no span came for them.";

    RECEIVER_REQUESTS = "weir_gateway_otlp_receiver_requests_total", Counter, ["transport", "signal", "result", "status"],
        "OTLP requests, by what became of them and what the client was told.";
    RECEIVER_SECONDS = "weir_gateway_otlp_receiver_request_duration_seconds", Histogram, ["transport", "signal"],
        "Time from the headers of an OTLP request to its answer.";
    RECEIVER_WIRE_BYTES = "weir_gateway_otlp_receiver_wire_bytes_total", Counter, ["transport", "signal"],
        "Size of the bodies of OTLP requests as they came, compressed or not.";
    RECEIVER_BATCH_BYTES = "weir_gateway_otlp_receiver_batch_bytes_total", Counter, ["transport", "signal"],
        "Size of the OTLP requests as protobuf, after decompression.";
    RECEIVER_ITEMS = "weir_gateway_otlp_receiver_items_total", Counter, ["transport", "signal"],
        "Spans, data points and log records that were accepted.";
    RECEIVER_REJECTED = "weir_gateway_otlp_receiver_items_rejected_total", Counter, ["transport", "signal"],
        "Items of accepted requests that were not accepted; the client was told.";
    RECEIVER_CERTIFICATES = "weir_gateway_otlp_receiver_certificate_changes_total", Counter, ["transport", "result"],
        "Changes of the files with the certificates, by what became of them.";
    RECEIVER_CONNECTIONS = "weir_gateway_otlp_receiver_connections_total", Counter, ["transport", "event"],
        "What happened to connections of OTLP clients.";
    OTLP_WITHOUT_OUTPUT = "weir_gateway_otlp_without_output_items_total", Counter, ["signal"],
        "Items that were accepted and went nowhere, because no output for them is configured.";

    SCRIPTS = "weir_gateway_scripts", Gauge, ["namespace"],
        "Scripts that compiled.";
    SCRIPTS_BROKEN = "weir_gateway_scripts_broken", Gauge, ["namespace"],
        "Scripts whose latest text cannot be used.";
    LOOKUP_FILES = "weir_gateway_lookup_files", Gauge, ["kind"],
        "Files that scripts look something up in.";
    LOOKUP_FILES_BROKEN = "weir_gateway_lookup_files_broken", Gauge, ["kind"],
        "Files that cannot be used as they are now.";
    GEOIP_UNREADABLE = "weir_gateway_geoip_records_unreadable_total", Counter, [],
        "Records of GeoIP databases that could not be read.";
    SCRIPT_POINTS = "weir_gateway_script_points_total", Counter, ["category", "script", "namespace"],
        "Points given to a script.";
    SCRIPT_EDITED = "weir_gateway_script_points_edited_total", Counter, ["category", "script", "namespace"],
        "Points that a script has changed.";
    SCRIPT_DROPPED = "weir_gateway_script_points_dropped_total", Counter, ["category", "script", "namespace"],
        "Points that a script has dropped.";
    SCRIPT_EMITTED = "weir_gateway_script_points_emitted_total", Counter, ["category", "script", "namespace"],
        "Points that a script has added.";
    SCRIPT_ERRORS = "weir_gateway_script_errors_total", Counter, ["category", "script", "namespace"],
        "Points that a script has failed on; they went on as they were.";

    SUBSCRIBERS = "weir_gateway_subscribers", Gauge, [],
        "Subscriptions that are open.";
    SUBSCRIPTIONS_REFUSED = "weir_gateway_subscriptions_refused_total", Counter, ["cause"],
        "Subscriptions that were not opened.";
}
