package runner

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/assembly"
	"github.com/orlop/orlop/runner/record"
	"github.com/orlop/orlop/runner/supervisor"
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

// A change in place is kept with the container or not at all.
func TestWhatIsChangedInPlaceIsKeptWithTheContainer(t *testing.T) {
	h := newHost(t)
	r := h.engine(t)
	c := h.add(t, r, of(planner.Exited, "no"))
	made := c.snapshot().Metadata
	made.Applied = &planner.Applied{Service: &spec.Service{Restart: "always", Labels: map[string]string{"colour": "blue"}}}
	limit := int64(7)
	must(t, c.amend(r.ctx, made, func(doc *specs.Spec) { doc.Linux.Resources.Pids = &specs.LinuxPids{Limit: &limit} }))
	k, err := h.containers.Get(r.ctx, c.id)
	must(t, err)
	rec, err := supervisor.ReadRecord(&k, nil)
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
	before := map[string]supervisor.Record{}
	docs, _ := h.store.Load(record.Bucket)
	for id, doc := range docs {
		var rec supervisor.Record
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
			if !reflect.DeepEqual(got.Metadata, want.Metadata) {
				t.Errorf("%s was made from\n%+v, want\n%+v", service, got.Metadata, want.Metadata)
			}
			if !reflect.DeepEqual(got.Status, want.Status) {
				t.Errorf("%s is\n%+v, want\n%+v", service, got.Status, want.Status)
			}
			if _, err := os.Stat(filepath.Join(r.dir(id), "record.json")); !os.IsNotExist(err) {
				t.Errorf("%s still has a third record: %v", service, err)
			}
			if doc := h.store.docs[record.Bucket][id]; strings.Contains(string(doc), "applied") {
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
			t.Errorf("%s: what ran is %+v, %s", name, got.Status, got.Applied.Service.Labels["colour"])
		}
		if got := r.lookup(ids["rests"]).snapshot(); got.State != planner.Exited || got.Wanted || !got.Stopped || got.Applied.Service.Labels["colour"] != colour {
			t.Errorf("%s: what was stopped is %+v, %s", name, got.Status, got.Applied.Service.Labels["colour"])
		}
		r.Close()
	}
}

func TestWhatWasNeverFinishedIsRemoved(t *testing.T) {
	h := newHost(t)
	r := h.engine(t)
	_, err := h.containers.Create(r.ctx, containers.Container{ID: "half", Runtime: containers.RuntimeInfo{Name: "io.containerd.runc.v2"}, Spec: minimalDocument(t)})
	must(t, err)
	must(t, os.MkdirAll(r.dir("half"), 0o700))
	h.procs.run("half")
	h.store.Save(record.Bucket, "gone", []byte(`{"state":"running"}`))
	must(t, r.adopt(r.ctx))
	if _, err := h.containers.Get(r.ctx, "half"); err == nil {
		t.Error("a container without a record is left")
	}
	if docs, _ := h.store.Load(record.Bucket); len(docs) > 0 || len(h.procs.all) > 0 {
		t.Errorf("left are %v, %v", docs, h.procs.all)
	}
}

// What can't be read may be all that is left of somebody's data.
func TestAContainerThatCannotBeReadIsLeftAlone(t *testing.T) {
	damage := func(t *testing.T, h *host, r *Runner, k *containers.Container) {
		t.Helper()
		must(t, of(planner.Running, "no").Extend(k))
		for _, kept := range k.Extensions {
			kept.(*anypb.Any).Value = []byte(`{"id":"half`)
		}
		must(t, os.MkdirAll(r.dir(k.ID), 0o700))
	}
	for name, test := range map[string]struct {
		make func(t *testing.T, h *host, r *Runner, k *containers.Container)
		ours bool
	}{
		"its metadata is damaged": {damage, true},
		"its metadata is damaged, its status is kept": {func(t *testing.T, h *host, r *Runner, k *containers.Container) {
			damage(t, h, r, k)
			h.store.Save(record.Bucket, k.ID, []byte(`{"state":"running"}`))
		}, true},
		"its metadata does not say of what it was made": {func(t *testing.T, h *host, r *Runner, k *containers.Container) {
			damage(t, h, r, k)
			for _, kept := range k.Extensions {
				kept.(*anypb.Any).Value = []byte(`{"id":"half"}`)
			}
		}, true},
		"its old record can't be read": {func(t *testing.T, h *host, r *Runner, k *containers.Container) {
			must(t, os.MkdirAll(filepath.Join(r.dir(k.ID), "record.json"), 0o700))
		}, true},
		"its old record is damaged": {func(t *testing.T, h *host, r *Runner, k *containers.Container) {
			must(t, os.MkdirAll(r.dir(k.ID), 0o700))
			must(t, os.WriteFile(filepath.Join(r.dir(k.ID), "record.json"), []byte(`{"id":"half`), 0o600))
		}, true},
		"ctr made it": {func(*testing.T, *host, *Runner, *containers.Container) {}, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			r := h.engine(t)
			k := containers.Container{ID: "half", Runtime: containers.RuntimeInfo{Name: "io.containerd.runc.v2"}, Spec: minimalDocument(t)}
			test.make(t, h, r, &k)
			_, err := h.containers.Create(r.ctx, k)
			must(t, err)
			h.procs.run("half")
			before, err := h.store.Load(record.Bucket)
			must(t, err)
			must(t, r.adopt(r.ctx))
			if _, err := h.containers.Get(r.ctx, "half"); err != nil {
				t.Errorf("containerd's container: %v", err)
			}
			if k, err := h.procs.of("half"); err != nil || k.status != tasktypes.Status_RUNNING {
				t.Errorf("its process does not run on: %v", err)
			}
			if _, err := os.Stat(r.dir("half")); test.ours && err != nil {
				t.Errorf("its directory: %v", err)
			}
			if after, _ := h.store.Load(record.Bucket); !reflect.DeepEqual(after, before) {
				t.Errorf("the store has %s, and had %s", after, before)
			}
		})
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
			c.apply(supervisor.Connected{Addresses: []string{"10.0.0.2"}})
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
	must(t, r.Inventory().CreateVolume("data", map[string]string{"a": "b"}))
	rec := of(planner.Exited, "no")
	rec.Anonymous = map[string]string{"/data": "data"}
	c := h.add(t, r, rec)
	if _, err := r.Inventory().RemoveVolume("data"); err == nil || !strings.Contains(err.Error(), "shop-web-1") {
		t.Errorf("a volume in use: %v", err)
	}
	list := r.Inventory().Volumes()
	if len(list) != 1 || list[0].Labels["a"] != "b" || len(list[0].Users) != 1 {
		t.Errorf("the volumes are %+v", list)
	}
	must(t, c.remove(r.ctx, Grace{Set: true}, false))
	if was, err := r.Inventory().RemoveVolume("data"); !was || err != nil {
		t.Errorf("a volume that nobody uses: %t, %v", was, err)
	}
	if was, err := r.Inventory().RemoveVolume("data"); was || err != nil {
		t.Errorf("a volume that is gone: %t, %v", was, err)
	}
}

// crashing is containerd's store of containers, whose engine is lost as soon as it
// has a container more.
type crashing struct {
	containers.Store
	flushed func() map[string][]byte // what is on the disk of the engine's store
	left    map[string][]byte
}

func (s *crashing) Create(ctx context.Context, k containers.Container) (containers.Container, error) {
	s.left = s.flushed()
	return s.Store.Create(ctx, k)
}

// An engine that is lost right after it has made a container leaves one that was
// never started, not one that somebody has stopped.
func TestAContainerIsCreatedForTheNextEngineToo(t *testing.T) {
	h := newHost(t)
	h.addImage(t, "busybox")
	disk := &onDisk{memory: h.store}
	store := &crashing{Store: h.containers, flushed: func() map[string][]byte { return disk.flushed }}
	h.containers = store
	r := h.engine(t)
	r.records = record.NewBook(disk, r.dir, r.log)
	c, err := r.create(r.ctx, assembly.Request{
		Project: "shop", Service: "web", Number: 1, Image: "busybox",
		Applied: &planner.Applied{Service: &spec.Service{NetworkMode: "host", Restart: "always"}},
	})
	must(t, err)
	c.op.Unlock()
	h.store = newMemory()
	for id, doc := range store.left {
		h.store.Save(record.Bucket, id, doc)
	}
	r.Close()
	next := h.engine(t)
	must(t, next.adopt(next.ctx))
	if got := next.lookup(c.id).snapshot(); got.State != planner.Created || got.Stopped || got.ExitCode != 0 {
		t.Errorf("it is %+v", got.Status)
	}
}

func TestAContainerThatCouldNotBeMadeLeavesNoStatus(t *testing.T) {
	h := newHost(t)
	h.addImage(t, "busybox")
	h.containers = refusing{h.containers}
	r := h.engine(t)
	_, err := r.create(r.ctx, assembly.Request{
		Project: "shop", Service: "web", Number: 1, Image: "busybox", Applied: &planner.Applied{Service: &spec.Service{NetworkMode: "host"}},
	})
	if docs, _ := h.store.Load(record.Bucket); err == nil || len(docs) > 0 {
		t.Errorf("%v, the store has %s", err, docs)
	}
}

// refusing is containerd's store of containers, which is full.
type refusing struct{ containers.Store }

func (refusing) Create(context.Context, containers.Container) (containers.Container, error) {
	return containers.Container{}, errors.New("no space left on device")
}

// onDisk is a Store that writes when it is told to, and no sooner.
type onDisk struct {
	*memory
	flushed map[string][]byte
}

func (s *onDisk) Flush() (err error) {
	s.flushed, err = s.Load(record.Bucket)
	return err
}
