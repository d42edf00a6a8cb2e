package runner

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/health"
	"github.com/orlop/orlop/spec"
)

// minimalDocument is an OCI document with what a change in place touches.
func minimalDocument(t *testing.T) typeurl.Any {
	t.Helper()
	doc := &specs.Spec{Process: &specs.Process{Cwd: "/"}, Linux: &specs.Linux{Resources: &specs.LinuxResources{}}}
	b, err := typeurl.MarshalAny(doc)
	must(t, err)
	return b
}

func TestARecordIsReadAsItWasKept(t *testing.T) {
	at := time.Unix(1_700_000_000, 0).UTC()
	want := record{
		metadata: metadata{
			ID: "id", Name: "shop-web-1", Project: "shop", Service: "web", Number: 1, OneOff: true, AutoRemove: true, Image: "web:1",
			Applied:    &planner.Applied{Service: &spec.Service{Restart: "always", Labels: map[string]string{"a": "b"}}, Image: "sha256:1"},
			StopSignal: "SIGQUIT", Probe: &health.Check{Args: []string{"true"}, Interval: time.Second}, Anonymous: map[string]string{"/a": "v"},
			LeftOut: []string{"/b"}, Netns: "/run/n", Hostname: "h", Command: []string{"c"}, Exposed: []string{"80/tcp"}, Version: "v1",
			Terminal: true, Stdin: true, WorkingDir: "/w", Files: []string{"/w/stack.yaml"}, CreatedAt: at,
		},
		status: status{
			State: planner.Running, Health: planner.Healthy, Wanted: true, Stopped: true, ExitCode: 3, OOMKilled: true, Restarts: 2, Error: "so",
			StartedAt: at, ExitedAt: at, Addresses: []string{"10.0.0.2"}, Published: []planner.Binding{{HostPort: 80}},
		},
	}
	k := &containers.Container{Labels: map[string]string{"containerd.io/x": "kept", "stale": "gone"}}
	must(t, want.extend(k))
	if k.Labels["containerd.io/x"] != "kept" || k.Labels["stale"] != "" || k.Labels["a"] != "b" {
		t.Errorf("its labels are %v", k.Labels)
	}
	doc, err := json.Marshal(want.status)
	must(t, err)
	got, err := readRecord(k, doc)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	for name, lost := range map[string][]byte{"none": nil, "damaged": []byte("{x")} {
		got, err := readRecord(k, lost)
		if err != nil || got.State != unknown || !reflect.DeepEqual(got.metadata, want.metadata) || !reflect.DeepEqual(got.status, status{}) {
			t.Errorf("%s: %v, %+v", name, err, got)
		}
	}
	if _, err := readRecord(&containers.Container{}, doc); !errors.Is(err, errNoMetadata) {
		t.Errorf("of a container that nothing is known of: %v", err)
	}
}

func TestAnOldRecordIsReadFromWhatIsLeftOfIt(t *testing.T) {
	const doc = `{"id":"a","applied":{"service":{"restart":"always"}},"state":"exited","stopped":true,"exit_code":3}`
	const first = `{"id":"a","applied":{"service":{"restart":"no"}},"state":"created"}`
	for name, test := range map[string]struct {
		doc, first string
		restart    string
		want       status
		err        error
	}{
		"both":         {doc, first, "always", status{State: planner.Exited, Stopped: true, ExitCode: 3}, nil},
		"the store":    {doc, "", "always", status{State: planner.Exited, Stopped: true, ExitCode: 3}, nil},
		"the file":     {"", first, "no", status{}, nil},
		"a status":     {`{"state":"running"}`, first, "no", status{}, nil},
		"nothing":      {"", "", "", status{}, errNoMetadata},
		"no document":  {`{"id":"a"}`, `{"id":"a"}`, "", status{}, errNoMetadata},
		"a broken one": {"{", "{", "", status{}, errNoMetadata},
	} {
		rec, err := readOldRecord([]byte(test.doc), []byte(test.first))
		if !errors.Is(err, test.err) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err == nil && (rec.Applied.Service.Restart != test.restart || !reflect.DeepEqual(rec.status, test.want)) {
			t.Errorf("%s: %+v", name, rec)
		}
	}
}

// A change in place is kept with the container or not at all.
func TestWhatIsChangedInPlaceIsKeptWithTheContainer(t *testing.T) {
	h := newHost(t)
	r := h.engine(t)
	c := h.add(t, r, of(planner.Exited, "no"))
	made := c.snapshot().metadata
	made.Applied = &planner.Applied{Service: &spec.Service{Restart: "always", Labels: map[string]string{"colour": "blue"}}}
	limit := int64(7)
	must(t, c.amend(r.ctx, made, func(doc *specs.Spec) { doc.Linux.Resources.Pids = &specs.LinuxPids{Limit: &limit} }))
	k, err := h.containers.Get(r.ctx, c.id)
	must(t, err)
	rec, err := readRecord(&k, nil)
	must(t, err)
	if rec.Applied.Service.Restart != "always" || k.Labels["colour"] != "blue" || !strings.Contains(string(k.Spec.GetValue()), `"limit":7`) {
		t.Errorf("kept is %+v with the labels %v, %s", rec.Applied.Service, k.Labels, k.Spec.GetValue())
	}
	must(t, h.containers.Delete(r.ctx, c.id))
	lost := made
	lost.Applied = &planner.Applied{Service: &spec.Service{Restart: "unless-stopped"}}
	if err := c.amend(r.ctx, lost, nil); err == nil || c.snapshot().Applied.Service.Restart != "always" {
		t.Errorf("%v, and the container counts as changed: %s", err, c.snapshot().Applied.Service.Restart)
	}
}

// TestWhatAnEarlierVersionLeftIsCarriedOver upgrades what 649de05 wrote.
func TestWhatAnEarlierVersionLeftIsCarriedOver(t *testing.T) {
	h, ids := oldHost(t)
	h.procs.run(ids["runs"])
	h.procs.run(ids["shares"])
	before := map[string]record{}
	docs, _ := h.store.Load(bucketContainers)
	for id, doc := range docs {
		var rec record
		must(t, json.Unmarshal(doc, &rec))
		before[id] = rec
	}
	for range 2 { // and the next engine finds it as it is
		r := h.engine(t)
		must(t, r.adopt(r.ctx))
		for service, id := range ids {
			c := r.lookup(id)
			if c == nil {
				t.Fatalf("%s is gone", service)
			}
			got, want := c.snapshot(), before[id]
			want.Health, got.Health = "", ""
			if !reflect.DeepEqual(got.metadata, want.metadata) {
				t.Errorf("%s was made from\n%+v, want\n%+v", service, got.metadata, want.metadata)
			}
			if !reflect.DeepEqual(got.status, want.status) {
				t.Errorf("%s is\n%+v, want\n%+v", service, got.status, want.status)
			}
			if _, err := os.Stat(filepath.Join(r.dir(id), "record.json")); !os.IsNotExist(err) {
				t.Errorf("%s still has a third record: %v", service, err)
			}
			if doc := h.store.docs[bucketContainers][id]; strings.Contains(string(doc), "applied") {
				t.Errorf("the store still says what %s was made from: %s", service, doc)
			}
		}
		if colour := r.lookup(ids["rests"]).snapshot().Applied.Service.Labels["colour"]; colour != "blue" {
			t.Errorf("what was changed in place is %q", colour)
		}
		r.Close()
	}
}

func TestAContainerWhoseStatusIsLostIsAdoptedAsItIs(t *testing.T) {
	for name, carried := range map[string]bool{"by an engine that kept what it was made from": true, "by 649de05": false} {
		h, ids := oldHost(t)
		for _, service := range []string{"runs", "shares"} {
			h.procs.run(ids[service])
		}
		colour := "red" // as it was made: 649de05 kept changes in the store alone
		if carried {
			r := h.engine(t)
			must(t, r.adopt(r.ctx))
			r.Close()
			colour = "blue"
		}
		h.store = newMemory()
		r := h.engine(t)
		must(t, r.adopt(r.ctx))
		if got := r.lookup(ids["runs"]).snapshot(); got.State != planner.Running || !got.Wanted || got.Stopped || got.Applied.Service.Labels["colour"] != colour {
			t.Errorf("%s: what ran is %+v, %s", name, got.status, got.Applied.Service.Labels["colour"])
		}
		if got := r.lookup(ids["rests"]).snapshot(); got.State != planner.Exited || got.Wanted || !got.Stopped || got.Applied.Service.Labels["colour"] != colour {
			t.Errorf("%s: what was stopped is %+v, %s", name, got.status, got.Applied.Service.Labels["colour"])
		}
		r.Close()
	}
}

func TestWhatWasNeverFinishedIsRemoved(t *testing.T) {
	h := newHost(t)
	r := h.engine(t)
	_, err := h.containers.Create(r.ctx, containers.Container{ID: "half", Runtime: containers.RuntimeInfo{Name: "io.containerd.runc.v2"}, Spec: minimalDocument(t)})
	must(t, err)
	h.procs.run("half")
	h.store.Save(bucketContainers, "gone", []byte(`{"state":"running"}`))
	must(t, r.adopt(r.ctx))
	if _, err := h.containers.Get(r.ctx, "half"); err == nil {
		t.Error("a container without a record is left")
	}
	if docs, _ := h.store.Load(bucketContainers); len(docs) > 0 || len(h.procs.all) > 0 {
		t.Errorf("left are %v, %v", docs, h.procs.all)
	}
}

// The addresses of a container whose status is lost are the network's to tell; who
// shares a network has those of its owner.
func TestWhoSharesANetworkIsFoundAtItsOwnersAddresses(t *testing.T) {
	h := newHost(t)
	r := h.engine(t)
	h.add(t, r, of(planner.Running, "no"))
	side := h.add(t, r, sharing("service:web"))
	for _, c := range r.containers {
		if c.made.Service == "web" {
			c.apply(connected{addresses: []string{"10.0.0.2"}})
		}
	}
	side.readdress()
	if got := side.snapshot().Addresses; len(got) != 1 || got[0] != "10.0.0.2" {
		t.Errorf("who shares a network is at %v", got)
	}
}

func TestVolumesInUseStay(t *testing.T) {
	h := newHost(t)
	r := h.engine(t)
	must(t, r.CreateVolume("data", map[string]string{"a": "b"}))
	rec := of(planner.Exited, "no")
	rec.Anonymous = map[string]string{"/data": "data"}
	c := h.add(t, r, rec)
	if _, err := r.RemoveVolume("data"); err == nil || !strings.Contains(err.Error(), "shop-web-1") {
		t.Errorf("a volume in use: %v", err)
	}
	list := r.Volumes()
	if len(list) != 1 || list[0].Labels["a"] != "b" || len(list[0].Users) != 1 {
		t.Errorf("the volumes are %+v", list)
	}
	must(t, c.remove(r.ctx, Grace{Set: true}, false))
	if was, err := r.RemoveVolume("data"); !was || err != nil {
		t.Errorf("a volume that nobody uses: %t, %v", was, err)
	}
	if was, err := r.RemoveVolume("data"); was || err != nil {
		t.Errorf("a volume that is gone: %t, %v", was, err)
	}
}
