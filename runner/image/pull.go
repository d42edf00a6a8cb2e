package image

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/disk"
	"github.com/orlop/orlop/runner/retry"
)

// HostsFunc says where the registry of a host is reached: mirrors and
// credentials are set there.
type HostsFunc func(credentials func(host string) (user, secret string, err error)) docker.RegistryHosts

// Pull fetches an image and unpacks it. progress, which may be nil, is told
// the bytes that are there and those to come. The result says whether the
// reference points to something new. platform is of which to fetch the image; "" is
// the machine's own.
func (s *Store) Pull(ctx context.Context, ref, platform string, credentials func(host string) (string, string, error), progress Progress) (changed bool, err error) {
	name, err := Normalize(ref)
	if err != nil {
		return false, err
	}
	matcher, err := matcherOf(platform)
	if err != nil {
		return false, err
	}
	return s.fetch(ctx, ref, name, matcher, credentials, progress, func(ctx context.Context, watch *pullWatch, opts ...containerd.RemoteOpt) (images.Image, error) {
		img, err := s.client.Pull(ctx, name, append(opts, containerd.WithPullUnpack, containerd.WithPullSnapshotter(Snapshotter),
			containerd.WithUnpackOpts([]containerd.UnpackOpt{synced(), containerd.WithUnpackApplyOpts(diff.WithProgress(watch.layers.note))}))...)
		if err != nil {
			return images.Image{}, err
		}
		return img.Metadata(), nil
	})
}

// fetch has get fetch an image, with all that holds for what comes from registries.
func (s *Store) fetch(ctx context.Context, ref, name string, matcher platforms.MatchComparer, credentials func(host string) (string, string, error), progress Progress, get func(ctx context.Context, watch *pullWatch, opts ...containerd.RemoteOpt) (images.Image, error)) (changed bool, err error) {
	before, err := s.Digest(ctx, ref)
	if err != nil {
		return false, err
	}
	defer s.forget()
	tracker := docker.NewInMemoryTracker()
	watch := newPullWatch(s.client.ContentStore(), progress)
	hosts := patiently(s.hosts(credentials), watch.waits.set)
	resolver := docker.NewResolver(docker.ResolverOptions{Hosts: hosts, Tracker: tracker})
	noted := func(context.Context) error { return nil }
	admit := func(ctx context.Context, name string, root ocispec.Descriptor) (err error) {
		if s.Gate == nil {
			return nil
		}
		if noted, err = s.Gate.Fetch(ctx, Arrival{Name: name, Root: root, Platform: matcher, Hosts: hosts}); err != nil {
			return &refusal{err}
		}
		return nil
	}
	stop := watch.run(ctx)
	defer stop()
	var img images.Image
	err = s.whole(s.telling(ctx, &watch.layers), name, func(ctx context.Context) error {
		err := trying(ctx, func() (err error) {
			img, err = get(ctx, watch, containerd.WithResolver(resuming{gated{resolver, admit}}), containerd.WithPlatformMatcher(matcher),
				containerd.WithImageHandlerWrapper(checkingManifests), containerd.WithImageHandler(images.HandlerFunc(watch.handle)))
			return err
		})
		if err != nil {
			return err
		}
		return noted(ctx)
	})
	if err != nil {
		return false, disk.Explain(pullError(ref, err), s.dir, 2*watch.total()) // as it comes, and unpacked
	}
	return img.Target.Digest.String() != before, nil
}

// pullAttempts is how often a pull is tried: a restart or a rollout of a registry takes a moment.
const pullAttempts = 4

// isPassing says whether a pull that failed may succeed when it is tried again.
func isPassing(err error) bool {
	status, _ := errors.AsType[remoteerrors.ErrUnexpectedStatus](err)
	_, isCut := errors.AsType[*cutBlob](err) // that has been asked for often enough
	return status.StatusCode >= http.StatusInternalServerError || status.StatusCode == http.StatusTooManyRequests || errors.Is(err, unix.ECONNRESET) || errors.Is(err, io.ErrUnexpectedEOF) && !isCut
}

// trying calls pull until it succeeds, fails for good, or was tried enough.
func trying(ctx context.Context, pull func() error) error {
	for attempt := 1; ; attempt++ {
		err := pull()
		if err == nil || attempt == pullAttempts || !isPassing(err) {
			return err
		}
		if ended := retry.Sleep(ctx, retry.Pause(attempt, rand.Float64())); ended != nil {
			return errors.Join(ended, err)
		}
	}
}
