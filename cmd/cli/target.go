package cli

import (
	"context"
	"errors"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/spec/userfile"
)

// Target is a container as a command line names it: by a name or an ID, or as one of a
// service of the stack; where both are given, by whichever there is.
type Target struct {
	Container string
	Service   string
	Index     int32 // number of the replica; 0: the first
}

// WithTarget connects, runs f with what names a container, and disconnects. Without a stack
// file a container is still known by its name.
func (inv *Invocation) WithTarget(ctx context.Context, t Target, f func(context.Context, *api.Client, *api.ContainerRequest) error) error {
	if t.Index < 0 {
		return errors.New("--index: numbers of containers begin with 1")
	}
	r := &api.ContainerRequest{Container: t.Container, Service: t.Service, Index: t.Index}
	if t.Container == "" {
		return inv.WithStack(ctx, []string{t.Service}, func(ctx context.Context, client *api.Client, s Stack) error {
			r.Project = s.Name
			return f(ctx, client, r)
		})
	}
	if t.Service != "" {
		s, err := inv.Identify(ctx, nil)
		if _, isNone := errors.AsType[*userfile.NoStack](err); err != nil && !isNone {
			return err
		}
		if r.Project = s.Name; err != nil {
			r.Service = ""
		}
	}
	return inv.WithEngine(ctx, func(ctx context.Context, client *api.Client) error { return f(ctx, client, r) })
}
