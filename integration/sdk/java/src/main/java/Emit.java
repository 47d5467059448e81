import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.common.Value;
import io.opentelemetry.api.logs.Severity;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.context.Context;
import io.opentelemetry.exporter.otlp.http.logs.OtlpHttpLogRecordExporter;
import io.opentelemetry.exporter.otlp.http.metrics.OtlpHttpMetricExporter;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.logs.OtlpGrpcLogRecordExporter;
import io.opentelemetry.exporter.otlp.metrics.OtlpGrpcMetricExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.sdk.logs.SdkLoggerProvider;
import io.opentelemetry.sdk.logs.export.BatchLogRecordProcessor;
import io.opentelemetry.sdk.logs.export.LogRecordExporter;
import io.opentelemetry.sdk.metrics.Aggregation;
import io.opentelemetry.sdk.metrics.InstrumentSelector;
import io.opentelemetry.sdk.metrics.SdkMeterProvider;
import io.opentelemetry.sdk.metrics.View;
import io.opentelemetry.sdk.metrics.export.AggregationTemporalitySelector;
import io.opentelemetry.sdk.metrics.export.MetricExporter;
import io.opentelemetry.sdk.metrics.export.PeriodicMetricReader;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** Emits every kind of telemetry that the Java SDK has: Emit grpc|http/protobuf ENDPOINT none|gzip. */
public final class Emit {
  private static final Duration NEVER = Duration.ofHours(1);

  private final boolean grpc;
  private final String endpoint;
  private final String compression;

  private Emit(String protocol, String endpoint, String compression) {
    this.grpc = protocol.equals("grpc");
    this.endpoint = endpoint;
    this.compression = compression;
  }

  private SpanExporter spans() {
    return grpc
        ? OtlpGrpcSpanExporter.builder().setEndpoint(endpoint).setCompression(compression).build()
        : OtlpHttpSpanExporter.builder().setEndpoint(endpoint + "/v1/traces").setCompression(compression).build();
  }

  private LogRecordExporter logs() {
    return grpc
        ? OtlpGrpcLogRecordExporter.builder().setEndpoint(endpoint).setCompression(compression).build()
        : OtlpHttpLogRecordExporter.builder().setEndpoint(endpoint + "/v1/logs").setCompression(compression).build();
  }

  private MetricExporter metrics(AggregationTemporalitySelector temporality) {
    return grpc
        ? OtlpGrpcMetricExporter.builder()
            .setEndpoint(endpoint)
            .setCompression(compression)
            .setAggregationTemporalitySelector(temporality)
            .build()
        : OtlpHttpMetricExporter.builder()
            .setEndpoint(endpoint + "/v1/metrics")
            .setCompression(compression)
            .setAggregationTemporalitySelector(temporality)
            .build();
  }

  private PeriodicMetricReader reader(AggregationTemporalitySelector temporality) {
    return PeriodicMetricReader.builder(metrics(temporality)).setInterval(NEVER).build();
  }

  private boolean run() {
    Resource resource =
        Resource.getDefault()
            .merge(
                Resource.create(
                    Attributes.builder()
                        .put("service.name", "java-sdk")
                        .put("host.cpus", 2)
                        .put("ratio", 0.25)
                        .put("flags", true, false)
                        .build()));
    SdkTracerProvider tracers =
        SdkTracerProvider.builder()
            .setResource(resource)
            .addSpanProcessor(BatchSpanProcessor.builder(spans()).build())
            .build();
    SdkMeterProvider meters =
        SdkMeterProvider.builder()
            .setResource(resource)
            .registerMetricReader(reader(AggregationTemporalitySelector.alwaysCumulative()))
            .registerMetricReader(reader(AggregationTemporalitySelector.deltaPreferred()))
            .registerView(
                InstrumentSelector.builder().setName("request.size").build(),
                View.builder().setAggregation(Aggregation.base2ExponentialBucketHistogram()).build())
            .build();
    SdkLoggerProvider loggers =
        SdkLoggerProvider.builder()
            .setResource(resource)
            .addLogRecordProcessor(BatchLogRecordProcessor.builder(logs()).build())
            .build();
    emit(tracers, meters, loggers);
    boolean sent =
        tracers.forceFlush().join(20, TimeUnit.SECONDS).isSuccess()
            & meters.forceFlush().join(20, TimeUnit.SECONDS).isSuccess()
            & loggers.forceFlush().join(20, TimeUnit.SECONDS).isSuccess();
    tracers.close();
    meters.close();
    loggers.close();
    return sent;
  }

  private static void emit(SdkTracerProvider tracers, SdkMeterProvider meters, SdkLoggerProvider loggers) {
    var meter = meters.meterBuilder("stories.meter").setInstrumentationVersion("1.0.0").build();
    var requests = meter.counterBuilder("requests").setUnit("{request}").setDescription("Requests taken").build();
    var active = meter.upDownCounterBuilder("active").build();
    var duration = meter.histogramBuilder("request.duration").setUnit("s").build();
    var size = meter.histogramBuilder("request.size").ofLongs().setUnit("By").build();
    meter
        .gaugeBuilder("temperature")
        .setUnit("Cel")
        .buildWithCallback(to -> to.record(-3.5, Attributes.of(AttributeKey.stringKey("room"), "Ω")));
    var tracer = tracers.tracerBuilder("stories.tracer").setInstrumentationVersion("0.1").build();
    var logger = loggers.loggerBuilder("stories.logger").build();
    var first = tracer.spanBuilder("first").setSpanKind(SpanKind.SERVER).startSpan();
    for (int number = 0; number < 20; number++) {
      var span =
          tracer
              .spanBuilder("GET /items/" + number)
              .setParent(Context.root().with(first))
              .setSpanKind(SpanKind.CLIENT)
              .addLink(first.getSpanContext(), Attributes.of(AttributeKey.stringKey("why"), "first"))
              .setAttribute("text", "ä".repeat(number))
              .setAttribute("number", number)
              .setAttribute("half", number / 2.0)
              .setAttribute("even", number % 2 == 0)
              .setAttribute(AttributeKey.stringArrayKey("list"), java.util.List.of("a", "b"))
              .startSpan();
      var context = Context.root().with(span);
      span.addEvent("looked up", Attributes.of(AttributeKey.longKey("hits"), (long) number));
      requests.add(1, Attributes.of(AttributeKey.longKey("code"), 200L + number % 3), context);
      active.add(number % 4 - 1, Attributes.empty(), context);
      duration.record(number / 10.0, Attributes.of(AttributeKey.stringKey("route"), "/items"), context);
      size.record(number * 1000L, Attributes.empty(), context);
      logger
          .logRecordBuilder()
          .setContext(context)
          .setSeverity(Severity.WARN)
          .setSeverityText("WARN")
          .setBody(
              Value.of(
                  java.util.Map.of(
                      "item", Value.of(number), "list", Value.of(Value.of("two"), Value.of(3.5)))))
          .setAttribute(AttributeKey.longKey("number"), (long) number)
          .emit();
      if (number == 7) {
        span.recordException(new IllegalStateException("seven"));
        span.setStatus(StatusCode.ERROR, "it was seven");
      }
      span.end();
    }
    first.end();
  }

  public static void main(String[] arguments) {
    boolean sent = new Emit(arguments[0], arguments[1], arguments[2]).run();
    System.exit(sent ? 0 : 1);
  }
}
