package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/moby/sys/signal"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/health"
	"github.com/orlop/orlop/spec"
)

// networkRecord is what is kept of a network besides what the network package
// keeps of it.
type networkRecord struct {
	Project string        `json:"project"`
	Key     string        `json:"key"`
	Applied *spec.Network `json:"applied"`
	Subnet  string        `json:"subnet,omitempty"` // kept, so that it is the same after a reboot
}

func (r *Runner) saveNetwork(name string, rec networkRecord) {
	if b, err := json.Marshal(rec); err == nil {
		r.store.Save(bucketNetworks, name, b)
	}
}

// restoreNetworks makes the networks anew that a reboot took.
func (r *Runner) restoreNetworks(ctx context.Context) error {
	docs, err := r.store.Load(bucketNetworks)
	if err != nil {
		return err
	}
	for name, doc := range docs {
		var rec networkRecord
		if err := json.Unmarshal(doc, &rec); err != nil || rec.Applied == nil {
			r.store.Delete(bucketNetworks, name)
			continue
		}
		if _, ok := r.nets.Network(name); ok {
			within, err := rangeOf(rec.Applied)
			if err == nil {
				err = r.nets.SetRange(name, within)
			}
			if err != nil {
				r.log.Warn("cannot bound the addresses of a network", "network", name, "error", err)
			}
			continue
		}
		if _, err := r.ensureNetwork(ctx, name, rec); err != nil {
			r.log.Warn("cannot make a network again", "network", name, "error", err)
		}
	}
	return nil
}

// removeNetwork removes a network that nothing is attached to.
func (r *Runner) removeNetwork(ctx context.Context, name string) error {
	if err := r.nets.RemoveNetwork(ctx, name); err != nil {
		return err
	}
	r.store.Delete(bucketNetworks, name)
	return nil
}

// Observe takes a snapshot of what exists of a project. The project's
// document may be nil; then images and external things are left out. inputs
// tells what an image was built from.
func (r *Runner) Observe(ctx context.Context, name string, p *spec.Project, inputs func(ref string) *planner.Inputs) (*planner.Observed, error) {
	o := &planner.Observed{Networks: map[string]planner.Network{}, Containers: r.Containers(name)}
	docs, err := r.store.Load(bucketNetworks)
	if err != nil {
		return nil, err
	}
	wantVolumes := map[string]bool{}
	wantNetworks := map[string]bool{}
	var refs []string
	if p != nil {
		for _, v := range p.Volumes {
			wantVolumes[v.Name] = true
		}
		for _, n := range p.Networks {
			wantNetworks[n.Name] = true
		}
		for _, services := range []map[string]*spec.Service{p.Services, p.Bases} {
			for service := range services {
				refs = append(refs, p.ImageName(service))
			}
		}
	}
	for _, n := range r.nets.Networks() {
		var rec networkRecord
		if json.Unmarshal(docs[n.Name], &rec) != nil {
			rec = networkRecord{Project: n.Labels["project"], Key: n.Labels["key"]}
		}
		if rec.Project == name || wantNetworks[n.Name] {
			o.Networks[n.Name] = planner.Network{Name: n.Name, Project: rec.Project, Key: rec.Key, Applied: rec.Applied, Subnet: n.Subnet.String(), Guests: r.guests(name, n.Name)}
		}
	}
	for i, c := range o.Containers {
		if k := r.lookup(c.ID); k != nil {
			rec := k.snapshot()
			o.Containers[i].Adrift = r.isAdrift(&rec)
		}
	}
	o.Volumes = r.volumes.Observe(name, wantVolumes)
	o.Absent = absentSources(p)
	slices.Sort(refs)
	o.At = r.Now()
	o.Images, err = r.Images.FindAll(ctx, slices.Compact(refs), inputs)
	return o, err
}

// absentSources are the host paths that a project mounts and that don't exist.
func absentSources(p *spec.Project) []string {
	if p == nil {
		return nil
	}
	var out []string
	for _, s := range p.Services {
		for _, m := range s.Volumes {
			if m.Type != spec.MountBind {
				continue
			}
			if _, err := os.Lstat(m.Source); errors.Is(err, fs.ErrNotExist) {
				out = append(out, m.Source)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// failedError is a container that did not become what was awaited; its last
// lines explain it.
type failedError struct {
	text  string
	lines []string
}

func (e *failedError) Error() string   { return e.text }
func (e *failedError) Lines() []string { return e.lines }

// Steady waits until each container of a project that has no health check has
// run for a while, or does not run any more.
func (r *Runner) Steady(ctx context.Context, project string) {
	for {
		var left time.Duration
		for _, c := range r.Containers(project) {
			if !c.OneOff && c.State == planner.Running && c.Health == planner.NoHealth {
				left = max(left, health.SteadyRun-r.Now().Sub(c.StartedAt))
			}
		}
		if left <= 0 {
			return
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// explain adds the last lines that the service's containers printed.
func (r *Runner) explain(project, service string, err error) error {
	var lines []string
	for _, c := range r.Containers(project) {
		if c.Service == service && !c.OneOff && c.State != planner.Created {
			lines = append(lines, r.LastLines(c.ID, 20)...)
		}
	}
	return &failedError{text: err.Error(), lines: lines[max(0, len(lines)-20):]}
}

// parseSignal reads a name or number; "" is SIGKILL, as for Compose's kill.
func parseSignal(name string) (syscall.Signal, error) {
	if name == "" {
		return syscall.SIGKILL, nil
	}
	sig, err := signal.ParseSignal(name)
	if err != nil {
		return 0, fmt.Errorf("no signal named %q", name)
	}
	return sig, nil
}

func isFatal(sig syscall.Signal) bool { return sig == syscall.SIGKILL }

// IsFatal says that a kill with the signal of that name ends a container in any
// case.
func IsFatal(name string) bool {
	sig, err := parseSignal(name)
	return err == nil && isFatal(sig)
}
