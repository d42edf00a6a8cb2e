package image

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// bundle is an archive of images as it is written.
type bundle struct {
	bytes.Buffer
	w *tar.Writer
}

func newBundle() *bundle {
	b := &bundle{}
	b.w = tar.NewWriter(&b.Buffer)
	return b
}

func (b *bundle) add(name, text string) {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(text))}
	_ = b.w.WriteHeader(h)
	_, _ = io.WriteString(b.w, text)
}

// blob adds a blob of an OCI layout and describes it.
func (b *bundle) blob(mediaType string, v any) ocispec.Descriptor {
	text, is := v.(string)
	if !is {
		doc, _ := json.Marshal(v)
		text = string(doc)
	}
	d := digest.FromString(text)
	b.add("blobs/sha256/"+d.Encoded(), text)
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(text))}
}

// index ends an OCI layout, whose images have these names.
func (b *bundle) index(name string, manifests ...ocispec.Descriptor) *bundle {
	for i := range manifests {
		if manifests[i].Annotations == nil {
			manifests[i].Annotations = map[string]string{images.AnnotationImageName: name}
		}
	}
	doc, _ := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests})
	b.add(ocispec.ImageLayoutFile, `{"imageLayoutVersion":"1.0.0"}`)
	b.add(ocispec.ImageIndexFile, string(doc))
	return b
}

const config = `{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}`

func manifestOf(config ocispec.Descriptor, layers ...ocispec.Descriptor) ocispec.Manifest {
	return ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: layers}
}

// TestArchivesThatHurt: see the risk.
//
// Risk archives: a list of images of 1 GB, one of 100,000 names, a sparse file of 1 TB, an index within an index within an index, each listed ten times; manifests and configurations of 5 MB, others' digests and sizes, names that are none, names of 70 KB
// Held: each is refused in a moment by what is wrong with it; no name of it stays, nor what it brought
func TestArchivesThatHurt(t *testing.T) {
	large, hex := strings.Repeat(" ", 5<<20), strings.Repeat("0a", 32)
	oci := ocispec.MediaTypeImageManifest
	sound := func(b *bundle) ocispec.Descriptor {
		return b.blob(oci, manifestOf(b.blob(ocispec.MediaTypeImageConfig, config)))
	}
	for name, test := range map[string]struct {
		write func(b *bundle)
		fails string
	}{
		"sound": {func(b *bundle) { b.index("app:1", sound(b)) }, ""},
		"sound, by Docker": {func(b *bundle) {
			b.add("c.json", config)
			b.add("manifest.json", `[{"Config":"c.json","RepoTags":["app:1"],"Layers":[]}]`)
		}, ""},
		"not one":                                {func(b *bundle) { b.add("../../../etc/x", "x"); b.add("/etc/x", "x") }, "an archive of files and of no images"},
		"cut between two files":                  {func(b *bundle) { sound(b) }, "the archive ends in the middle"},
		"cut after a layer, by Docker before 25": {func(b *bundle) { b.add(hex+"/VERSION", "1.0"); b.add(hex+"/layer.tar", "layer") }, "the archive ends in the middle"},
		"cut after a configuration, by Docker":   {func(b *bundle) { b.add("./"+hex+".json", config) }, "the archive ends in the middle"},
		"cut after a layer, by crane":            {func(b *bundle) { b.add(hex+".tar.gz", "layer") }, "the archive ends in the middle"},
		"files of other names": {func(b *bundle) {
			b.add("app/"+hex+".json", "{}")
			b.add("app/lib/layer.tar", "x")
			b.add("cafe.json", "{}")
		}, "an archive of files and of no images"},
		"no archive":    {func(b *bundle) { b.WriteString(strings.Repeat("no archive", 200)) }, "invalid tar header"},
		"list of 1 GB":  {func(b *bundle) { _ = b.w.WriteHeader(&tar.Header{Name: "./manifest.json", Size: 1 << 30, Mode: 0o644}) }, "manifest.json of the archive has 1073741824 bytes, more than the 4393216"},
		"index of 1 GB": {func(b *bundle) { _ = b.w.WriteHeader(&tar.Header{Name: "index.json", Size: 1 << 30, Mode: 0o644}) }, "index.json of the archive has 1073741824 bytes"},
		"file of 1 TB":  {func(b *bundle) { _ = b.w.WriteHeader(&tar.Header{Name: "x", Size: 1 << 60, Mode: 0o644}) }, "the archive has a file of 1152921504.6 GB, \"x\": no space"},
		"100,000 names": {func(b *bundle) {
			b.add("c.json", config)
			b.add("manifest.json", `[{"Config":"c.json","Layers":[],"RepoTags":["a`+strings.Repeat(`","a`, 100_000)+`"]}]`)
		}, "lists more than 2000 images and names"},
		"100,000 images":      {func(b *bundle) { b.add("manifest.json", "[{}"+strings.Repeat(",{}", 100_000)+"]") }, "lists more than 2000 images and names"},
		"manifest of 5 MB":    {func(b *bundle) { b.index("app:1", b.blob(oci, large+"{}")) }, "its manifest sha256:"},
		"index of 5 MB in it": {func(b *bundle) { b.index("app:1", b.blob(ocispec.MediaTypeImageIndex, large+"{}")) }, "its manifest sha256:"},
		"configuration of 5 MB": {func(b *bundle) {
			b.index("app:1", b.blob(oci, manifestOf(b.blob(ocispec.MediaTypeImageConfig, large+config))))
		}, "has 5242958 bytes, more than the 4393216"},
		"configuration of 5 MB, by Docker": {func(b *bundle) {
			b.add("c.json", large+config)
			b.add("manifest.json", `[{"Config":"c.json","RepoTags":["app:1"],"Layers":[]}]`)
		}, "its configuration sha256:"},
		"configuration that says that it is none": {func(b *bundle) {
			b.index("app:1", b.blob(oci, manifestOf(b.blob(ocispec.MediaTypeImageLayer, large+config))))
		}, "it is no image that can be run"},
		"9,000 layers": {func(b *bundle) {
			l := b.blob(ocispec.MediaTypeImageLayer, "layer")
			many := make([]ocispec.Descriptor, 9000)
			for i := range many {
				many[i] = l
			}
			b.index("app:1", b.blob(oci, manifestOf(b.blob(ocispec.MediaTypeImageConfig, config), many...)))
		}, "it has 9000 layers, more than the 500"},
		"indexes that multiply": {func(b *bundle) {
			d := sound(b)
			for range 12 {
				d = b.blob(ocispec.MediaTypeImageIndex, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
					Manifests: []ocispec.Descriptor{d, d, d, d, d, d, d, d, d, d}})
			}
			b.index("app:1", d)
		}, ""},
		"a digest that leads out": {func(b *bundle) {
			b.index("app:1", ocispec.Descriptor{MediaType: oci, Digest: "sha256:../../../../etc/passwd", Size: 9})
		}, "app:1"},
		"a digest of nothing": {func(b *bundle) {
			b.index("app:1", ocispec.Descriptor{MediaType: oci, Digest: digest.FromString("none"), Size: 9})
		}, "not found"},
		"a name that is none":         {func(b *bundle) { b.index("../../x y", sound(b)) }, `names an image "../../x y", which is no reference`},
		"a name with escapes":         {func(b *bundle) { b.index("a\x1b]0;x\a", sound(b)) }, `names an image "a\x1b]0;x\a"`},
		"a name of 70 KB":             {func(b *bundle) { b.index(strings.Repeat("n", 70_000), sound(b)) }, "which is no reference"},
		"a file with a name of 70 KB": {func(b *bundle) { b.add(strings.Repeat("n", 70_000), "x") }, "has 70000 bytes"},
		"links in a circle": {func(b *bundle) {
			_ = b.w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "a"})
			b.add("manifest.json", `[{"Config":"a","Layers":["a"]}]`)
		}, "no target for symlink"},
		"a link to the host": {func(b *bundle) {
			_ = b.w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "c.json", Linkname: "/etc/passwd"})
			b.add("manifest.json", `[{"Config":"c.json","Layers":[],"RepoTags":["app:1"]}]`)
		}, "no target for symlink"},
		"a second image that is broken": {func(b *bundle) {
			first := sound(b)
			first.Annotations = map[string]string{images.AnnotationImageName: "first:1"}
			b.index("app:1", first, ocispec.Descriptor{MediaType: oci, Digest: digest.FromString("none"), Size: 9})
		}, "not found"},
	} {
		t.Run(name, func(t *testing.T) {
			s, ctx := newShelf(t)
			b := newBundle()
			test.write(b)
			_ = b.w.Close() // some end within a file
			began := time.Now()
			names, err := s.Load(ctx, &b.Buffer, asItIs, func(int64, int64, string) {})
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it takes %v", took)
			}
			if test.fails == "" {
				if err != nil || len(names) != 1 || names[0] != "docker.io/library/app:1" {
					t.Errorf("it has %q, %v", names, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.fails) || len(err.Error()) > 1000 {
				t.Errorf("it ends with %.500v, want %q", err, test.fails)
			}
			s.isEmpty(t, ctx)
		})
	}
}

// isEmpty holds that there are no images, no leases, and no blobs once those that
// nothing holds are collected.
func (s *shelf) isEmpty(t *testing.T, ctx context.Context) {
	t.Helper()
	names, err := s.images.List(ctx)
	held, herr := s.client.LeasesService().List(ctx)
	_, gerr := s.meta.GarbageCollect(ctx)
	blobs := 0
	werr := s.content.Walk(ctx, func(content.Info) error { blobs++; return nil })
	if err := errors.Join(err, herr, gerr, werr); err != nil || len(names)+len(held)+blobs > 0 {
		t.Errorf("left are the names %v, the leases %v, %d blobs, %v", names, held, blobs, err)
	}
}

// TestAnArchiveOfTooManyFilesIsRefused: see the risk.
//
// Risk archives: an archive of hundreds of thousands of files
// Held: refused after 20,000, while it is read
func TestAnArchiveOfTooManyFilesIsRefused(t *testing.T) {
	archive := func(n int) io.Reader {
		b := newBundle()
		for i := range n {
			b.add("blobs/"+fmt.Sprint(i), strings.Repeat("x", i))
		}
		_ = b.w.Close()
		return &b.Buffer
	}
	for n, fits := range map[int]bool{0: true, 50: true, 51: false, 2000: false} {
		s := newScreen(archive(n), 50, func(int64) error { return nil })
		all := tar.NewReader(s)
		files, err := 0, error(nil)
		for err == nil {
			var h *tar.Header
			if h, err = all.Next(); err == nil {
				text, rerr := io.ReadAll(all)
				if rerr != nil || len(text) != files || h.Name != "blobs/"+fmt.Sprint(files) {
					t.Errorf("file %d is %q, %d bytes, %v", files, h.Name, len(text), rerr)
				}
				files++
			}
		}
		if fits != errors.Is(err, io.EOF) || !fits && !strings.Contains(err.Error(), "more than 50 files") || files != min(n, 50) {
			t.Errorf("of %d files come %d, %v", n, files, err)
		}
	}
}

// TestWhatIsPulledIsBounded: see the risk.
//
// Risk archives: a registry has an image with a configuration or manifest of 10 GB, with one that says that it is a layer, or with 9,000 layers
// Held: refused before it is fetched
func TestWhatIsPulledIsBounded(t *testing.T) {
	w := newPullWatch(moving{}, nil)
	for _, mediaType := range []string{ocispec.MediaTypeImageConfig, images.MediaTypeDockerSchema2Config, ocispec.MediaTypeImageManifest, images.MediaTypeDockerSchema2ManifestList, "application/octet-stream"} {
		if _, err := w.handle(t.Context(), ocispec.Descriptor{MediaType: mediaType, Digest: "sha256:x", Size: 10 << 30}); err == nil || !strings.Contains(err.Error(), "has 10737418240 bytes, more than") {
			t.Errorf("%s: %v", mediaType, err)
		}
	}
	parts := make([]ocispec.Descriptor, 9001)
	handler := checkingManifests(images.HandlerFunc(func(context.Context, ocispec.Descriptor) ([]ocispec.Descriptor, error) { return parts, nil }))
	for mediaType, want := range map[string]string{ocispec.MediaTypeImageLayer: "no image that can be run", ocispec.MediaTypeImageConfig: "it has 9000 layers"} {
		parts[0].MediaType = mediaType
		if _, err := handler.Handle(t.Context(), ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", mediaType, err)
		}
	}
}

// TestADigestNamesNothingElse: see the risk.
//
// Risk supply chain: another client of containerd gives the name of one digest to another image
// Held: it is not found, nor run, nor built on, and no name of ours is given so
func TestADigestNamesNothingElse(t *testing.T) {
	s, ctx := newShelf(t)
	s.add(t, ctx, "good:1", "good")
	s.add(t, ctx, "evil:1", "evil")
	good, err := s.Get(ctx, "good:1", "")
	if err != nil {
		t.Fatal(err)
	}
	evil, err := s.images.Get(ctx, "docker.io/library/evil:1")
	if err != nil {
		t.Fatal(err)
	}
	pinned := "good:1@" + good.Digest.String()
	if err := s.Tag(ctx, "evil:1", pinned); err == nil || !strings.Contains(err.Error(), "has the digest "+evil.Target.Digest.String()) {
		t.Errorf("named %v", err)
	}
	evil.Name = "docker.io/library/good@" + good.Digest.String()
	if _, err := s.images.Create(ctx, evil); err != nil {
		t.Fatal(err)
	}
	if img, err := s.Get(ctx, pinned, ""); err == nil || !strings.Contains(err.Error(), "orlop image rm") {
		t.Errorf("it is %v, %v", img, err)
	}
	if d, err := s.Digest(ctx, pinned); err != nil || d != "" {
		t.Errorf("found is %q, %v", d, err)
	}
	if err := s.Remove(ctx, pinned); err != nil {
		t.Error(err)
	}
	if err := s.Tag(ctx, "good:1", pinned); err != nil {
		t.Error(err)
	}
	if img, err := s.Get(ctx, pinned, ""); err != nil || img.Config.Cmd[0] != "good" {
		t.Errorf("it is %v, %v", img, err)
	}
}

// TestAllPlatformsOfAnArchiveStay, what is said of them too, when what nothing needs is collected.
func TestAllPlatformsOfAnArchiveStay(t *testing.T) {
	s, ctx := newShelf(t)
	b := newBundle()
	of := func(arch string) ocispec.Descriptor {
		text := fmt.Sprintf(`{"os":"linux","architecture":%q,"rootfs":{"type":"layers","diff_ids":[]}}`, arch)
		d := b.blob(ocispec.MediaTypeImageManifest, manifestOf(b.blob(ocispec.MediaTypeImageConfig, text)))
		d.Platform = &ocispec.Platform{OS: "linux", Architecture: arch}
		return d
	}
	said := b.blob(ocispec.MediaTypeImageManifest, manifestOf(b.blob(ocispec.MediaTypeImageConfig, "{}"), b.blob("application/vnd.in-toto+json", `{"a":1}`)))
	said.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	absent := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("none"), Size: 9, Platform: &ocispec.Platform{OS: "linux", Architecture: "s390x"}}
	top := b.blob(ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{of("amd64"), of("arm64"), said, absent},
	})
	b.index("app:1", top)
	_ = b.w.Close()
	if _, err := s.Load(ctx, &b.Buffer, asItIs, func(int64, int64, string) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.meta.GarbageCollect(ctx); err != nil {
		t.Fatal(err)
	}
	blobs := 0
	if err := s.content.Walk(ctx, func(content.Info) error { blobs++; return nil }); err != nil || blobs != 8 {
		t.Errorf("%d blobs are left, want 8: %v", blobs, err)
	}
}

// quicker is a store in which somebody else makes a name just before us.
type quicker struct {
	images.Store
	other images.Image
	made  bool
}

func (q *quicker) Create(ctx context.Context, img images.Image) (images.Image, error) {
	if !q.made {
		q.made = true
		if _, err := q.Store.Create(ctx, q.other); err != nil {
			return images.Image{}, err
		}
	}
	return q.Store.Create(ctx, img)
}

func TestANameThatIsMadeTwiceAtOnceIsTheLastOnes(t *testing.T) {
	s, ctx := newShelf(t)
	ours := images.Image{Name: "docker.io/library/gate:1", Target: s.put(t, ctx, ocispec.MediaTypeImageManifest, "ours")}
	theirs := images.Image{Name: ours.Name, Target: s.put(t, ctx, ocispec.MediaTypeImageManifest, "theirs")}
	if err := point(ctx, &quicker{Store: s.images, other: theirs}, ours); err != nil {
		t.Fatal(err)
	}
	if got, err := s.images.Get(ctx, ours.Name); err != nil || got.Target.Digest != ours.Target.Digest {
		t.Errorf("it points to %v (%v), want %v", got.Target.Digest, err, ours.Target.Digest)
	}
}

// asItIs is an archive without compression.
func asItIs(in io.Reader) (io.ReadCloser, error) { return io.NopCloser(in), nil }
