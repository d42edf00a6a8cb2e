package runner

import (
	containerd "github.com/containerd/containerd/v2/client"

	"context"
	"fmt"

	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/runner/assembly"
	"github.com/orlop/orlop/runner/emulation"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/record"
	"github.com/orlop/orlop/runner/supervisor"
)

// create makes a container with all that belongs to it; its process is not
// there yet. The caller holds op of what it gets. On failure nothing of it is
// left.
func (r *Runner) create(ctx context.Context, req assembly.Request) (_ *container, err error) {
	img, err := r.Images.At(ctx, req.Image, req.Applied.Image, req.Applied.Service.PlatformOn(emulation.Machine()))
	if err != nil {
		return nil, err
	}
	rec := r.maker().Record(req, img, r.recordOf(req.From))
	release, err := r.claims.Claim(rec, r.allRecords)
	if err != nil {
		return nil, err
	}
	defer release()
	defer func() {
		if err == nil {
			r.volumes.Release(rec.ID)
			return
		}
		r.removeUnfinished(context.WithoutCancel(ctx), rec.ID)
		r.records.Delete(rec.ID)
		r.volumes.Abandon(rec.ID)
	}()
	doc, err := r.maker().Assemble(ctx, rec, img, req.Warn)
	if err != nil {
		return nil, err
	}
	// It comes first: a container without a status counts as one that has run. What
	// can't be written is for the end of the command to say.
	r.records.Save(rec.ID, rec.Status)
	_ = r.records.Flush()
	failpoint.Hit("runner/container-recorded")
	ctr, err := r.client.NewContainer(ctx, rec.ID,
		containerd.WithSnapshotter(image.Snapshotter), containerd.WithSnapshot(rec.ID),
		containerd.WithImageName(req.Image), r.shims.RuntimeOf(req.Applied.Service.OtherRuntime()), containerd.WithSpec(doc),
		record.With(&rec.Metadata))
	if err != nil {
		return nil, fmt.Errorf("cannot make container %s: %w", rec.Name, err)
	}
	failpoint.Hit("runner/container-made")
	c := r.newContainer(rec, ctr, true)
	c.setPending(r.lookup(req.From) != nil)
	r.feed.Tell(rec.Project, rec.ID)
	return c, nil
}

// recordOf is that of a container, if it is there.
func (r *Runner) recordOf(id string) *supervisor.Record {
	c := r.lookup(id)
	if c == nil {
		return nil
	}
	rec := c.snapshot()
	return &rec
}

// removeAnonymous removes the volumes that nobody named and that no other
// container took over.
func (r *Runner) removeAnonymous(rec *supervisor.Record) {
	for _, name := range rec.OwnVolumes(r.allRecords()) {
		if err := r.volumes.Remove(name); err != nil {
			r.log.Warn("cannot remove an anonymous volume", "volume", name, "error", err)
		}
	}
}
