// Emits every kind of telemetry that the Go SDK has: emit grpc|http/protobuf HOST:PORT none|gzip
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func delta(sdkmetric.InstrumentKind) metricdata.Temporality { return metricdata.DeltaTemporality }

type exporters struct {
	traces     sdktrace.SpanExporter
	cumulative sdkmetric.Exporter
	delta      sdkmetric.Exporter
	logs       sdklog.Exporter
}

func overGRPC(ctx context.Context, endpoint, compression string) (exporters, error) {
	t := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(endpoint), otlptracegrpc.WithInsecure()}
	m := []otlpmetricgrpc.Option{otlpmetricgrpc.WithEndpoint(endpoint), otlpmetricgrpc.WithInsecure()}
	l := []otlploggrpc.Option{otlploggrpc.WithEndpoint(endpoint), otlploggrpc.WithInsecure()}
	if compression == "gzip" {
		t = append(t, otlptracegrpc.WithCompressor("gzip"))
		m = append(m, otlpmetricgrpc.WithCompressor("gzip"))
		l = append(l, otlploggrpc.WithCompressor("gzip"))
	}
	var e exporters
	var failed [4]error
	e.traces, failed[0] = otlptracegrpc.New(ctx, t...)
	e.cumulative, failed[1] = otlpmetricgrpc.New(ctx, m...)
	e.delta, failed[2] = otlpmetricgrpc.New(ctx, append(m, otlpmetricgrpc.WithTemporalitySelector(delta))...)
	e.logs, failed[3] = otlploggrpc.New(ctx, l...)
	return e, errors.Join(failed[:]...)
}

func overHTTP(ctx context.Context, endpoint, compression string) (exporters, error) {
	t := []otlptracehttp.Option{otlptracehttp.WithEndpoint(endpoint), otlptracehttp.WithInsecure()}
	m := []otlpmetrichttp.Option{otlpmetrichttp.WithEndpoint(endpoint), otlpmetrichttp.WithInsecure()}
	l := []otlploghttp.Option{otlploghttp.WithEndpoint(endpoint), otlploghttp.WithInsecure()}
	if compression == "gzip" {
		t = append(t, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
		m = append(m, otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
		l = append(l, otlploghttp.WithCompression(otlploghttp.GzipCompression))
	}
	var e exporters
	var failed [4]error
	e.traces, failed[0] = otlptracehttp.New(ctx, t...)
	e.cumulative, failed[1] = otlpmetrichttp.New(ctx, m...)
	e.delta, failed[2] = otlpmetrichttp.New(ctx, append(m, otlpmetrichttp.WithTemporalitySelector(delta))...)
	e.logs, failed[3] = otlploghttp.New(ctx, l...)
	return e, errors.Join(failed[:]...)
}

func run(ctx context.Context, protocol, endpoint, compression string) error {
	open := overGRPC
	if strings.HasPrefix(protocol, "http") {
		open = overHTTP
	}
	e, err := open(ctx, endpoint, compression)
	if err != nil {
		return err
	}
	about := resource.NewWithAttributes("https://opentelemetry.io/schemas/1.30.0",
		attribute.String("service.name", "go-sdk"), attribute.Int("host.cpus", 2),
		attribute.Float64("ratio", 0.25), attribute.BoolSlice("flags", []bool{true, false}))
	tracers := sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithBatcher(e.traces))
	never := sdkmetric.WithInterval(time.Hour)
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithResource(about),
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(e.cumulative, never)),
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(e.delta, never)),
		sdkmetric.WithView(sdkmetric.NewView(sdkmetric.Instrument{Name: "request.size"},
			sdkmetric.Stream{Aggregation: sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}})))
	loggers := sdklog.NewLoggerProvider(sdklog.WithResource(about), sdklog.WithProcessor(sdklog.NewBatchProcessor(e.logs)))
	if err := emit(ctx, tracers, meters, loggers); err != nil {
		return err
	}
	return errors.Join(tracers.Shutdown(ctx), meters.Shutdown(ctx), loggers.Shutdown(ctx))
}

func emit(ctx context.Context, tracers *sdktrace.TracerProvider, meters *sdkmetric.MeterProvider, loggers *sdklog.LoggerProvider) error {
	meter := meters.Meter("stories.meter", metric.WithInstrumentationVersion("1.0.0"))
	requests, err1 := meter.Int64Counter("requests", metric.WithUnit("{request}"), metric.WithDescription("Requests taken"))
	active, err2 := meter.Int64UpDownCounter("active")
	duration, err3 := meter.Float64Histogram("request.duration", metric.WithUnit("s"))
	size, err4 := meter.Int64Histogram("request.size", metric.WithUnit("By"))
	_, err5 := meter.Float64ObservableGauge("temperature", metric.WithUnit("Cel"),
		metric.WithFloat64Callback(func(_ context.Context, to metric.Float64Observer) error {
			to.Observe(-3.5, metric.WithAttributes(attribute.String("room", "Ω")))
			return nil
		}))
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	tracer := tracers.Tracer("stories.tracer", trace.WithInstrumentationVersion("0.1"))
	logger := loggers.Logger("stories.logger")
	ctx, first := tracer.Start(ctx, "first", trace.WithSpanKind(trace.SpanKindServer))
	defer first.End()
	for number := range 20 {
		in, span := tracer.Start(ctx, fmt.Sprintf("GET /items/%d", number), trace.WithSpanKind(trace.SpanKindClient),
			trace.WithLinks(trace.Link{SpanContext: first.SpanContext(), Attributes: []attribute.KeyValue{attribute.String("why", "first")}}),
			trace.WithAttributes(attribute.String("text", strings.Repeat("ä", number)), attribute.Int("number", number),
				attribute.Float64("half", float64(number)/2), attribute.Bool("even", number%2 == 0),
				attribute.StringSlice("list", []string{"a", "b"})))
		span.AddEvent("looked up", trace.WithAttributes(attribute.Int("hits", number)))
		requests.Add(in, 1, metric.WithAttributes(attribute.Int("code", 200+number%3)))
		active.Add(in, int64(number%4-1))
		duration.Record(in, float64(number)/10, metric.WithAttributes(attribute.String("route", "/items")))
		size.Record(in, int64(number)*1000)
		var record log.Record
		record.SetTimestamp(time.Now())
		record.SetSeverity(log.SeverityWarn)
		record.SetSeverityText("WARN")
		record.SetEventName("item")
		record.SetBody(attribute.MapValue(attribute.Int("item", number),
			attribute.Slice("list", attribute.StringValue("two"), attribute.Float64Value(3.5)), attribute.ByteSlice("raw", []byte{0, 255})))
		record.AddAttributes(attribute.Int("number", number), attribute.KeyValue{Key: "nothing"})
		logger.Emit(in, record)
		if number == 7 {
			span.RecordError(errors.New("seven"))
			span.SetStatus(codes.Error, "it was seven")
		}
		span.End()
	}
	return nil
}

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
