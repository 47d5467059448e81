"""Emits every kind of telemetry that the Python SDK has: emit.py grpc|http/protobuf ENDPOINT none|gzip"""

import logging
import sys

from opentelemetry import metrics, trace
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import (
    ExponentialBucketHistogramAggregation,
    View,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

protocol, endpoint, compression = sys.argv[1:4]

if protocol == "grpc":
    from grpc import Compression
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    chosen = Compression.Gzip if compression == "gzip" else Compression.NoCompression
    common = lambda _: {"endpoint": endpoint, "insecure": True, "compression": chosen}
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    chosen = Compression.Gzip if compression == "gzip" else Compression.NoCompression
    common = lambda signal: {"endpoint": f"{endpoint}/v1/{signal}", "compression": chosen}

resource = Resource.create(
    {
        "service.name": "python-sdk",
        "service.namespace": "stories",
        "deployment.environment.name": "tést",
        "host.cpus": 2,
        "flags": [True, False],
        "ratios": [0.5, 1.5],
    }
)

tracers = TracerProvider(resource=resource)
tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(**common("traces"))))
meters = MeterProvider(
    resource=resource,
    metric_readers=[
        PeriodicExportingMetricReader(OTLPMetricExporter(**common("metrics")), 3_600_000),
        PeriodicExportingMetricReader(
            OTLPMetricExporter(
                **common("metrics"),
                preferred_temporality={
                    Counter: AggregationTemporality.DELTA,
                    Histogram: AggregationTemporality.DELTA,
                },
            ),
            3_600_000,
        ),
    ],
    views=[
        View(
            instrument_name="request.size",
            aggregation=ExponentialBucketHistogramAggregation(),
        )
    ],
)
loggers = LoggerProvider(resource=resource)
loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(**common("logs"))))

meter = meters.get_meter("stories.meter", "1.2.3", schema_url="https://opentelemetry.io/schemas/1.30.0")
requests = meter.create_counter("requests", "{request}", "Requests taken")
active = meter.create_up_down_counter("active", "1", "Requests under way")
duration = meter.create_histogram("request.duration", "s", "Time of a request")
size = meter.create_histogram("request.size", "By", "Size of a request")
meter.create_observable_gauge(
    "temperature",
    callbacks=[lambda _: [metrics.Observation(-3.5, {"room": "Ω"}), metrics.Observation(21, {"room": "b"})]],
    unit="Cel",
)

log = logging.getLogger("stories")
log.setLevel(logging.DEBUG)
log.propagate = False
log.addHandler(LoggingHandler(logger_provider=loggers))

tracer = tracers.get_tracer("stories.tracer", "0.1")
other = tracers.get_tracer("stories.other", attributes={"scope": "attribute"})
with tracer.start_as_current_span("first", kind=SpanKind.SERVER) as first:
    linked = first.get_span_context()
for number in range(20):
    with tracer.start_as_current_span(
        f"GET /items/{number}",
        kind=SpanKind.CLIENT,
        attributes={"text": "ä" * number, "number": number, "half": number / 2, "even": number % 2 == 0, "list": ["a", "b"]},
        links=[Link(linked, {"why": "first"})],
    ) as span:
        span.add_event("looked up", {"hits": number})
        requests.add(1, {"code": str(200 + number % 3)})
        active.add(number % 4 - 1)
        duration.record(number / 10, {"route": "/items"})
        size.record(number * 1000)
        log.warning("item %d of %s", number, "twenty", extra={"item": number, "ok": True})
        with other.start_as_current_span("inner") as inner:
            if number == 7:
                inner.record_exception(ValueError("seven"))
                inner.set_status(Status(StatusCode.ERROR, "it was seven"))

ok = tracers.force_flush() and meters.force_flush() and loggers.force_flush()
tracers.shutdown()
meters.shutdown()
loggers.shutdown()
sys.exit(0 if ok else 1)
