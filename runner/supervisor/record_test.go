package supervisor

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/containers"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/health"
	"github.com/orlop/orlop/spec"
)

func TestARecordIsReadAsItWasKept(t *testing.T) {
	at := time.Unix(1_700_000_000, 0).UTC()
	want := Record{
		Metadata: Metadata{
			ID: "id", Name: "shop-web-1", Project: "shop", Service: "web", Number: 1, OneOff: true, AutoRemove: true, Image: "web:1",
			Applied:    &planner.Applied{Service: &spec.Service{Restart: "always", Labels: map[string]string{"a": "b"}}, Image: "sha256:1"},
			StopSignal: "SIGQUIT", Probe: &health.Check{Args: []string{"true"}, Interval: time.Second}, Anonymous: map[string]string{"/a": "v"},
			LeftOut: []string{"/b"}, Binds: map[string]string{"/b": "file"}, Netns: "/run/n", Hostname: "h", Command: []string{"c"}, Exposed: []string{"80/tcp"}, Version: "v1",
			Terminal: true, Stdin: true, WorkingDir: "/w", Files: []string{"/w/stack.yaml"}, CreatedAt: at,
		},
		Status: Status{
			State: planner.Running, Health: planner.Healthy, Wanted: true, Stopped: true, ExitCode: 3, OOMKilled: true, Restarts: 2, Error: "so",
			StartedAt: at, ExitedAt: at, Addresses: []string{"10.0.0.2"}, Published: []planner.Binding{{HostPort: 80}},
		},
	}
	k := &containers.Container{Labels: map[string]string{"containerd.io/x": "kept", "stale": "gone"}}
	must(t, want.Extend(k))
	if k.Labels["containerd.io/x"] != "kept" || k.Labels["stale"] != "" || k.Labels["a"] != "b" {
		t.Errorf("its labels are %v", k.Labels)
	}
	doc, err := json.Marshal(want.Status)
	must(t, err)
	got, err := ReadRecord(k, doc)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	for name, lost := range map[string][]byte{"none": nil, "damaged": []byte("{x")} {
		got, err := ReadRecord(k, lost)
		if err != nil || got.State != Unknown || !reflect.DeepEqual(got.Metadata, want.Metadata) || !reflect.DeepEqual(got.Status, Status{}) {
			t.Errorf("%s: %v, %+v", name, err, got)
		}
	}
	if _, err := ReadRecord(&containers.Container{}, doc); !errors.Is(err, ErrNoMetadata) {
		t.Errorf("of a container that nothing is known of: %v", err)
	}
}

func TestAnOldRecordIsReadFromWhatIsLeftOfIt(t *testing.T) {
	const doc = `{"id":"a","applied":{"service":{"restart":"always"}},"state":"exited","stopped":true,"exit_code":3}`
	const first = `{"id":"a","applied":{"service":{"restart":"no"}},"state":"created"}`
	for name, test := range map[string]struct {
		doc, first string
		restart    string
		want       Status
		err        error
	}{
		"both":         {doc, first, "always", Status{State: planner.Exited, Stopped: true, ExitCode: 3}, nil},
		"the store":    {doc, "", "always", Status{State: planner.Exited, Stopped: true, ExitCode: 3}, nil},
		"the file":     {"", first, "no", Status{}, nil},
		"a status":     {`{"state":"running"}`, first, "no", Status{}, nil},
		"nothing":      {"", "", "", Status{}, ErrNoMetadata},
		"no document":  {`{"id":"a"}`, `{"id":"a"}`, "", Status{}, ErrDamaged},
		"a broken one": {"{", "{", "", Status{}, ErrDamaged},
	} {
		rec, err := ReadOldRecord([]byte(test.doc), []byte(test.first))
		if !errors.Is(err, test.err) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err == nil && (rec.Applied.Service.Restart != test.restart || !reflect.DeepEqual(rec.Status, test.want)) {
			t.Errorf("%s: %+v", name, rec)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
