package buildkit

import (
	"context"
	"errors"
	"testing"

	"github.com/containerd/containerd/v2/core/leases"
)

// named are leases that must have an ID, as containerd's do.
type named struct {
	leases.Manager
	open map[string]bool
}

func (n *named) Create(_ context.Context, opts ...leases.Opt) (leases.Lease, error) {
	var l leases.Lease
	for _, o := range opts {
		if err := o(&l); err != nil {
			return l, err
		}
	}
	if l.ID == "" {
		return l, errors.New("lease id must be provided")
	}
	n.open[l.ID] = true
	return l, nil
}

func (n *named) Delete(_ context.Context, l leases.Lease, opts ...leases.DeleteOpt) error {
	var o leases.DeleteOptions
	for _, opt := range opts {
		if err := opt(context.Background(), &o); err != nil {
			return err
		}
	}
	if !n.open[l.ID] || !o.Synchronous {
		return errors.New("nothing was collected")
	}
	delete(n.open, l.ID)
	return nil
}

// TestAPruneCollects: it ends a lease that it has made, which is what collects.
func TestAPruneCollects(t *testing.T) {
	n := &named{open: map[string]bool{}}
	if _, err := collect(n)(t.Context()); err != nil || len(n.open) > 0 {
		t.Errorf("%v, %d leases are left", err, len(n.open))
	}
}
