package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func testImage(made *int) image {
	recipe := layerRecipe{name: "small", inputs: "v1", write: func(_ context.Context, out *layerWriter) error {
		*made++
		out.dir("etc", 0o755)
		out.file("etc/motd", 0o644, []byte("hello\n"))
		out.link("etc/greeting", "motd")
		return out.err
	}}
	return image{repository: "small", tags: []string{"latest", "1"}, layers: []layerRecipe{recipe},
		config: imageConfig{Env: []string{"PATH=/bin"}, Cmd: []string{"sh"}, WorkingDir: "/etc"}}
}

func testKitchen(t *testing.T) kitchen {
	t.Helper()
	k := kitchen{dir: t.TempDir(), epoch: time.Unix(defaultEpoch, 0).UTC()}
	if err := os.Mkdir(k.layerDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	return k
}

// The importer that the engine uses must find every name, and behind it an image that it can run.
func TestArchiveIsImportedUnderEveryName(t *testing.T) {
	ctx, k, made := context.Background(), testKitchen(t), 0
	if err := k.make(ctx, testImage(&made)); err != nil {
		t.Fatal(err)
	}
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(k.dir, "small.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	top, err := archive.ImportIndex(ctx, store, f)
	if err != nil {
		t.Fatal(err)
	}
	var found ocispec.Index
	readJSON(t, store, top, &found)
	names := map[string]bool{}
	for _, d := range found.Manifests {
		names[d.Annotations[images.AnnotationImageName]] = true
		man, err := images.Manifest(ctx, store, d, platforms.DefaultStrict())
		if err != nil {
			t.Fatal(err)
		}
		var config ocispec.Image
		readJSON(t, store, man.Config, &config)
		if got := config.Config.WorkingDir; got != "/etc" {
			t.Errorf("working directory: got %q, want /etc", got)
		}
		if len(man.Layers) != 1 || len(config.RootFS.DiffIDs) != 1 {
			t.Fatalf("got %d layers and %d diff ids, want one each", len(man.Layers), len(config.RootFS.DiffIDs))
		}
	}
	for _, want := range []string{"docker.io/library/small:latest", "docker.io/library/small:1"} {
		if !names[want] {
			t.Errorf("the archive has no image named %s; it has %v", want, names)
		}
	}
}

func readJSON(t *testing.T, store content.Store, d ocispec.Descriptor, into any) {
	t.Helper()
	text, err := content.ReadBlob(context.Background(), store, d)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

func TestMakeDoesNothingWhenInputsAreUnchanged(t *testing.T) {
	ctx, k, made := context.Background(), testKitchen(t), 0
	for range 2 {
		if err := k.make(ctx, testImage(&made)); err != nil {
			t.Fatal(err)
		}
	}
	if made != 1 {
		t.Fatalf("the layer was made %d times, want once", made)
	}
	changed := testImage(&made)
	changed.layers[0].inputs = "v2"
	if err := k.make(ctx, changed); err != nil {
		t.Fatal(err)
	}
	if made != 2 {
		t.Fatalf("with other inputs the layer was made %d times, want twice", made)
	}
}

func TestSweepKeepsWhatImagesHave(t *testing.T) {
	k, made := testKitchen(t), 0
	img := testImage(&made)
	if err := k.make(context.Background(), img); err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(k.layerDir(), "small-0123.tar.gz")
	if err := os.WriteFile(stale, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := k.sweep([]image{img}); err != nil {
		t.Fatal(err)
	}
	if exists(stale) || !exists(k.layerPath(img.layers[0])+".tar.gz") {
		t.Fatal("the sweep kept a stale layer, or took one that is in use")
	}
}

func TestSameInputsGiveTheSameBytes(t *testing.T) {
	ctx, made := context.Background(), 0
	var archives [2][]byte
	for i := range archives {
		k := testKitchen(t)
		if err := k.make(ctx, testImage(&made)); err != nil {
			t.Fatal(err)
		}
		var err error
		if archives[i], err = os.ReadFile(filepath.Join(k.dir, "small.tar")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Fatal("two makes of the same inputs differ")
	}
}

func TestFailedLayerLeavesNothingBehind(t *testing.T) {
	k, made, broken := testKitchen(t), 0, errors.New("no packages")
	img := testImage(&made)
	img.layers[0].write = func(context.Context, *layerWriter) error { return broken }
	if err := k.make(context.Background(), img); !errors.Is(err, broken) {
		t.Fatalf("got error %v, want %v", err, broken)
	}
	for _, dir := range []string{k.dir, k.layerDir()} {
		left, err := filepath.Glob(filepath.Join(dir, "*.tar*"))
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v (%v)", left, err)
		}
	}
}

func TestCopiedTreeBelongsToRootAndIsReadable(t *testing.T) {
	root := t.TempDir()
	for name, mode := range map[string]os.FileMode{"go": 0o700, "read": 0o400} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "test", "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	var buffer bytes.Buffer
	out := newLayerWriter(&buffer, time.Unix(defaultEpoch, 0))
	if err := out.copyTree(root, "usr/local/go", keepOfGo); err != nil {
		t.Fatal(err)
	}
	if _, err := out.close(); err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{"usr/local/go/": 0o755, "usr/local/go/go": 0o755, "usr/local/go/read": 0o644}
	unzipped, err := gzip.NewReader(&buffer)
	if err != nil {
		t.Fatal(err)
	}
	for in := tar.NewReader(unzipped); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if mode, ok := want[header.Name]; !ok || mode != header.Mode || header.Uid != 0 {
			t.Errorf("unexpected entry %s mode %o uid %d", header.Name, header.Mode, header.Uid)
		}
		delete(want, header.Name)
	}
	if len(want) > 0 {
		t.Errorf("missing entries: %v", want)
	}
}

func TestMachineFilesStayOutOfImages(t *testing.T) {
	for name, want := range map[string]bool{"etc/passwd": true, "dev/": true, "dev/null": false, "etc/resolv.conf": false,
		"var/log/": true, "var/log/apt/": true, "var/log/dpkg.log": false, "usr/bin/sh": true} {
		if got := keepInImage(name); got != want {
			t.Errorf("keepInImage(%q) = %v, want %v", name, got, want)
		}
	}
}
