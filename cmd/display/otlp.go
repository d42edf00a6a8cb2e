package display

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/orlop/orlop/planner"
)

// otlp sends timelines to an OpenTelemetry collector, as JSON over HTTP. The
// protocol is a small document: its SDK would double what the command links.
type otlp struct {
	url     string
	headers map[string]string
	service string
	parent  string // trace ID and span ID of the caller, or ""
	trace   string
	problem error // what the environment asks for can't be done
}

// newOTLP reads OpenTelemetry's standard variables; nil where they name no
// collector.
func newOTLP(env map[string]string) *otlp {
	o := &otlp{url: env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"], headers: map[string]string{}, service: cmp.Or(env["OTEL_SERVICE_NAME"], "orlop")}
	if base := env["OTEL_EXPORTER_OTLP_ENDPOINT"]; o.url == "" && base != "" {
		o.url = strings.TrimSuffix(base, "/") + "/v1/traces"
	}
	if o.url == "" || env["OTEL_SDK_DISABLED"] == "true" || env["OTEL_TRACES_EXPORTER"] == "none" {
		return nil
	}
	protocol := cmp.Or(env["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"], env["OTEL_EXPORTER_OTLP_PROTOCOL"])
	if u, err := url.Parse(o.url); err != nil || u.Scheme != "http" && u.Scheme != "https" || protocol == "grpc" {
		o.problem = fmt.Errorf("cannot send a trace to %s: only OTLP over HTTP is spoken (OTEL_EXPORTER_OTLP_PROTOCOL=http/json)", o.url)
	}
	for pair := range strings.SplitSeq(cmp.Or(env["OTEL_EXPORTER_OTLP_TRACES_HEADERS"], env["OTEL_EXPORTER_OTLP_HEADERS"]), ",") {
		name, value, ok := strings.Cut(pair, "=")
		if value, err := url.QueryUnescape(strings.TrimSpace(value)); ok && err == nil {
			o.headers[strings.TrimSpace(name)] = value
		}
	}
	o.trace = randomHex(16)
	// W3C Trace Context: version-trace-parent-flags.
	if parts := strings.Split(env["TRACEPARENT"], "-"); len(parts) == 4 && len(parts[1]) == 32 && len(parts[2]) == 16 {
		o.trace, o.parent = parts[1], parts[2]
	}
	return o
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// otlpSpan is a span of OTLP's JSON (opentelemetry.proto.trace.v1.Span).
type otlpSpan struct {
	TraceID    string          `json:"traceId"`
	SpanID     string          `json:"spanId"`
	Parent     string          `json:"parentSpanId,omitempty"`
	Name       string          `json:"name"`
	Kind       int             `json:"kind"`
	Start      string          `json:"startTimeUnixNano"`
	End        string          `json:"endTimeUnixNano"`
	Attributes []otlpAttribute `json:"attributes,omitempty"`
	Status     *otlpStatus     `json:"status,omitempty"`
}

type otlpAttribute struct {
	Key   string            `json:"key"`
	Value map[string]string `json:"value"`
}

type otlpStatus struct {
	Code    int    `json:"code"`
	Message string `json:"message,omitempty"`
}

// Numbers of the protocol.
const (
	otlpInternal = 1 // a span's kind
	otlpError    = 2 // a status
)

func attribute(key, value string) otlpAttribute {
	return otlpAttribute{Key: key, Value: map[string]string{"stringValue": value}}
}

// spans are a timeline as spans: the verb, its steps, and the parts of builds.
// newID gives IDs.
func (o *otlp) spans(t *timeline, newID func() string) []otlpSpan {
	var out []otlpSpan
	add := func(parent, name string, began, ended time.Time, attributes ...otlpAttribute) *otlpSpan {
		if ended.Before(began) {
			ended = began
		}
		out = append(out, otlpSpan{
			TraceID: o.trace, SpanID: newID(), Parent: parent, Name: name, Kind: otlpInternal,
			Start: strconv.FormatInt(began.UnixNano(), 10), End: strconv.FormatInt(ended.UnixNano(), 10), Attributes: attributes,
		})
		return &out[len(out)-1]
	}
	root := add(o.parent, "orlop "+t.verb, t.began, t.ended, attribute("orlop.project", t.project))
	if !t.ok {
		root.Status = &otlpStatus{Code: otlpError}
	}
	rootID := root.SpanID
	for _, s := range t.stretches {
		if s.began.IsZero() || s.ended.IsZero() {
			continue
		}
		step := add(rootID, s.id, s.began, s.ended, attribute("orlop.action", string(s.action)), attribute("orlop.service", s.service),
			attribute("orlop.outcome", string(s.outcome)))
		if s.outcome == planner.Failed {
			step.Status = &otlpStatus{Code: otlpError, Message: s.text}
		}
		stepID := step.SpanID
		for _, p := range s.parts {
			part := add(stepID, p.Name, p.Began, p.Ended, attribute("orlop.cached", strconv.FormatBool(p.Cached)))
			if p.Error != "" {
				part.Status = &otlpStatus{Code: otlpError, Message: p.Error}
			}
		}
	}
	return out
}

// send sends a timeline.
func (o *otlp) send(ctx context.Context, t *timeline) error {
	if o.problem != nil {
		return o.problem
	}
	body, err := json.Marshal(map[string]any{"resourceSpans": []any{map[string]any{
		"resource":   map[string]any{"attributes": []otlpAttribute{attribute("service.name", o.service)}},
		"scopeSpans": []any{map[string]any{"scope": map[string]string{"name": "orlop"}, "spans": o.spans(t, func() string { return randomHex(8) })}},
	}}})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("cannot send the trace to %s: %w", o.url, err)
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range o.headers {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("cannot send the trace: %w", err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16))
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("cannot send the trace to %s: it answers %s", o.url, res.Status)
	}
	return nil
}
