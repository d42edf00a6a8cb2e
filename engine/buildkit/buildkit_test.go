package buildkit

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

func TestACacheThatIsNotThereIsNamed(t *testing.T) {
	for _, kind := range []string{"registry", "local", "inline"} {
		if err := CheckCache(kind); err != nil {
			t.Error(err)
		}
	}
	if len(cloudExporters()) > 0 {
		return // with cloudcache
	}
	for _, kind := range []string{"gha", "s3", "azblob"} {
		if err := CheckCache(kind); err == nil || !strings.Contains(err.Error(), "TAGS=cloudcache") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// TestAnExportHasAnImport: but for inline, which is read as a registry's.
func TestAnExportHasAnImport(t *testing.T) {
	l := &localCache{}
	importers := cacheImporters(nil, nil, nil, l)
	for kind := range cacheExporters(nil, nil, l) {
		if importers[kind] == nil && kind != "inline" {
			t.Errorf("what is written to %s can't be read", kind)
		}
	}
}

func TestALocalCacheNeedsItsDirectory(t *testing.T) {
	l := &localCache{}
	if _, err := l.exporter(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), "dest=") {
		t.Errorf("%v", err)
	}
	if _, _, err := l.importer(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), "src=") {
		t.Errorf("%v", err)
	}
	empty := t.TempDir()
	if _, _, err := l.importer(t.Context(), nil, map[string]string{"src": empty, "tag": "web"}); err == nil || !strings.Contains(err.Error(), empty+` has no cache "web"`) {
		t.Errorf("%v", err)
	}
	if _, err := l.exporter(t.Context(), nil, map[string]string{"dest": filepath.Join(empty, "new")}); err != nil {
		t.Error(err)
	}
}

// TestTheProgramOfStepsIsOursOfThisEngine: a later engine leads the name to its own.
func TestTheProgramOfStepsIsOursOfThisEngine(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"v1", "v2"} {
		s := &Steps{Runc: filepath.Join("/libexec", version, "runc"), Notes: "/notes/" + version, Log: slog.New(slog.DiscardHandler)}
		path, err := s.program(dir)
		if err != nil {
			t.Fatal(err)
		}
		if to, err := os.Readlink(path); err != nil || to != "/libexec/"+version+"/orlopd" {
			t.Errorf("%s: it leads to %s, %v", version, to, err)
		}
		if notes, err := os.ReadFile(path + ".root"); err != nil || string(notes) != s.Notes {
			t.Errorf("%s: its notes are at %s, %v", version, notes, err)
		}
	}
}

func TestASweepWithoutStepsFindsNone(t *testing.T) {
	s := &Steps{Bundles: filepath.Join(t.TempDir(), "none"), Log: slog.New(slog.DiscardHandler)}
	if s.Sweep(t.Context()) {
		t.Error("it finds steps where there are none")
	}
}

// TestAFrameIsAMessageAsItCame: what is passed on is not decoded, all else is.
func TestAFrameIsAMessageAsItCame(t *testing.T) {
	var codec FrameCodec
	sent := &controlapi.SolveRequest{Ref: "r"}
	data, err := codec.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	var f frame
	if err := codec.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	again, err := codec.Marshal(&f)
	if err != nil {
		t.Fatal(err)
	}
	got := &controlapi.SolveRequest{}
	if err := codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(again.Materialize())}, got); err != nil || !proto.Equal(got, sent) {
		t.Errorf("%v, %v", got, err)
	}
}

// imageNames notes what a store of images is asked for, and where.
type imageNames struct {
	images.Store
	asked []string
}

func (s *imageNames) Get(ctx context.Context, name string) (images.Image, error) {
	ns, _ := namespaces.Namespace(ctx)
	s.asked = append(s.asked, ns+" "+name)
	return images.Image{}, nil
}

func (s *imageNames) Create(ctx context.Context, i images.Image) (images.Image, error) {
	return s.Get(ctx, i.Name)
}

func TestImagesHaveTheirFullNames(t *testing.T) {
	store := &imageNames{}
	named := namedImages{store, "orlop"}
	for _, name := range []string{"web", "docker.io/library/web:latest", "NOT A NAME"} {
		if _, err := named.Get(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := named.Create(t.Context(), images.Image{Name: "web:1"}); err != nil {
		t.Fatal(err)
	}
	want := "orlop docker.io/library/web:latest|orlop docker.io/library/web:latest|orlop NOT A NAME|orlop docker.io/library/web:1"
	if got := strings.Join(store.asked, "|"); got != want {
		t.Errorf("asked for %s", got)
	}
}
