package runc

import (
	"context"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	process "github.com/orlop/go-runc"
)

// Library does what runc does when it is called with the settings of a Runc.
type Library interface {
	Create(ctx context.Context, r *Runc, id, bundle string, opts *CreateOpts) error
	Start(ctx context.Context, r *Runc, id string) error
	Exec(ctx context.Context, r *Runc, id string, spec specs.Process, opts *ExecOpts) error
	Kill(ctx context.Context, r *Runc, id string, sig int, opts *KillOpts) error
	Delete(ctx context.Context, r *Runc, id string, opts *DeleteOpts) error
	Pause(ctx context.Context, r *Runc, id string) error
	Resume(ctx context.Context, r *Runc, id string) error
	Ps(ctx context.Context, r *Runc, id string) ([]int, error)
}

// Within carries calls out in this process; nil: a process for each. It is set before the first.
var Within Library

// Runc has the settings of calls.
type Runc process.Runc

// process is the same that starts processes.
func (r *Runc) process() *process.Runc {
	return (*process.Runc)(r)
}

// Create makes a container of a bundle, with its first process, which waits for Start.
func (r *Runc) Create(ctx context.Context, id, bundle string, opts *CreateOpts) error {
	if Within != nil {
		return Within.Create(ctx, r, id, bundle, opts)
	}
	return r.process().Create(ctx, id, bundle, opts)
}

// Start has a container's first process begin with its program.
func (r *Runc) Start(ctx context.Context, id string) error {
	if Within != nil {
		return Within.Start(ctx, r, id)
	}
	return r.process().Start(ctx, id)
}

// Exec begins a process in a container.
func (r *Runc) Exec(ctx context.Context, id string, spec specs.Process, opts *ExecOpts) error {
	if Within != nil {
		return Within.Exec(ctx, r, id, spec, opts)
	}
	return r.process().Exec(ctx, id, spec, opts)
}

// Kill sends a signal to a container's first process, or to all of them.
func (r *Runc) Kill(ctx context.Context, id string, sig int, opts *KillOpts) error {
	if Within != nil {
		return Within.Kill(ctx, r, id, sig, opts)
	}
	return r.process().Kill(ctx, id, sig, opts)
}

// Delete removes what is left of a container that has ended.
func (r *Runc) Delete(ctx context.Context, id string, opts *DeleteOpts) error {
	if Within != nil {
		return Within.Delete(ctx, r, id, opts)
	}
	return r.process().Delete(ctx, id, opts)
}

// Pause freezes a container.
func (r *Runc) Pause(ctx context.Context, id string) error {
	if Within != nil {
		return Within.Pause(ctx, r, id)
	}
	return r.process().Pause(ctx, id)
}

// Resume has a container that is frozen go on.
func (r *Runc) Resume(ctx context.Context, id string) error {
	if Within != nil {
		return Within.Resume(ctx, r, id)
	}
	return r.process().Resume(ctx, id)
}

// Ps are the processes of a container.
func (r *Runc) Ps(ctx context.Context, id string) ([]int, error) {
	if Within != nil {
		return Within.Ps(ctx, r, id)
	}
	return r.process().Ps(ctx, id)
}
