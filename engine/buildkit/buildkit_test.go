package buildkit

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/util/grpcerrors"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/orlop/orlop/runner/image"
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
	importers := cacheImporters(nil, nil, nil, l, nil)
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

// markedContent notes of what it is told that it was made here.
type markedContent struct {
	content.Manager
	list []string
}

func (m *markedContent) Update(ctx context.Context, info content.Info, paths ...string) (content.Info, error) {
	ns, _ := namespaces.Namespace(ctx)
	if info.Labels[image.LabelMade] != "" && slices.Equal(paths, []string{"labels." + image.LabelMade}) {
		m.list = append(m.list, ns+" "+info.Digest.String())
	}
	return info, nil
}

func TestImagesHaveTheirFullNames(t *testing.T) {
	store := &imageNames{}
	marked := &markedContent{}
	named := namedImages{store, marked, "orlop"}
	for _, name := range []string{"web", "docker.io/library/web:latest", "NOT A NAME"} {
		if _, err := named.Get(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := named.Create(t.Context(), images.Image{Name: "web:1", Target: ocispec.Descriptor{Digest: "sha256:b"}}); err != nil {
		t.Fatal(err)
	}
	want := "orlop docker.io/library/web:latest|orlop docker.io/library/web:latest|orlop NOT A NAME|orlop docker.io/library/web:1"
	if got := strings.Join(store.asked, "|"); got != want {
		t.Errorf("asked for %s", got)
	}
	if !slices.Equal(marked.list, []string{"orlop sha256:b"}) {
		t.Errorf("marked as built here: %v", marked.list)
	}
}

// fakeRunc notes what it is asked for, in a file, and ends with a code.
func fakeRunc(t *testing.T, code int) (path, notes string) {
	t.Helper()
	dir := t.TempDir()
	path, notes = filepath.Join(dir, "runc"), filepath.Join(dir, "asked")
	text := fmt.Sprintf("#!/bin/sh\necho \"$@\" >> %s\necho no such state >&2\nexit %d\n", notes, code)
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path, notes
}

// TestASweepEndsTheStepsThatAreLeft: what can't be ended keeps its files, which
// are the root of what runs.
func TestASweepEndsTheStepsThatAreLeft(t *testing.T) {
	for name, c := range map[string]struct {
		code int
		kept bool
	}{"ended": {0, false}, "not ended": {1, true}} {
		t.Run(name, func(t *testing.T) {
			if !c.kept && os.Geteuid() != 0 {
				t.Skip("SKIPPED: needs root: it unmounts")
			}
			runc, notes := fakeRunc(t, c.code)
			bundles := t.TempDir()
			if err := os.MkdirAll(filepath.Join(bundles, "step1", "rootfs"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(bundles, "hosts"), nil, 0o600); err != nil { // BuildKit's own
				t.Fatal(err)
			}
			s := &Steps{Bundles: bundles, Runc: runc, Notes: "/notes", Log: slog.New(slog.DiscardHandler)}
			if !s.Sweep(t.Context()) {
				t.Error("it finds nothing")
			}
			if asked, err := os.ReadFile(notes); err != nil || string(asked) != "--root /notes delete --force step1\n" {
				t.Errorf("runc is asked for %q, %v", asked, err)
			}
			if _, err := os.Stat(filepath.Join(bundles, "step1")); (err == nil) != c.kept {
				t.Errorf("its files: %v", err)
			}
			if _, err := os.Stat(filepath.Join(bundles, "hosts")); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAFullRootIsNotRemoved: it may be somebody's files that are mounted there.
func TestAFullRootIsNotRemoved(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root: it unmounts")
	}
	runc, _ := fakeRunc(t, 0)
	s := &Steps{Bundles: t.TempDir(), Runc: runc, Log: slog.New(slog.DiscardHandler)}
	file := filepath.Join(s.Bundles, "step1", "rootfs", "file")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Sweep(t.Context())
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

// TestADamagedCacheIndexIsBegunAnew: it only saves time. A whole one is kept.
func TestADamagedCacheIndexIsBegunAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	opened := func(name string) *bboltcachestorage.Store {
		t.Helper()
		store, err := openCache(path)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return store
	}
	store := opened("new")
	if err := store.AddResult("step", solver.CacheResult{ID: "r"}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	store = opened("whole")
	if !store.Exists("step") {
		t.Error("a whole index is begun anew")
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	headless := slices.Clone(whole)
	clear(headless[:2*4096]) // both pages that say where all else is
	for name, text := range map[string][]byte{"text": []byte(strings.Repeat("no database at all\n", 5000)), "cut": whole[:len(whole)/2], "headless": headless} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		store := opened(name)
		if err := store.AddResult("step", solver.CacheResult{ID: "r"}); err != nil || !store.Exists("step") {
			t.Errorf("%s: it is of no use: %v", name, err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestAStepIsInItsNamespace: whatever its document says.
func TestAStepIsInItsNamespace(t *testing.T) {
	s := &buildSandbox{path: "/run/netns/b"}
	for name, doc := range map[string]*specs.Spec{
		"none":    {Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}}}},
		"another": {Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.NetworkNamespace, Path: "/old"}, {Type: specs.MountNamespace}}}},
	} {
		if err := s.Set(doc); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, ns := range doc.Linux.Namespaces {
			got = append(got, string(ns.Type)+" "+ns.Path)
		}
		slices.Sort(got)
		if strings.Join(got, "|") != "mount |network /run/netns/b" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestACacheIsUnderItsTag(t *testing.T) {
	if got := cacheTag(map[string]string{"tag": "web"}) + cacheTag(nil); got != "weblatest" {
		t.Error(got)
	}
}

func TestACancelledBuildThatDoesNotEndIsLeftAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		defer close(end)
		c := waitingControl{run: t.Context(), solve: func(context.Context, *controlapi.SolveRequest) (*controlapi.SolveResponse, error) {
			<-end
			return nil, nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if _, err := c.Solve(ctx, &controlapi.SolveRequest{}); err == nil || time.Since(began) != time.Minute+solvePatience {
			t.Errorf("it was left after %v (%v)", time.Since(began), err)
		}
	})
}

func TestACancelledBuildIsOverOnceSolveReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		isOver := false
		c := waitingControl{run: t.Context(), solve: func(ctx context.Context, _ *controlapi.SolveRequest) (*controlapi.SolveResponse, error) {
			<-ctx.Done()
			time.Sleep(time.Second) // it names its image, which nothing interrupts
			isOver = true
			return nil, ctx.Err()
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := c.Solve(ctx, &controlapi.SolveRequest{})
		if !isOver || grpcerrors.Code(err) != codes.Canceled {
			t.Errorf("over: %t, error: %v", isOver, err)
		}
	})
}
