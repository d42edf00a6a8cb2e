package display

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden holds a text against a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs:\n%s\nwant\n%s", path, got, want)
	}
}

// wholeUp are the events of a first up from its beginning to its end: the
// build decides how long it takes, and then the health of api.
func wholeUp(t *testing.T) *timeline {
	plan, events := halfWay(t)
	plan.Steps = append(plan.Steps, &planner.Step{
		ID: "await api ready", Action: planner.Await, Resource: "api ready", Service: "api", Condition: planner.Ready, Needs: []string{"create api/1"},
	})
	s := script{t, plan}
	part := func(name string, from, to float64, cached bool) planner.Event {
		return s.event(to, "build api", planner.Progressed, func(e *planner.Event) {
			e.Part = &planner.Part{Name: name, Began: at(from), Ended: at(to), Cached: cached}
		})
	}
	events = append(events,
		part("[base 1/2] FROM debian", 0.1, 0.1, true), part("[api 2/2] COPY . /src", 0.1, 0.4, false),
		part("[base 2/2] RUN apt-get install", 0.2, 2.0, false), part("exporting to image", 3.6, 4.0, false),
		s.event(2.0, "await db healthy", planner.Done, nil), s.event(3.1, "pull redis:7", planner.Done, nil),
		s.event(3.1, "create redis/1", planner.Started, nil), s.event(3.4, "create redis/1", planner.Done, nil),
		s.event(4.1, "build api", planner.Done, nil),
		s.event(4.3, "create api/1", planner.Started, nil), s.event(4.9, "create api/1", planner.Done, nil),
		s.event(4.9, "await api ready", planner.Started, nil), s.event(6.2, "await api ready", planner.Done, nil))
	times := newTimeline("up", at(-0.02))
	times.setPlan(plan)
	for _, e := range events {
		times.apply(e)
	}
	times.ended, times.ok = at(6.21), true
	return times
}

func TestTheCriticalPathIsWhatDecidedTheTime(t *testing.T) {
	times := wholeUp(t)
	golden(t, "trace/up.told", Lines(times.Told(Style{})))
	if got, want := spent(times.criticalPath(), 2), "4.1 s building api, 1.3 s waiting for api to be ready"; got != want {
		t.Errorf("spent is %q, want %q", got, want)
	}
	var sum time.Duration
	for _, l := range times.criticalPath() {
		sum += l.took
	}
	if total := times.last().ended.Sub(times.began); sum != total {
		t.Errorf("the legs sum up to %s, the whole is %s", sum, total)
	}
}

func TestWhatRunsBesideDoesNotCount(t *testing.T) {
	plan := &planner.Plan{Steps: []*planner.Step{
		{ID: "build a", Action: planner.Build, Resource: "a"}, {ID: "build b", Action: planner.Build, Resource: "b"},
		{ID: "create b/1", Action: planner.Create, Resource: "b/1", Needs: []string{"build b"}},
	}}
	s := script{t, plan}
	times := newTimeline("up", at(0))
	times.setPlan(plan)
	for _, e := range []planner.Event{
		s.event(0, "build a", planner.Started, nil), s.event(0, "build b", planner.Started, nil),
		s.event(2.9, "build a", planner.Done, nil), s.event(3, "build b", planner.Done, nil),
		s.event(3, "create b/1", planner.Started, nil), s.event(3.6, "create b/1", planner.Done, nil),
	} {
		times.apply(e)
	}
	if got, want := spent(times.criticalPath(), 3), "3.0 s building b, 0.6 s starting b/1"; got != want {
		t.Errorf("spent is %q, want %q", got, want)
	}
}

func TestAStepThatWaitsForItsTurnSaysSo(t *testing.T) {
	plan := &planner.Plan{Steps: []*planner.Step{
		{ID: "build a", Action: planner.Build, Resource: "a"}, {ID: "build b", Action: planner.Build, Resource: "b"},
		{ID: "build c", Action: planner.Build, Resource: "c"},
	}}
	s := script{t, plan}
	times := newTimeline("up", at(0))
	times.setPlan(plan)
	for _, e := range []planner.Event{
		s.event(0, "build a", planner.Started, nil), s.event(0, "build b", planner.Started, nil),
		s.event(2, "build a", planner.Done, nil), s.event(2, "build c", planner.Started, nil),
		s.event(2.5, "build b", planner.Done, nil), s.event(3, "build c", planner.Done, nil),
	} {
		times.apply(e)
	}
	if got, want := spent(times.criticalPath(), 2), "2.0 s queued behind 2 other steps, 1.0 s building c"; got != want {
		t.Errorf("spent is %q, want %q", got, want)
	}
}

func TestSeveralProgressesAreOneTimeline(t *testing.T) {
	clock := at(0)
	tr := &Tracer{verb: "ci", began: clock, now: func() time.Time { return clock }}
	tr.Join()
	progress := func(id string, action planner.Action, resource string, from, to float64) {
		plan := &planner.Plan{Project: "shop", Steps: []*planner.Step{{ID: id, Action: action, Resource: resource}}}
		s := script{t, plan}
		d := tr.beside(displays{})
		d.Plan(plan)
		d.Event(s.event(from, id, planner.Started, nil))
		d.Event(s.event(to, id, planner.Done, nil))
		clock = at(to)
		d.Abort()
	}
	progress("create web/1", planner.Create, "web/1", 0, 2)
	clock = at(2.1)
	ended := tr.Own(ActionTest, "checks")
	clock = at(6)
	ended(planner.Failed, "exit code 1")
	progress("create web/1", planner.Create, "web/1", 6, 6.5) // of an engine that came after
	progress("remove web/1", planner.Remove, "web/1", 7, 8)
	tr.EndWhole(false)
	text, err := writeTrace(tr.all)
	if err != nil {
		t.Fatal(err)
	}
	all, err := ReadTrace([]byte(text))
	if err != nil || len(all) != 1 {
		t.Fatalf("%d timelines, %v", len(all), err)
	}
	golden(t, "trace/ci.told", Lines(all[0].Told(Style{})))
}

func TestATraceIsAChromeTrace(t *testing.T) {
	text, err := writeTrace([]*timeline{wholeUp(t)})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "trace/up.json", text)
	var file struct {
		TraceEvents []map[string]any `json:"traceEvents"`
	}
	if err := json.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	// Slices of one row must not overlap, or a viewer draws them over each other.
	type row struct{ pid, tid float64 }
	until := map[row]float64{}
	named := map[row]bool{}
	for _, e := range file.TraceEvents {
		r := row{e["pid"].(float64), e["tid"].(float64)}
		switch e["ph"] {
		case "M":
			named[r] = true
		case "X":
			if e["cat"] == catVerb {
				continue // the whole, around its planning
			}
			if ts := e["ts"].(float64); ts < until[r] {
				t.Errorf("%v overlaps what is before it on its row", e)
			}
			until[r] = e["ts"].(float64) + e["dur"].(float64)
			if !named[r] {
				t.Errorf("the row of %v has no name", e)
			}
		default:
			t.Errorf("%v is no event that a viewer knows", e)
		}
	}
}

func TestATraceIsReadBackAsItWas(t *testing.T) {
	times := wholeUp(t)
	text, err := writeTrace([]*timeline{times, times})
	if err != nil {
		t.Fatal(err)
	}
	all, err := ReadTrace([]byte(text))
	if err != nil || len(all) != 2 {
		t.Fatalf("%d timelines, %v", len(all), err)
	}
	if got, want := Lines(all[1].Told(Style{})), Lines(times.Told(Style{})); got != want {
		t.Errorf("read back it tells\n%s\nwant\n%s", got, want)
	}
	for _, bad := range []string{"", "{}", `{"traceEvents":[{"ph":"X","cat":"step","pid":1,"args":{}}]}`} {
		if _, err := ReadTrace([]byte(bad)); err == nil {
			t.Errorf("%q is read as a trace", bad)
		}
	}
}

func TestATimelineGoesToTheCollector(t *testing.T) {
	var body []byte
	var asked *http.Request
	answer := http.StatusOK
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(answer)
	}))
	defer collector.Close()
	o := newOTLP(map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL + "/", "OTEL_EXPORTER_OTLP_HEADERS": "x-key=a%20b,other=c",
		"TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	})
	if err := o.send(t.Context(), wholeUp(t)); err != nil {
		t.Fatal(err)
	}
	if asked.URL.Path != "/v1/traces" || asked.Header.Get("X-Key") != "a b" || asked.Header.Get("Content-Type") != "application/json" {
		t.Errorf("asked was %s with %v", asked.URL, asked.Header)
	}
	var sent struct {
		ResourceSpans []struct {
			ScopeSpans []struct{ Spans []otlpSpan }
		}
	}
	if err := json.Unmarshal(body, &sent); err != nil {
		t.Fatal(err)
	}
	spans := sent.ResourceSpans[0].ScopeSpans[0].Spans
	byID := map[string]otlpSpan{}
	for _, s := range spans {
		byID[s.SpanID] = s
	}
	for _, s := range spans {
		above, known := byID[s.Parent]
		switch {
		case s.TraceID != "0af7651916cd43dd8448eb211c80319c" || len(s.SpanID) != 16:
			t.Errorf("%s has trace %q, ID %q", s.Name, s.TraceID, s.SpanID)
		case s.Name == "orlop up" && s.Parent != "b7ad6b7169203331", s.Name != "orlop up" && !known:
			t.Errorf("%s has parent %q", s.Name, s.Parent)
		case s.Name == "exporting to image" && above.Name != "build api":
			t.Errorf("%s belongs to %s", s.Name, above.Name)
		}
	}
	if len(spans) != 1+9+4 {
		t.Errorf("%d spans were sent", len(spans))
	}
	answer = http.StatusServiceUnavailable
	if err := o.send(t.Context(), wholeUp(t)); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("a collector that refuses: %v", err)
	}
}

func TestOnlyTheEnvironmentTurnsTheExportOn(t *testing.T) {
	for _, c := range []struct {
		env  string
		want string
	}{
		{"", "<nil>"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", "http://c:4318/v1/traces <nil>"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://c/t", "https://c/t <nil>"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318 OTEL_SDK_DISABLED=true", "<nil>"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4317 OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
			"http://c:4317/v1/traces cannot send a trace to http://c:4317/v1/traces: only OTLP over HTTP is spoken (OTEL_EXPORTER_OTLP_PROTOCOL=http/json)"},
	} {
		env := map[string]string{}
		for _, kv := range strings.Fields(c.env) {
			name, value, _ := strings.Cut(kv, "=")
			env[name] = value
		}
		got := "<nil>"
		if o := newOTLP(env); o != nil {
			got = fmt.Sprint(o.url, " ", o.problem)
		}
		if got != c.want {
			t.Errorf("%s gives %s, want %s", c.env, got, c.want)
		}
	}
}
