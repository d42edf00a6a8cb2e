package assembly

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/oci"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/runner/volume"
	"github.com/orlop/orlop/spec"
)

// borrow gives what a container has by volumes_from that its service can't say: of
// other services the volumes that nobody named, of other containers all.
func (m *Maker) borrow(rec *supervisor.Record) ([]planner.Mounted, error) {
	var all []planner.Mounted
	for i, from := range rec.Applied.Service.Sources() {
		other := source(m.Records(), rec, from)
		if other == nil {
			key := fmt.Sprintf("volumes_from[%d]", i)
			text := fmt.Sprintf("there is no container %s to take volumes from", cmp.Or(from.Container, "of "+from.Service))
			return nil, &oci.KeyError{Service: rec.Service, Key: key, Text: text + ": start it first"}
		}
		for _, have := range lent(other, from.Service != "") {
			have.ReadOnly = have.ReadOnly || from.ReadOnly
			all = slices.DeleteFunc(all, func(m planner.Mounted) bool { return filepath.Clean(m.Target) == filepath.Clean(have.Target) })
			all = append(all, have)
		}
	}
	return all, nil
}

// source is the container that an entry of volumes_from means: of a service of the
// project the first one, as it was made last.
func source(records []supervisor.Record, rec *supervisor.Record, from spec.VolumesFrom) *supervisor.Record {
	var found *supervisor.Record
	for i := range records {
		r := &records[i]
		if from.Container != "" && (r.Name == from.Container || r.ID == from.Container) {
			return r
		}
		if r.ID == rec.ID || r.Project != rec.Project || r.Service != from.Service || r.OneOff {
			continue
		}
		if found == nil || r.Number < found.Number || r.Number == found.Number && r.CreatedAt.After(found.CreatedAt) {
			found = r
		}
	}
	return found
}

// lent is what others can have of a container. What its service says is left out where
// the stack file says it of the other service as well.
func lent(r *supervisor.Record, isOfStack bool) []planner.Mounted {
	var all []planner.Mounted
	readOnly := map[string]bool{}
	for _, m := range r.Applied.Mounts() {
		readOnly[filepath.Clean(m.Target)] = m.ReadOnly
		isBorrowed := slices.ContainsFunc(r.Applied.Borrowed, func(b planner.Mounted) bool { return b.Target == m.Target })
		isNamed := m.Source != "" || m.Volume != ""
		if isNamed && m.Type != spec.MountTmpfs && (isBorrowed || !isOfStack) {
			all = append(all, m)
		}
	}
	for _, target := range slices.Sorted(maps.Keys(r.Anonymous)) {
		all = append(all, planner.Mounted{
			Mount:  spec.Mount{Type: spec.MountVolume, Target: target, ReadOnly: readOnly[filepath.Clean(target)]},
			Volume: r.Anonymous[target], Anonymous: true,
		})
	}
	return all
}

// view makes views of the images that a container mounts.
func (m *Maker) view(ctx context.Context, rec *supervisor.Record) error {
	n := 0
	for _, mounted := range rec.Applied.Mounts() {
		if mounted.Type != spec.MountImage {
			continue
		}
		img, err := m.Images.Get(ctx, mounted.Source, rec.Applied.Service.Platform)
		if err == nil {
			err = img.View(ctx, rec.ID, n, m.Now())
		}
		if err != nil {
			return &volume.MountError{Service: rec.Service, Source: mounted.Source, Target: mounted.Target, Err: err}
		}
		if rec.Applied.Images == nil {
			rec.Applied.Images = map[string]string{}
		}
		rec.Applied.Images[mounted.Source] = img.Digest.String()
		n++
	}
	return nil
}
