package buildkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/snapshot"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/orlop/orlop/engine/layers"
	"github.com/orlop/orlop/runner/image"
)

// blobs is a content store of a few blobs, of which it notes who writes.
type blobs struct {
	content.Store
	infos []content.Info
	info  content.Info // that was committed
}

func (b *blobs) Info(_ context.Context, sum digest.Digest) (content.Info, error) {
	for _, info := range b.infos {
		if info.Digest == sum {
			return info, nil
		}
	}
	return content.Info{}, errdefs.ErrNotFound
}

func (b *blobs) Walk(_ context.Context, fn content.WalkFunc, filters ...string) error {
	for _, info := range b.infos {
		if slices.Equal(filters, []string{fmt.Sprintf("labels.%q==%q", image.LabelView, info.Labels[image.LabelView])}) {
			if err := fn(info); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *blobs) Writer(context.Context, ...content.WriterOpt) (content.Writer, error) {
	return blobWriter{b: b}, nil
}

type blobWriter struct {
	content.Writer
	b *blobs
}

func (w blobWriter) Commit(_ context.Context, _ int64, _ digest.Digest, opts ...content.Opt) error {
	for _, o := range opts {
		if err := o(&w.b.info); err != nil {
			return err
		}
	}
	return nil
}

// known are snapshots by name. Asked for another name of one they have it.
type known struct {
	snapshots.Snapshotter
	all map[string]snapshots.Info
}

func (k known) Stat(_ context.Context, key string) (snapshots.Info, error) {
	info, ok := k.all[key]
	if !ok {
		return info, errdefs.ErrNotFound
	}
	return info, nil
}

func (k known) Prepare(ctx context.Context, _, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	var info snapshots.Info
	for _, o := range opts {
		if err := o(&info); err != nil {
			return nil, err
		}
	}
	k.all[info.Labels["containerd.io/snapshot.ref"]] = snapshots.Info{
		Kind: snapshots.KindCommitted, Parent: parent, Labels: map[string]string{directory: layers.SameAs(ctx)},
	}
	return nil, errdefs.ErrAlreadyExists
}

func (known) Usage(context.Context, string) (snapshots.Usage, error) {
	return snapshots.Usage{Size: 100}, nil
}

const directory = layers.LabelDir

// A layer that BuildKit makes of a snapshot is a view that holds it. Others are blobs like any.
func TestMadeLayersAreViews(t *testing.T) {
	committed := snapshots.Info{Kind: snapshots.KindCommitted, Labels: map[string]string{directory: "/s/1/fs"}}
	active := snapshots.Info{Kind: snapshots.KindActive, Labels: map[string]string{directory: "/s/2/fs"}}
	all := known{all: map[string]snapshots.Info{"made": committed, "active": active}}
	for name, c := range map[string]struct {
		ref, mediaType string
		digest         digest.Digest
		holds          string
	}{
		"made":       {"made", ocispec.MediaTypeImageLayer, "", "made"},
		"compressed": {"made", ocispec.MediaTypeImageLayerGzip, "", ""},
		"fetched":    {"made", ocispec.MediaTypeImageLayer, digest.FromString("x"), ""},
		"unfinished": {"active", ocispec.MediaTypeImageLayer, "", ""},
		"unknown":    {"none", ocispec.MediaTypeImageLayer, "", ""},
	} {
		b := &blobs{info: content.Info{Labels: map[string]string{"kept": "yes"}}}
		w, err := madeBlobs{b, all}.Writer(t.Context(), content.WithRef(c.ref), content.WithDescriptor(ocispec.Descriptor{MediaType: c.mediaType, Digest: c.digest}))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(t.Context(), 0, ""); err != nil {
			t.Fatal(err)
		}
		if b.info.Labels[image.LabelView] != c.holds || b.info.Labels["kept"] != "yes" {
			t.Errorf("%s: it has labels %v", name, b.info.Labels)
		}
	}
}

// held are the resources of leases.
type held struct {
	leases.Manager
	all []leases.Resource
}

func (h *held) AddResource(_ context.Context, _ leases.Lease, r leases.Resource) error {
	h.all = append(h.all, r)
	return nil
}

// BuildKit's leases follow no labels: with a view they hold its snapshot.
func TestALeaseOfAViewHoldsItsSnapshot(t *testing.T) {
	view, plain := digest.FromString("view"), digest.FromString("plain")
	b := &blobs{infos: []content.Info{{Digest: view, Labels: map[string]string{image.LabelView: "made"}}, {Digest: plain}}}
	h := &held{}
	m := madeLeases{h, b}
	for _, r := range []leases.Resource{{ID: view.String(), Type: "content"}, {ID: plain.String(), Type: "content"}, {ID: view.String(), Type: "ingests"}} {
		if err := m.AddResource(t.Context(), leases.Lease{ID: "x"}, r); err != nil {
			t.Fatal(err)
		}
	}
	if len(h.all) != 4 || h.all[1] != (leases.Resource{ID: "made", Type: "snapshots/overlayfs"}) {
		t.Errorf("it holds %v", h.all)
	}
}

// What an image is unpacked to is not unpacked again under BuildKit's name for it.
func TestBuildKitKnowsUnpackedLayers(t *testing.T) {
	chain, none := digest.FromString("chain"), digest.FromString("none")
	k := knownLayers{known{all: map[string]snapshots.Info{
		chain.String(): {Kind: snapshots.KindCommitted, Parent: "below", Labels: map[string]string{directory: "/s/1/fs"}},
	}}, &blobs{infos: []content.Info{{Size: 70, Labels: map[string]string{image.LabelView: "made"}}}}}
	if info, err := k.Stat(t.Context(), snapshot.LayerSnapshotID(chain)); err != nil || info.Parent != "below" {
		t.Errorf("it has %+v, %v", info, err)
	}
	// One that is on another has that by BuildKit's name, too: by it BuildKit compares parents.
	top := digest.FromString("top")
	k.Snapshotter.(known).all[top.String()] = snapshots.Info{Kind: snapshots.KindCommitted, Parent: chain.String(), Labels: map[string]string{directory: "/s/2/fs"}}
	if info, err := k.Stat(t.Context(), snapshot.LayerSnapshotID(top)); err != nil || info.Parent != snapshot.LayerSnapshotID(chain) {
		t.Errorf("the one above has %+v, %v", info, err)
	}
	for _, key := range []string{snapshot.LayerSnapshotID(none), "any"} {
		if _, err := k.Stat(t.Context(), key); !errdefs.IsNotFound(err) {
			t.Errorf("%s: %v", key, err)
		}
	}
	// BuildKit counts the blob besides.
	if use, err := k.Usage(t.Context(), "made"); use.Size != 30 || err != nil {
		t.Errorf("it takes %d beside its blob: %v", use.Size, err)
	}
	if use, err := k.Usage(t.Context(), "other"); use.Size != 100 || err != nil {
		t.Errorf("one without takes %d: %v", use.Size, err)
	}
}

// A snapshot gets the name of its layer unless another one has it, or an archive would have less than it.
func TestSnapshotsGetTheNamesOfTheirLayers(t *testing.T) {
	dir, closed := t.TempDir(), t.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(closed, 0o700)); err != nil {
		t.Fatal(err)
	}
	all := known{all: map[string]snapshots.Info{"taken": {Kind: snapshots.KindCommitted, Labels: map[string]string{directory: "/s/9/fs"}}}}
	below := namedSnapshot{"sha256:below", t.TempDir()} // of the same owner
	for _, c := range []struct {
		chain, dir string
		same       bool
	}{{"taken", dir, false}, {"closed", closed, false}, {"new", dir, true}, {"new", dir, true}, {"new", closed, false}} {
		if same, err := below.name(t.Context(), all, c.chain, c.dir); same != c.same || err != nil {
			t.Errorf("%s is that of %s: %v, %v", c.chain, c.dir, same, err)
		}
	}
	if all.all["new"].Parent != "sha256:below" || len(all.all) != 2 {
		t.Errorf("there are %v", all.all)
	}
}

func TestDirectoriesOfMounts(t *testing.T) {
	for want, mounts := range map[string][]mount.Mount{
		"[/a]":       {{Type: "bind", Source: "/a", Options: []string{"ro", "rbind"}}},
		"[/a /b /c]": {{Type: "overlay", Options: []string{"index=off", "lowerdir=/c:/b:/a", "metacopy=off"}}},
		"[]":         {{Type: "bind", Source: "/a"}, {Type: "bind", Source: "/b"}},
	} {
		if got := fmt.Sprint(directories(mounts)); got != want {
			t.Errorf("there are %s, want %s", got, want)
		}
	}
}
