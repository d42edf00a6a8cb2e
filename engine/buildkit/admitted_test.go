package buildkit

import (
	"context"
	"errors"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/source"
	"github.com/moby/buildkit/source/containerblob"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// nothingHere is a content store without content.
type nothingHere struct{ content.Store }

func (nothingHere) Info(context.Context, digest.Digest) (content.Info, error) {
	return content.Info{}, errdefs.ErrNotFound
}

// TestBlobsOfRegistriesAreAdmittedToo: see the risk.
//
// Risk supply chain: a client of the engine's BuildKit names a layer of an image by itself, docker-image+blob://
// Held: the policy is asked as for the image
func TestBlobsOfRegistriesAreAdmittedToo(t *testing.T) {
	refused, asked := errors.New("refused"), ""
	blobs, err := containerblob.NewSource(containerblob.SourceOpt{ContentStore: nothingHere{}})
	if err != nil {
		t.Fatal(err)
	}
	of := admittedBlobs{blobs, func(_ context.Context, _ []string, name string, root digest.Digest, _ *ocispec.Platform) error {
		asked = name + " " + root.String()
		return refused
	}}
	m, err := source.NewManager()
	if err != nil {
		t.Fatal(err)
	}
	m.Register(of)
	d := digest.FromString("layer")
	key := func(op *pb.SourceOp) error {
		id, err := m.Identifier(&pb.Op_Source{Source: op}, nil)
		if err != nil {
			t.Fatal(err)
		}
		instance, err := m.Resolve(t.Context(), id, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _, _, _, err = instance.CacheKey(t.Context(), nil, 0)
		return err
	}
	name := "registry.example/shop/api@" + d.String()
	if err := key(&pb.SourceOp{Identifier: "docker-image+blob://" + name}); !errors.Is(err, refused) || asked != name+" "+d.String() {
		t.Errorf("%q was asked for: %v", asked, err)
	}
	asked = ""
	if err := key(&pb.SourceOp{Identifier: "oci-layout+blob://" + name, Attrs: map[string]string{pb.AttrOCILayoutStoreID: "x"}}); err != nil || asked != "" {
		t.Errorf("what the client gives itself: %q was asked for: %v", asked, err)
	}
}
