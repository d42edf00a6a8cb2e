package engine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"

	"github.com/orlop/orlop/engine/layers"
	"github.com/orlop/orlop/engine/repair"
	"github.com/orlop/orlop/runner/proc"
	"github.com/orlop/orlop/runner/shim"
	"github.com/orlop/orlop/spec"
)

// repair looks after containerd's databases before it opens them, and ends what
// runs of containers that they don't have.
func (e *Engine) repair(ctx context.Context, ownGone bool) error {
	stores := repair.At(filepath.Join(e.cfg.Root, "containerd"), filepath.Join(e.cfg.State, "containerd"), Namespace)
	stores.Cache = e.cacheDir()
	found, err := stores.Inspect()
	if err != nil {
		return err
	}
	known := found.Known
	if found.Metadata != nil || found.Snapshotter != nil {
		known = nil
	}
	unknown := shim.Unknown{
		Dir: filepath.Join(e.cfg.State, "shims"), Bundles: taskBundles(e.cfg.State), Runc: e.programs.Runc,
		State: filepath.Join(e.cfg.State, "runc", Namespace), Cgroup: "/orlop-" + e.id, Log: e.log,
		Known: func(id string) bool { return known[id] },
	}
	projects, count := unknown.End(ctx)
	if found.Metadata == nil && found.Snapshotter != nil { // the files of layers are removed, images are not
		err := layers.WriteOut(ctx, stores.Content)
		if layers.IsForWantOfRoom(err) {
			return fmt.Errorf("the database of images' layers is damaged, and there is no room to keep the layers that were built here: make room and start the engine again: %w", err)
		}
		if err != nil {
			e.warn(fmt.Sprintf("images that were built here have lost layers: build them again: %v", err))
		}
	}
	if found.Metadata != nil {
		if err := layers.Forget(stores.Content); err != nil {
			return err
		}
	}
	told, cacheLost, err := stores.Repair(found)
	if err != nil {
		return err
	}
	if cacheLost {
		e.endBuilds(ctx) // their roots are mounted there
		err = repair.DropCache(e.cacheDir())
	}
	if count > 0 {
		told = strings.TrimPrefix(fmt.Sprintf("%s; what was left of %s was ended", told, spec.Plural(count, "container")), "; ")
		if len(projects) > 0 {
			told += fmt.Sprintf(": run \"orlop up\" for %s again", strings.Join(projects, ", "))
		}
	}
	if ownGone && len(known) > 0 {
		e.warn("the engine's own state, engine.db, was gone: containers that run go on, those that don't count as stopped")
	}
	if told != "" {
		e.warn(told)
	}
	e.work.Run(func() {
		if err := stores.RemoveStrays(e.ctx); err != nil {
			e.log.Warn("cannot delete snapshots that were never finished", "error", err)
		}
	})
	return err
}

// buildCgroup is the cgroup of all build steps.
func (e *Engine) buildCgroup() string { return "/orlop-" + e.id + "/build" }

// endBuilds ends what an earlier engine left of builds: the steps that are noted,
// and what there is in their cgroup of those that are not yet or no longer.
func (e *Engine) endBuilds(ctx context.Context) {
	e.steps().Sweep(ctx)
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	if err := proc.KillAll(ctx, e.buildCgroup()); err != nil {
		e.log.Warn("cannot end what is left of builds", "error", err)
	}
	proc.RemoveCgroups(e.buildCgroup())
}

func (e *Engine) cacheDir() string { return filepath.Join(e.cfg.Root, "buildkit") }

// repairCache drops a build cache that is damaged, and in any case what keeps
// the layers of one that is gone.
func (e *Engine) repairCache(ctx context.Context) error {
	missing, damage := repair.CheckCache(e.cacheDir())
	if damage != nil {
		e.warn(fmt.Sprintf("the build cache was damaged (%v) and is begun anew", damage))
		if err := repair.DropCache(e.cacheDir()); err != nil {
			return err
		}
	}
	if !missing && damage == nil {
		return nil
	}
	return errors.Join(e.dropLeases(ctx, Namespace), e.dropLeases(ctx, Namespace+"_history"))
}

// dropLeases removes the leases of a namespace that don't expire: BuildKit alone
// has such.
func (e *Engine) dropLeases(ctx context.Context, namespace string) error {
	ctx = namespaces.WithNamespace(ctx, namespace)
	manager := e.daemon.client.LeasesService()
	list, err := manager.List(ctx)
	if err != nil {
		return fmt.Errorf("cannot list what the build cache keeps: %w", err)
	}
	var errs []error
	for _, l := range list {
		if _, expires := l.Labels["containerd.io/gc.expire"]; expires {
			continue
		}
		if err := manager.Delete(ctx, leases.Lease{ID: l.ID}); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("cannot let go of what the build cache kept: %w", err))
		}
	}
	return errors.Join(errs...)
}
