// Emits every kind of telemetry that the Node SDK has: emit.js grpc|http/protobuf|http/json ENDPOINT none|gzip
'use strict';

const { SpanKind, SpanStatusCode, context, trace } = require('@opentelemetry/api');
const { SeverityNumber } = require('@opentelemetry/api-logs');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { BatchLogRecordProcessor, LoggerProvider } = require('@opentelemetry/sdk-logs');
const {
  AggregationTemporality,
  AggregationType,
  MeterProvider,
  PeriodicExportingMetricReader,
} = require('@opentelemetry/sdk-metrics');
const { BasicTracerProvider, BatchSpanProcessor } = require('@opentelemetry/sdk-trace-base');

const [protocol, endpoint, compression] = process.argv.slice(2);
const kind = { grpc: 'grpc', 'http/protobuf': 'proto', 'http/json': 'http' }[protocol];
const { OTLPTraceExporter } = require(`@opentelemetry/exporter-trace-otlp-${kind}`);
const { OTLPMetricExporter } = require(`@opentelemetry/exporter-metrics-otlp-${kind}`);
const { OTLPLogExporter } = require(`@opentelemetry/exporter-logs-otlp-${kind}`);
const to = (signal) => ({
  url: kind === 'grpc' ? endpoint : `${endpoint}/v1/${signal}`,
  compression,
});

const resource = resourceFromAttributes({
  'service.name': 'node-sdk',
  'service.instance.id': 'one',
  'host.cpus': 2,
  ratio: 0.25,
  flags: [true, false],
  words: ['a', 'ü'],
});
const never = 3600000;
const reader = (temporalityPreference) =>
  new PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter({ ...to('metrics'), temporalityPreference }),
    exportIntervalMillis: never,
  });
const tracers = new BasicTracerProvider({
  resource,
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter(to('traces')))],
});
const meters = new MeterProvider({
  resource,
  readers: [reader(AggregationTemporality.CUMULATIVE), reader(AggregationTemporality.DELTA)],
  views: [
    {
      instrumentName: 'request.size',
      aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM },
    },
  ],
});
const loggers = new LoggerProvider({
  resource,
  processors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter(to('logs')) })],
});

async function main() {
  const meter = meters.getMeter('stories.meter', '1.0.0');
  const requests = meter.createCounter('requests', { unit: '{request}', description: 'Requests taken' });
  const active = meter.createUpDownCounter('active');
  const duration = meter.createHistogram('request.duration', { unit: 's' });
  const size = meter.createHistogram('request.size', { unit: 'By' });
  meter.createObservableGauge('temperature', { unit: 'Cel' }).addCallback((result) => {
    result.observe(-3.5, { room: 'Ω' });
    result.observe(21, { room: 'b' });
  });
  const tracer = tracers.getTracer('stories.tracer', '0.1');
  const logger = loggers.getLogger('stories.logger');
  const first = tracer.startSpan('first', { kind: SpanKind.SERVER });
  for (let number = 0; number < 20; number += 1) {
    const span = tracer.startSpan(
      `GET /items/${number}`,
      {
        kind: SpanKind.CLIENT,
        attributes: { text: 'ä'.repeat(number), number, half: number / 2 + 0.25, even: number % 2 === 0, list: ['a', 'b'] },
        links: [{ context: first.spanContext(), attributes: { why: 'first' } }],
      },
      trace.setSpan(context.active(), first),
    );
    span.addEvent('looked up', { hits: number });
    requests.add(1, { code: String(200 + (number % 3)) });
    active.add((number % 4) - 1);
    duration.record(number / 10, { route: '/items' });
    size.record(number * 1000);
    logger.emit({
      severityNumber: SeverityNumber.WARN,
      severityText: 'WARN',
      body: number % 2 ? `item ${number}` : { item: number, nested: { list: [1, 'two', 3.5, true] } },
      attributes: { number, big: 9007199254740991 },
      context: trace.setSpan(context.active(), span),
    });
    if (number === 7) {
      span.recordException(new Error('seven'));
      span.setStatus({ code: SpanStatusCode.ERROR, message: 'it was seven' });
    }
    span.end();
  }
  first.end();
  await tracers.shutdown();
  await meters.shutdown();
  await loggers.shutdown();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
