package buildkit

import (
	"context"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// oneImage has the same image under every name.
type oneImage struct {
	images.Store
	target digest.Digest
}

func (o oneImage) Get(_ context.Context, name string) (images.Image, error) {
	return images.Image{Name: name, Target: ocispec.Descriptor{Digest: o.target}}, nil
}

// TestFROMWithADigestTakesNothingElse: see the risk.
//
// Risk supply chain: another client of containerd gives the name of one digest to another image, which a Dockerfile names
// Held: BuildKit does not find it, and asks a registry
func TestFROMWithADigestTakesNothingElse(t *testing.T) {
	good, evil := digest.FromString("good"), digest.FromString("evil")
	s := namedImages{oneImage{target: evil}, nil, "orlop"}
	for name, found := range map[string]bool{"app": true, "app:1": true, "app@" + evil.String(): true, "app:1@" + evil.String(): true,
		"app@" + good.String(): false, "app:1@" + good.String(): false} {
		if _, err := s.Get(t.Context(), name); found != (err == nil) || !found && !errdefs.IsNotFound(err) {
			t.Errorf("%s: %v, want found: %v", name, err, found)
		}
	}
}
