package image

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/runner/disk"
)

// leaseTime is how long what was fetched stays if the engine is killed meanwhile, or a
// pull is broken off.
const leaseTime = 24 * time.Hour

// labelPull is the label of a lease with the name of the image that it is pulled for.
const labelPull = "io.orlop.pull"

// whole calls fetch with a lease for what it brings, which is let go when it has
// succeeded. When it has failed, what it brought is collected at once; but of a pull, of
// an image by its name, that was broken off, the next one takes what is there.
func (s *Store) whole(ctx context.Context, name string, fetch func(ctx context.Context) error) error {
	manager := s.client.LeasesService()
	opts := []leases.Opt{leases.WithRandomID(), leases.WithExpiration(leaseTime)}
	if name != "" {
		opts = append(opts, leases.WithLabel(labelPull, name))
	}
	lease, err := manager.Create(ctx, opts...)
	if err != nil {
		return fmt.Errorf("cannot hold what is fetched: %w", err)
	}
	s.hold(lease.ID)
	defer s.letGo(lease.ID)
	if err = failpoint.Fail("image/fetching"); err == nil {
		err = fetch(leases.WithLease(ctx, lease.ID))
	}
	failpoint.Hit("image/fetched")
	clean := context.WithoutCancel(ctx)
	if name != "" && isBrokenOff(err) {
		return err
	}
	var how []leases.DeleteOpt
	if err != nil {
		how = append(how, leases.SynchronousDelete)
	}
	s.dropUnfinished(clean, name)
	// One that stays expires.
	if derr := manager.Delete(clean, lease, how...); derr != nil && err == nil && !errdefs.IsNotFound(derr) {
		return fmt.Errorf("cannot let go of what was fetched: %w", derr)
	}
	return err
}

// isBrokenOff says that a pull has ended for a reason that says nothing against the bytes
// which are there, and that may pass: not that they are others than their digest says, nor
// that the disk is full or fails, for which they must go.
func isBrokenOff(err error) bool {
	if disk.IsFull(err) || errors.Is(err, unix.EIO) || errors.Is(err, unix.EROFS) {
		return false
	}
	_, isCut := errors.AsType[*cutBlob](err)
	status, _ := errors.AsType[remoteerrors.ErrUnexpectedStatus](err)
	return errors.Is(err, context.Canceled) || isCut || isPassing(err) || isOfNetwork(err) || status.StatusCode == http.StatusTooManyRequests
}

// isOfNetwork says that a connection could not be made, was cut or took too long. That an
// error is a net.Error says nothing: each error of a system call, thus of a file, is one,
// and whatever net/http could not do, thus a certificate of somebody else.
func isOfNetwork(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op != "remote error" && op.Op != "local error" // what TLS says of the other side
	}
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
		return true
	}
	return errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ETIMEDOUT)
}

// dropUnfinished lets go of what pulls of an image have left that were broken off.
func (s *Store) dropUnfinished(ctx context.Context, name string) {
	if name == "" {
		return
	}
	manager := s.client.LeasesService()
	list, err := manager.List(ctx, fmt.Sprintf("labels.%q==%q", labelPull, name))
	if err != nil {
		return // they expire
	}
	for _, l := range list {
		if !s.isHeld(l.ID) {
			_ = manager.Delete(ctx, l) // likewise
		}
	}
}

func (s *Store) hold(lease string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[lease] = true
}

func (s *Store) letGo(lease string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, lease)
}

func (s *Store) isHeld(lease string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[lease]
}
