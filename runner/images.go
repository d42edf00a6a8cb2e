package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/planner"
)

// image is an image that containers can be made of.
type image struct {
	name   string
	digest digest.Digest // of its manifest or index: what the name points to
	config dockerspec.DockerOCIImageConfig
	diffs  []digest.Digest
	ctd    containerd.Image
	r      *Runner
}

// Normalize is the full form of a reference: "redis" is
// "docker.io/library/redis:latest".
func Normalize(ref string) (string, error) {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return "", fmt.Errorf("%q is no image reference: %w", ref, err)
	}
	return reference.TagNameOnly(named).String(), nil
}

// imageFor looks an image up by a reference as users write it.
func (r *Runner) imageFor(ctx context.Context, ref string) (*image, error) {
	name, err := Normalize(ref)
	if err != nil {
		return nil, err
	}
	ctd, err := r.client.GetImage(ctx, name)
	if errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("image %s is not here: run \"orlop pull\" or \"orlop build\"", ref)
	}
	if err != nil {
		return nil, err
	}
	desc, err := ctd.Config(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot read image %s: %w", ref, err)
	}
	blob, err := content.ReadBlob(ctx, r.client.ContentStore(), desc)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration of image %s: %w", ref, err)
	}
	var doc dockerspec.DockerOCIImage
	if err := json.Unmarshal(blob, &doc); err != nil {
		return nil, fmt.Errorf("cannot read the configuration of image %s: %w", ref, err)
	}
	return &image{name: name, digest: ctd.Target().Digest, config: doc.Config, diffs: doc.RootFS.DiffIDs, ctd: ctd, r: r}, nil
}

func (i *image) chain() string { return chainID(i.diffs) }

// unpack makes the snapshot of the image's layers unless it is there.
func (i *image) unpack(ctx context.Context) error {
	if i.r.hasSnapshot(ctx, i.chain()) {
		return nil
	}
	if err := i.ctd.Unpack(ctx, snapshotter); err != nil {
		return fmt.Errorf("cannot unpack image %s: %w", i.name, err)
	}
	return nil
}

// ImageDigest is what a reference points to, or "" if it is not here.
func (r *Runner) ImageDigest(ctx context.Context, ref string) (string, error) {
	img, err := r.observeImage(ctx, ref)
	return img.Digest, err
}

// observeImage is the image that a reference names; the zero one if it is not here.
func (r *Runner) observeImage(ctx context.Context, ref string) (planner.Image, error) {
	name, err := Normalize(ref)
	if err != nil {
		return planner.Image{}, err
	}
	img, err := r.client.ImageService().Get(ctx, name)
	if errdefs.IsNotFound(err) {
		return planner.Image{}, nil
	}
	if err != nil {
		return planner.Image{}, err
	}
	return planner.Image{Digest: img.Target.Digest.String(), Named: img.UpdatedAt}, nil
}

// HostsFunc says where the registry of a host is reached: mirrors and
// credentials are set there.
type HostsFunc func(credentials func(host string) (user, secret string, err error)) docker.RegistryHosts

// Pull fetches an image and unpacks it. progress, which may be nil, is told
// the bytes that are there and those to come. The result says whether the
// reference points to something new.
func (r *Runner) Pull(ctx context.Context, ref string, credentials func(host string) (string, string, error), progress func(current, total int64)) (changed bool, err error) {
	name, err := Normalize(ref)
	if err != nil {
		return false, err
	}
	before, err := r.ImageDigest(ctx, ref)
	if err != nil {
		return false, err
	}
	tracker := docker.NewInMemoryTracker()
	resolver := docker.NewResolver(docker.ResolverOptions{Hosts: r.Hosts(credentials), Tracker: tracker})
	watch := newPullWatch(r, progress)
	stop := watch.run(ctx)
	defer stop()
	var img containerd.Image
	err = trying(ctx, func() (err error) {
		img, err = r.client.Pull(ctx, name,
			containerd.WithResolver(resolver), containerd.WithPullUnpack, containerd.WithPullSnapshotter(snapshotter),
			containerd.WithImageHandler(images.HandlerFunc(watch.handle)))
		return err
	})
	if err != nil {
		return false, pullError(ref, err)
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
		return fmt.Errorf("cannot pull %s: other bytes came than its digest says: a registry, mirror or proxy damages them", ref)
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

// LoadImages imports the images of an OCI or Docker archive and gives their names.
func (r *Runner) LoadImages(ctx context.Context, archive io.Reader) ([]string, error) {
	list, err := r.client.Import(ctx, archive, containerd.WithAllPlatforms(false), containerd.WithSkipMissing())
	if err != nil {
		return nil, fmt.Errorf("cannot load images: %w", err)
	}
	var names []string
	for _, img := range list {
		names = append(names, img.Name)
		if err := containerd.NewImage(r.client, img).Unpack(ctx, snapshotter); err != nil {
			return names, fmt.Errorf("cannot unpack image %s: %w", img.Name, err)
		}
	}
	return names, nil
}

// ImageInfo describes an image that is here.
type ImageInfo struct {
	Name      string
	Digest    string
	ID        string // digest of its configuration
	Size      int64  // bytes of its blobs
	Created   time.Time
	Platforms []string
	OnBuild   []string // instructions that a build on it carries out
}

// Images lists the images that have a name, by name.
func (r *Runner) Images(ctx context.Context) ([]ImageInfo, error) {
	list, err := r.client.ListImages(ctx)
	if err != nil {
		return nil, err
	}
	var out []ImageInfo
	for _, img := range list {
		info := ImageInfo{Name: img.Name(), Digest: img.Target().Digest.String(), Created: img.Metadata().CreatedAt}
		if size, err := img.Size(ctx); err == nil {
			info.Size = size
		}
		if desc, err := img.Config(ctx); err == nil {
			info.ID = desc.Digest.String()
			r.describe(ctx, desc, &info)
		}
		out = append(out, info)
	}
	slices.SortFunc(out, func(a, b ImageInfo) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// describe adds what an image's configuration says, where it can be read.
func (r *Runner) describe(ctx context.Context, config ocispec.Descriptor, info *ImageInfo) {
	var doc dockerspec.DockerOCIImage
	blob, err := content.ReadBlob(ctx, r.client.ContentStore(), config)
	if err != nil || json.Unmarshal(blob, &doc) != nil {
		return
	}
	info.Platforms, info.OnBuild = []string{doc.OS + "/" + doc.Architecture}, doc.Config.OnBuild
	if doc.Created != nil {
		info.Created = *doc.Created
	}
}

// TagImage gives an image a further name.
func (r *Runner) TagImage(ctx context.Context, source, target string) error {
	from, err := Normalize(source)
	if err != nil {
		return err
	}
	to, err := Normalize(target)
	if err != nil {
		return err
	}
	img, err := r.client.ImageService().Get(ctx, from)
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("image %s is not here: see \"orlop image ls\"", source)
	}
	if err != nil {
		return err
	}
	made := images.Image{Name: to, Target: img.Target, Labels: img.Labels}
	_, err = r.client.ImageService().Create(ctx, made)
	if errdefs.IsAlreadyExists(err) {
		_, err = r.client.ImageService().Update(ctx, made)
	}
	return err
}

// RemoveImage removes the name of an image, and its content once nothing else
// needs it. Without force, an image that containers are made of stays.
func (r *Runner) RemoveImage(ctx context.Context, ref string, force bool) error {
	name, err := Normalize(ref)
	if err != nil {
		return err
	}
	if !force {
		for _, c := range r.Containers("") {
			live := r.lookup(c.ID)
			if live == nil {
				continue
			}
			if used, err := Normalize(live.snapshot().Image); err == nil && used == name {
				return fmt.Errorf("cannot remove image %s: container %s is made of it (remove that first, or use --force)", ref, c.Name)
			}
		}
	}
	err = r.client.ImageService().Delete(ctx, name, images.SynchronousDelete())
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("image %s is not here: see \"orlop image ls\"", ref)
	}
	return err
}

// observeImages finds which of the references are here.
func (r *Runner) observeImages(ctx context.Context, refs []string, inputs func(digest string) *planner.Inputs) (map[string]planner.Image, error) {
	out := map[string]planner.Image{}
	for _, ref := range refs {
		img, err := r.observeImage(ctx, ref)
		if err != nil {
			return nil, err
		}
		if img.Digest != "" {
			img.Inputs = inputs(ref)
			out[ref] = img
		}
	}
	return out, nil
}
