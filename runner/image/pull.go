package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/disk"
)

// HostsFunc says where the registry of a host is reached: mirrors and
// credentials are set there.
type HostsFunc func(credentials func(host string) (user, secret string, err error)) docker.RegistryHosts

// Pull fetches an image and unpacks it. progress, which may be nil, is told
// the bytes that are there and those to come. The result says whether the
// reference points to something new.
func (s *Store) Pull(ctx context.Context, ref string, credentials func(host string) (string, string, error), progress func(current, total int64)) (changed bool, err error) {
	name, err := Normalize(ref)
	if err != nil {
		return false, err
	}
	before, err := s.Digest(ctx, ref)
	if err != nil {
		return false, err
	}
	tracker := docker.NewInMemoryTracker()
	resolver := docker.NewResolver(docker.ResolverOptions{Hosts: s.hosts(credentials), Tracker: tracker})
	watch := newPullWatch(s.client.ContentStore(), progress)
	stop := watch.run(ctx)
	defer stop()
	var img containerd.Image
	err = s.whole(ctx, func(ctx context.Context) error {
		return trying(ctx, func() (err error) {
			img, err = s.client.Pull(ctx, name,
				containerd.WithResolver(resolver), containerd.WithPullUnpack, containerd.WithPullSnapshotter(Snapshotter),
				containerd.WithImageHandler(images.HandlerFunc(watch.handle)))
			return err
		})
	})
	if err != nil {
		return false, disk.Explain(pullError(ref, err), s.dir, 2*watch.total()) // as it comes, and unpacked
	}
	return img.Target().Digest.String() != before, nil
}

// pullError says why a pull failed and what to do, per cause.
func pullError(ref string, err error) error {
	status, _ := errors.AsType[remoteerrors.ErrUnexpectedStatus](err)
	text := err.Error()
	switch {
	case errdefs.IsNotFound(err):
		return fmt.Errorf("image %s does not exist in its registry: check the name and the tag", ref)
	case errdefs.IsUnauthorized(err), errors.Is(err, docker.ErrInvalidAuthorization), strings.Contains(text, "insufficient_scope"),
		status.StatusCode == http.StatusUnauthorized, status.StatusCode == http.StatusForbidden:
		return fmt.Errorf("cannot pull %s: the registry refused access: log in; credentials are read from Docker's config.json", ref)
	case status.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("cannot pull %s: the registry's rate limit is reached: log in, wait, or set a mirror", ref)
	case status.StatusCode >= http.StatusInternalServerError:
		return fmt.Errorf("cannot pull %s: the registry answers %s: try again later, or set a mirror", ref, status.Status)
	case strings.Contains(text, "unexpected commit digest"), strings.Contains(text, "unexpected commit size"):
		return fmt.Errorf("cannot pull %s: digest mismatch: a registry, mirror or proxy damages what it hands on", ref)
	case strings.Contains(text, "no such host"), strings.Contains(text, "connection refused"),
		strings.Contains(text, "i/o timeout"), strings.Contains(text, "network is unreachable"), errdefs.IsUnavailable(err):
		return fmt.Errorf("cannot pull %s: %w (the registry can't be reached: check the network, set a mirror, or load the image with \"orlop image load\")",
			ref, rootCause(err))
	}
	return fmt.Errorf("cannot pull %s: %w", ref, rootCause(err))
}

// Pulls are tried again when the registry is in trouble, each time after twice
// the time: a restart or a rollout of a registry takes a moment.
const (
	pullAttempts = 4
	pullPause    = 250 * time.Millisecond
)

// isPassing says whether a pull that failed may succeed when it is tried again.
func isPassing(err error) bool {
	status, _ := errors.AsType[remoteerrors.ErrUnexpectedStatus](err)
	return status.StatusCode >= http.StatusInternalServerError || errors.Is(err, unix.ECONNRESET) || errors.Is(err, io.ErrUnexpectedEOF)
}

// trying calls pull until it succeeds, fails for good, or was tried enough.
func trying(ctx context.Context, pull func() error) error {
	pause := pullPause
	for attempt := 1; ; attempt++ {
		err := pull()
		if err == nil || attempt == pullAttempts || !isPassing(err) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
		pause *= 2
	}
}

// rootCause drops the layers of context that name only functions.
func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
