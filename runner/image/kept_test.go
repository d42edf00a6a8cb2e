package image

import (
	"context"
	"testing"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/content"
	coremetadata "github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// addWhole puts an image on the shelf whose parts are kept with it; it gives its digest.
func (s *shelf) addWhole(t *testing.T, ctx context.Context, ref, command string) string {
	t.Helper()
	s.add(t, ctx, ref, command)
	img, err := s.Get(ctx, ref, "")
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ctd.Config(ctx)
	if err != nil {
		t.Fatal(err)
	}
	info := content.Info{Digest: img.Digest, Labels: map[string]string{"containerd.io/gc.ref.content.config": config.Digest.String()}}
	if _, err := s.content.Update(ctx, info, "labels"); err != nil {
		t.Fatal(err)
	}
	return img.Digest.String()
}

// addOld puts an image on the shelf whose name is given to another one then.
func (s *shelf) addOld(t *testing.T, ctx context.Context) string {
	t.Helper()
	sum := s.addWhole(t, ctx, "app", "old")
	if err := s.images.Delete(ctx, "docker.io/library/app:latest"); err != nil {
		t.Fatal(err)
	}
	s.addWhole(t, ctx, "app", "new")
	return sum
}

// isThere says whether an image is there after a collection.
func (s *shelf) isThere(t *testing.T, ctx context.Context, sum string) bool {
	t.Helper()
	if _, err := s.meta.GarbageCollect(ctx); err != nil {
		t.Fatal(err)
	}
	of := []planner.Container{{Applied: &planner.Applied{Service: &spec.Service{}, Image: sum}}}
	return s.Whole(ctx, of, "linux/amd64")[sum]
}

// TestAnImageIsHeldWithoutAName until it is let go, by whoever held it or the next engine.
func TestAnImageIsHeldWithoutAName(t *testing.T) {
	s, ctx := newShelf(t)
	sum := s.addOld(t, ctx)
	release, err := s.Keep(ctx, []string{sum})
	if err != nil {
		t.Fatal(err)
	}
	if !s.isThere(t, ctx, sum) {
		t.Fatal("an image that is held is collected")
	}
	img, err := s.At(ctx, "app", sum, "")
	if err != nil || img.Config.Cmd[0] != "old" || img.Digest.String() != sum || img.Name != "docker.io/library/app:latest" {
		t.Errorf("%+v, %v", img, err)
	}
	if img, err := s.At(ctx, "app", "", ""); err != nil || img.Config.Cmd[0] != "new" {
		t.Errorf("%+v, %v", img, err)
	}
	release()
	if s.isThere(t, ctx, sum) {
		t.Error("an image stays that nobody holds")
	}
	if _, err := s.At(ctx, "app", sum, ""); err == nil {
		t.Error("an image is found that is not there")
	}
	if err := s.images.Delete(ctx, "docker.io/library/app:latest"); err != nil {
		t.Fatal(err)
	}
	sum = s.addOld(t, ctx)
	if _, err := s.Keep(ctx, []string{sum}); err != nil {
		t.Fatal(err)
	}
	if err := s.DropKept(ctx); err != nil || s.isThere(t, ctx, sum) {
		t.Errorf("what an engine held that was killed stays: %v", err)
	}
}

// TestAContainerHoldsItsImage by a label that containerd's collection follows.
func TestAContainerHoldsItsImage(t *testing.T) {
	s, ctx := newShelf(t)
	sum := s.addOld(t, ctx)
	document, err := typeurl.MarshalAny(&specs.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	list := coremetadata.NewContainerStore(s.meta)
	k := containers.Container{ID: "c", Runtime: containers.RuntimeInfo{Name: "r"}, Spec: document, Labels: map[string]string{"containerd.io/gc.ref.content.image": sum}}
	if _, err := list.Create(ctx, k); err != nil {
		t.Fatal(err)
	}
	if !s.isThere(t, ctx, sum) {
		t.Error("the image of a container is collected")
	}
	if err := list.Delete(ctx, "c"); err != nil {
		t.Fatal(err)
	}
	if s.isThere(t, ctx, sum) {
		t.Error("the image of no container stays")
	}
	if s.isThere(t, ctx, digest.FromString("nothing").String()) {
		t.Error("an image is there that never was")
	}
}
