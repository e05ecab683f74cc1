package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/topiq/topiq/api/traces"
	"github.com/topiq/topiq/service"
)

// tracing makes spans and sends them away. A nil one makes none.
type tracing struct {
	provider *sdktrace.TracerProvider
	traces   *traces.Traces
}

// tracesTimeout bounds how long an end waits for a collector that may not be there.
const tracesTimeout = 5 * time.Second

// startTraces begins to send spans to where the variables OTEL_EXPORTER_OTLP_… say. The sampler is that of
// OTEL_TRACES_SAMPLER. Where spans are made faster than they are taken, those that do not fit into the queue of the
// SDK are dropped.
func startTraces(ctx context.Context, where string, log *slog.Logger) (*tracing, error) {
	if where != "otlp" {
		return nil, nil //nolint:nilnil // none is a value
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("--traces: %w", err)
	}
	// What the environment says comes last, and wins.
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName("topiq"), semconv.ServiceVersion(version)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("--traces: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithBatcher(logged{exporter, log}))
	return &tracing{provider, traces.New(provider)}, nil
}

// tracer is for the broker.
func (t *tracing) tracer() service.Tracer {
	if t == nil {
		return nil
	}
	return t.traces
}

// wrap puts spans around the requests to a handler.
func (t *tracing) wrap(handler http.Handler) http.Handler {
	if t == nil {
		return handler
	}
	return t.traces.Handler(handler)
}

// end sends what is left. That a collector does not take it is no failure of the broker. ctx may have ended.
func (t *tracing) end(ctx context.Context, log *slog.Logger) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tracesTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		log.WarnContext(ctx, "the last spans were not sent", "error", err)
	}
}

// logged is an exporter whose failures are logged here, and not by the SDK, which knows only one logger for all of a
// process.
type logged struct {
	sdktrace.SpanExporter
	log *slog.Logger
}

// ExportSpans implements sdktrace.SpanExporter.
func (l logged) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := l.SpanExporter.ExportSpans(ctx, spans); err != nil {
		l.log.WarnContext(ctx, "spans were not sent", "spans", len(spans), "error", err)
	}
	return nil
}
