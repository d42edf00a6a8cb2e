// Package image keeps the images that containers are made of: it pulls, loads,
// names and removes them in containerd's stores, and makes the writable layers
// of containers on them. It knows no container and runs nothing of an image;
// what an image says is untrusted.
package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// Snapshotter is the one snapshotter of the engine.
const Snapshotter = "overlayfs"

// LabelView is the label of the blob of a layer that was built here. It names the snapshot that the
// blob is read out of, and that containerd's collection keeps for it.
const LabelView = "containerd.io/gc.ref.snapshot." + Snapshotter

// Store is the images of an engine.
type Store struct {
	// Telling, if it is set, has a function told how much of a layer is read while it is unpacked.
	Telling func(ctx context.Context, tell func(layer ocispec.Descriptor, bytes int64)) context.Context

	// Gate, if it is set, is asked which images are used.
	Gate Gate

	client *containerd.Client
	hosts  HostsFunc
	dir    string // on the file system of the images

	mu      sync.Mutex
	users   map[string]User // guarded by mu: image and user -> who that is
	held    map[string]bool // guarded by mu: leases of what is being fetched
	present map[string]bool // guarded by mu: digest and platform of what is known to be here
}

// New gives the images of containerd, which keeps them below a directory; hosts may
// be nil where none is pulled.
func New(client *containerd.Client, hosts HostsFunc, dir string) *Store {
	return &Store{client: client, hosts: hosts, dir: dir, users: map[string]User{}, held: map[string]bool{}, present: map[string]bool{}}
}

// telling has somebody told how far the unpacking of layers is.
func (s *Store) telling(ctx context.Context, layers *unpacking) context.Context {
	if s.Telling == nil {
		return ctx
	}
	return s.Telling(ctx, layers.note)
}

// Image is an image that containers can be made of.
type Image struct {
	Name   string
	Digest digest.Digest // of its manifest or index: what the name points to
	Config dockerspec.DockerOCIImageConfig

	diffs []digest.Digest
	ctd   containerd.Image
	store *Store

	platform platforms.MatchComparer
}

// Normalize is the full form of a reference: "redis" is
// "docker.io/library/redis:latest".
func Normalize(ref string) (string, error) {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return "", fmt.Errorf("%q is not an image reference: %w", ref, err)
	}
	return reference.TagNameOnly(named).String(), nil
}

// Get looks an image up by a reference as users write it, that of a platform; "" is
// the machine's own.
func (s *Store) Get(ctx context.Context, ref, platform string) (*Image, error) {
	found, err := s.resolve(ctx, ref)
	if _, isAbsent := errors.AsType[*absentError](err); isAbsent {
		return nil, fmt.Errorf("image %s is not here: run \"orlop pull\" or \"orlop build\"", ref)
	}
	if err != nil {
		return nil, err
	}
	if err := CheckDigest(found.Name, found.Target.Digest); err != nil {
		return nil, fmt.Errorf("cannot use image %s: %w: remove it with \"orlop image rm\"", ref, err)
	}
	return s.read(ctx, ref, found, platform)
}

// read reads what the image of a platform says of itself.
func (s *Store) read(ctx context.Context, ref string, found images.Image, platform string) (*Image, error) {
	matcher, err := matcherOf(platform)
	if err != nil {
		return nil, err
	}
	ctd := containerd.NewImageWithPlatform(s.client, found, matcher)
	desc, err := ctd.Config(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot read image %s: %w", ref, err)
	}
	blob, err := content.ReadBlob(ctx, s.client.ContentStore(), desc)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration of image %s: %w", ref, err)
	}
	var doc dockerspec.DockerOCIImage
	if err := json.Unmarshal(blob, &doc); err != nil {
		return nil, fmt.Errorf("cannot read the configuration of image %s: %w", ref, err)
	}
	return &Image{Name: found.Name, Digest: ctd.Target().Digest, Config: doc.Config, diffs: doc.RootFS.DiffIDs, ctd: ctd, store: s, platform: matcher}, nil
}

// Prepare makes the writable layer of a container on the image, under the
// container's ID, and gives its mounts. ids are the users of the machine that those of
// the container are; nil where they are the same.
func (i *Image) Prepare(ctx context.Context, id string, ids *spec.IDMap, now time.Time) ([]mount.Mount, error) {
	if err := i.admit(ctx); err != nil {
		return nil, err
	}
	chain := identity.ChainID(i.diffs).String() // the name of the snapshot that its layers unpack to
	if err := i.unpack(ctx, chain); err != nil {
		return nil, err
	}
	// Until its container is there, nothing else keeps it from being collected;
	// a lease would do, too, at the price of two more writes of the database.
	labels := map[string]string{"containerd.io/gc.root": now.Format(time.RFC3339)}
	if ids != nil {
		labels[snapshots.LabelSnapshotUIDMapping], labels[snapshots.LabelSnapshotGIDMapping] = ids.Label(ids.UID), ids.Label(ids.GID)
	}
	root := snapshots.WithLabels(labels)
	mounts, err := i.store.client.SnapshotService(Snapshotter).Prepare(ctx, id, chain, root)
	if err != nil {
		return nil, fmt.Errorf("cannot make the writable layer of %s: %w", i.Name, err)
	}
	failpoint.Hit("image/layer-made")
	return mounts, nil
}

// Plain are the mounts of a layer with the users of files as they are on the disk.
func Plain(mounts []mount.Mount) []mount.Mount {
	plain := slices.Clone(mounts)
	for i := range plain {
		plain[i].Options = slices.DeleteFunc(slices.Clone(plain[i].Options), func(o string) bool {
			return strings.HasPrefix(o, "uidmap=") || strings.HasPrefix(o, "gidmap=")
		})
	}
	return plain
}

// unpack makes the snapshot of the image's layers unless it is there.
func (i *Image) unpack(ctx context.Context, chain string) error {
	info, err := i.store.client.SnapshotService(Snapshotter).Stat(ctx, chain)
	if err == nil && info.Kind == snapshots.KindCommitted {
		return nil
	}
	if err := i.ctd.Unpack(ctx, Snapshotter, synced()); err != nil {
		return fmt.Errorf("cannot unpack image %s: %w", i.Name, plainError(err))
	}
	return nil
}

// synced has the files of a layer on the disk before the record says that it is
// there: after a loss of power it would be a layer of empty files, for good.
func synced() containerd.UnpackOpt { return containerd.WithUnpackApplyOpts(diff.WithSyncFs(true)) }

// Layer gives the mounts of a writable layer that Prepare has made.
func (s *Store) Layer(ctx context.Context, id string) ([]mount.Mount, error) {
	return s.client.SnapshotService(Snapshotter).Mounts(ctx, id)
}

// LayerSize is how many bytes a writable layer takes; 0 if there is none.
func (s *Store) LayerSize(ctx context.Context, id string) (int64, error) {
	use, err := s.client.SnapshotService(Snapshotter).Usage(ctx, id)
	if errdefs.IsNotFound(err) {
		return 0, nil
	}
	return use.Size, err
}

// RemoveLayer removes a writable layer, if there is one.
func (s *Store) RemoveLayer(ctx context.Context, id string) error {
	if err := s.client.SnapshotService(Snapshotter).Remove(ctx, id); !errdefs.IsNotFound(err) {
		return err
	}
	return nil
}

// Digest is what a reference points to, or "" if it is not here.
func (s *Store) Digest(ctx context.Context, ref string) (string, error) {
	img, err := s.Find(ctx, ref)
	return img.Digest, err
}

// Find is the image that a reference names; the zero one if it is not here.
func (s *Store) Find(ctx context.Context, ref string) (planner.Image, error) {
	img, err := s.resolve(ctx, ref)
	if _, isAbsent := errors.AsType[*absentError](err); isAbsent || err == nil && CheckDigest(img.Name, img.Target.Digest) != nil {
		return planner.Image{}, nil
	}
	if err != nil {
		return planner.Image{}, err
	}
	return planner.Image{Digest: img.Target.Digest.String(), Named: img.UpdatedAt}, nil
}

// Info describes an image that is here.
type Info struct {
	Name      string
	Digest    string
	ID        string // digest of its configuration
	Size      int64  // bytes of its blobs
	Created   time.Time
	NamedAt   time.Time // when its name came to mean it
	Platforms []string
	OnBuild   []string // instructions that a build on it carries out
	Labels    map[string]string
}

// List gives the images that have a name, by name.
func (s *Store) List(ctx context.Context) ([]Info, error) {
	list, err := s.client.ListImages(ctx)
	if err != nil {
		return nil, err
	}
	var out []Info
	for _, img := range list {
		info := Info{Name: img.Name(), Digest: img.Target().Digest.String(), Created: img.Metadata().CreatedAt, NamedAt: img.Metadata().UpdatedAt}
		if size, err := img.Size(ctx); err == nil {
			info.Size = size
		}
		if desc, err := img.Config(ctx); err == nil {
			info.ID = desc.Digest.String()
			s.describe(ctx, desc, &info)
		}
		out = append(out, info)
	}
	slices.SortFunc(out, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// ArePlain says that images are all here, and that none brings instructions to what is built on it (ONBUILD).
func (s *Store) ArePlain(ctx context.Context, refs map[string]string) bool {
	for ref := range refs {
		img, err := s.Get(ctx, ref, "")
		if err != nil || len(img.Config.OnBuild) > 0 {
			return false
		}
	}
	return true
}

// describe adds what an image's configuration says, where it can be read.
func (s *Store) describe(ctx context.Context, config ocispec.Descriptor, info *Info) {
	var doc dockerspec.DockerOCIImage
	blob, err := content.ReadBlob(ctx, s.client.ContentStore(), config)
	if err != nil || json.Unmarshal(blob, &doc) != nil {
		return
	}
	info.Platforms, info.OnBuild = []string{doc.OS + "/" + doc.Architecture}, doc.Config.OnBuild
	info.Labels = doc.Config.Labels
	if doc.Created != nil {
		info.Created = *doc.Created
	}
}

// Tag gives an image, which a name or a digest names, a further name.
func (s *Store) Tag(ctx context.Context, source, target string) error {
	to, err := Normalize(target)
	if err != nil {
		return err
	}
	img, err := s.resolve(ctx, source)
	if err != nil {
		return err
	}
	if err := CheckDigest(to, img.Target.Digest); err != nil {
		return fmt.Errorf("cannot name %s %s: %w", source, target, err)
	}
	made := images.Image{Name: to, Target: img.Target, Labels: img.Labels}
	_, err = s.client.ImageService().Create(ctx, made)
	if errdefs.IsAlreadyExists(err) {
		_, err = s.client.ImageService().Update(ctx, made)
	}
	return err
}

// Remove removes the name of an image, and its content once nothing else needs
// it.
func (s *Store) Remove(ctx context.Context, ref string) error {
	name, err := Normalize(ref)
	if err != nil {
		return err
	}
	s.dropUnfinished(ctx, name)
	s.forget()
	err = s.client.ImageService().Delete(ctx, name, images.SynchronousDelete())
	if errdefs.IsNotFound(err) {
		return absent(ref)
	}
	return err
}

// FindAll finds which of the references are here. inputs tells what each was
// built from.
func (s *Store) FindAll(ctx context.Context, refs []string, inputs func(ref string) *planner.Inputs) (map[string]planner.Image, error) {
	out := map[string]planner.Image{}
	for _, ref := range refs {
		img, err := s.Find(ctx, ref)
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
