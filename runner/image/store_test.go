package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	coremetadata "github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"

	"github.com/orlop/orlop/planner"
)

// layers has the layers of every image, and the writable ones that were made.
type layers struct {
	snapshots.Snapshotter
	writable map[string]string // ID -> parent
}

func (l *layers) Stat(_ context.Context, name string) (snapshots.Info, error) {
	return snapshots.Info{Name: name, Kind: snapshots.KindCommitted}, nil
}

func (l *layers) Prepare(_ context.Context, id, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	info := snapshots.Info{}
	for _, o := range opts {
		if err := o(&info); err != nil {
			return nil, err
		}
	}
	if info.Labels["containerd.io/gc.root"] == "" {
		return nil, errors.New("nothing keeps the layer from being collected")
	}
	l.writable[id] = parent
	return []mount.Mount{{Type: "overlay", Source: id}}, nil
}

func (l *layers) Mounts(_ context.Context, id string) ([]mount.Mount, error) {
	if _, ok := l.writable[id]; !ok {
		return nil, errdefs.ErrNotFound
	}
	return []mount.Mount{{Type: "overlay", Source: id}}, nil
}

func (l *layers) Usage(_ context.Context, id string) (snapshots.Usage, error) {
	if _, ok := l.writable[id]; !ok {
		return snapshots.Usage{}, errdefs.ErrNotFound
	}
	return snapshots.Usage{Size: 7}, nil
}

func (l *layers) Remove(_ context.Context, id string) error {
	if _, ok := l.writable[id]; !ok {
		return errdefs.ErrNotFound
	}
	delete(l.writable, id)
	return nil
}

// shelf is a Store on containerd's own stores.
type shelf struct {
	*Store
	meta    *coremetadata.DB
	images  images.Store
	content content.Store
	layers  *layers
}

func newShelf(t *testing.T) (*shelf, context.Context) {
	t.Helper()
	dir := t.TempDir()
	db, err := bolt.Open(filepath.Join(dir, "meta.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	blobs, err := local.NewStore(filepath.Join(dir, "content"))
	if err != nil {
		t.Fatal(err)
	}
	meta := coremetadata.NewDB(db, blobs, nil)
	s := &shelf{meta: meta, images: coremetadata.NewImageStore(meta), content: meta.ContentStore(), layers: &layers{writable: map[string]string{}}}
	client, err := containerd.New("", containerd.WithDefaultNamespace("orlop"), containerd.WithServices(
		containerd.WithLeasesService(coremetadata.NewLeaseManager(meta)),
		containerd.WithImageStore(s.images), containerd.WithContentStore(s.content),
		containerd.WithSnapshotters(map[string]snapshots.Snapshotter{Snapshotter: s.layers})))
	if err != nil {
		t.Fatal(err)
	}
	s.Store = New(client, nil, "/")
	return s, namespaces.WithNamespace(t.Context(), "orlop")
}

func (s *shelf) put(t *testing.T, ctx context.Context, mediaType string, v any) ocispec.Descriptor {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	if err := content.WriteBlob(ctx, s.content, d.Digest.String(), bytes.NewReader(b), d); err != nil {
		t.Fatal(err)
	}
	return d
}

var built = time.Unix(1_700_000_000, 0).UTC()

// add puts an image on the shelf whose command is as given.
func (s *shelf) add(t *testing.T, ctx context.Context, ref, command string) {
	t.Helper()
	doc := dockerspec.DockerOCIImage{}
	doc.OS, doc.Architecture, doc.Created = "linux", "amd64", &built
	doc.Config.Cmd, doc.Config.OnBuild = []string{command}, []string{"RUN true"}
	doc.RootFS.DiffIDs = []digest.Digest{digest.FromString("layer")}
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: s.put(t, ctx, ocispec.MediaTypeImageConfig, doc), Layers: []ocispec.Descriptor{}}
	name, err := Normalize(ref)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.images.Create(ctx, images.Image{Name: name, Target: s.put(t, ctx, ocispec.MediaTypeImageManifest, manifest)}); err != nil {
		t.Fatal(err)
	}
}

func TestReferencesAreUnderstoodAsDockerDoes(t *testing.T) {
	for ref, want := range map[string]string{
		"redis": "docker.io/library/redis:latest", "me/app:1": "docker.io/me/app:1", "localhost:5000/app": "localhost:5000/app:latest", "UPPER": "", "a b": "", "": "",
	} {
		got, err := Normalize(ref)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v", ref, got, err)
		}
	}
}

func TestAnImageIsFoundByItsReference(t *testing.T) {
	s, ctx := newShelf(t)
	s.add(t, ctx, "app:1", "serve")
	img, err := s.Get(ctx, "app:1", "")
	if err != nil || img.Name != "docker.io/library/app:1" || !slices.Equal(img.Config.Cmd, []string{"serve"}) {
		t.Fatalf("got %+v, %v", img, err)
	}
	if d, err := s.Digest(ctx, "app:1"); err != nil || d != img.Digest.String() {
		t.Errorf("its digest is %q, %v", d, err)
	}
	if d, err := s.Digest(ctx, "none"); err != nil || d != "" {
		t.Errorf("one that is not here has the digest %q, %v", d, err)
	}
	if _, err := s.Get(ctx, "none", ""); err == nil || !strings.Contains(err.Error(), `image none is not here: run "orlop pull"`) {
		t.Errorf("got %v", err)
	}
	inputs := &planner.Inputs{}
	all, err := s.FindAll(ctx, []string{"app:1", "none"}, func(string) *planner.Inputs { return inputs })
	if err != nil || len(all) != 1 || all["app:1"].Inputs != inputs || all["app:1"].Digest != img.Digest.String() {
		t.Errorf("found are %+v, %v", all, err)
	}
	for _, bad := range []error{
		func() error { _, err := s.Get(ctx, "a b", ""); return err }(), func() error { _, err := s.Digest(ctx, "a b"); return err }(),
		s.Tag(ctx, "a b", "x"), s.Tag(ctx, "app:1", "a b"), s.Remove(ctx, "a b"),
	} {
		if bad == nil || !strings.Contains(bad.Error(), `"a b"`) {
			t.Errorf("got %v", bad)
		}
	}
}

func TestNamesOfImages(t *testing.T) {
	s, ctx := newShelf(t)
	s.add(t, ctx, "app:1", "one")
	s.add(t, ctx, "app:2", "two")
	for range 2 { // also where the name is taken already
		if err := s.Tag(ctx, "app:2", "app:latest"); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.List(ctx)
	if err != nil || len(list) != 3 || list[2].Name != "docker.io/library/app:latest" || list[2].Digest != list[1].Digest {
		t.Fatalf("there are %+v, %v", list, err)
	}
	if i := list[0]; !i.Created.Equal(built) || i.Platforms[0] != "linux/amd64" || i.OnBuild[0] != "RUN true" || i.ID == "" {
		t.Errorf("it is %+v", i)
	}
	if err := s.Tag(ctx, "none", "x"); err == nil || !strings.Contains(err.Error(), "is not here") {
		t.Errorf("got %v", err)
	}
	if err := s.Remove(ctx, "app:1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(ctx, "app:1"); err == nil || !strings.Contains(err.Error(), "image app:1 is not here") {
		t.Errorf("got %v", err)
	}
	if list, err := s.List(ctx); err != nil || len(list) != 2 {
		t.Errorf("there are %+v, %v", list, err)
	}
}

func TestWritableLayers(t *testing.T) {
	s, ctx := newShelf(t)
	s.add(t, ctx, "app", "x")
	img, err := s.Get(ctx, "app", "")
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := img.Prepare(ctx, "c1", nil, built)
	if err != nil || mounts[0].Source != "c1" || s.layers.writable["c1"] != digest.FromString("layer").String() {
		t.Errorf("it is made of %q: %v, %v", s.layers.writable["c1"], mounts, err)
	}
	if mounts, err := s.Layer(ctx, "c1"); err != nil || len(mounts) != 1 {
		t.Errorf("it has %v, %v", mounts, err)
	}
	for id, want := range map[string]int64{"c1": 7, "c2": 0} {
		if size, err := s.LayerSize(ctx, id); err != nil || size != want {
			t.Errorf("%s takes %d bytes, %v", id, size, err)
		}
	}
	for range 2 {
		if err := s.RemoveLayer(ctx, "c1"); err != nil {
			t.Error(err)
		}
	}
}

// moving is a content store in which something arrives.
type moving struct {
	content.Store
	status []content.Status
}

func (m moving) ListStatuses(context.Context, ...string) ([]content.Status, error) {
	return m.status, nil
}

func TestProgressAddsUpWhatHasCome(t *testing.T) {
	layer := func(text string, size int64) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString(text), Size: size}
	}
	here, coming, index := layer("a", 100), layer("b", 1000), ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromString("i"), Size: 9}
	var current, total int64
	w := newPullWatch(moving{status: []content.Status{{Ref: "layer-" + coming.Digest.String(), Offset: 250}}}, func(c, t int64, _ string) { current, total = c, t })
	for _, d := range []ocispec.Descriptor{index, here, coming, coming} {
		if children, err := w.handle(t.Context(), d); err != nil || children != nil {
			t.Errorf("%v, %v", children, err)
		}
	}
	w.report(t.Context())
	if current != 350 || total != 1100 {
		t.Errorf("%d of %d bytes are here", current, total)
	}
	newPullWatch(moving{}, nil).run(t.Context())()
}

func TestALayerThatIsUnpackedForLongIsTold(t *testing.T) {
	w := newPullWatch(moving{}, nil)
	for _, name := range []string{"a", "b"} {
		d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString(name), Size: 1}
		if _, err := w.handle(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	later := time.Now().Add(time.Minute)
	first := ocispec.Descriptor{Digest: digest.FromString("a"), Size: 200}
	second := ocispec.Descriptor{Digest: digest.FromString("b"), Size: 200}
	for _, step := range []struct {
		layer ocispec.Descriptor
		read  int64
		want  string // once it has taken long
	}{
		{first, 0, "unpacking layer 1 of 2, 0%"},
		{first, 50, "unpacking layer 1 of 2, 25%"},
		{first, 200, ""},
		{first, 200, ""}, // told twice
		{second, 0, "unpacking layer 2 of 2, 0%"},
		{second, 199, "unpacking layer 2 of 2, 99%"},
		{second, 200, ""},
	} {
		w.layers.note(step.layer, step.read)
		if got := w.layers.doing(time.Now()); got != "" {
			t.Errorf("at once it says %q", got)
		}
		if got := w.layers.doing(later); got != step.want {
			t.Errorf("at %d bytes it says %q, want %q", step.read, got, step.want)
		}
	}
}
