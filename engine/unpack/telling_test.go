package unpack

import (
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestHowFarALayerIsIsTold: to who asked for it by the context, as services in between
// pass nothing else on.
func TestHowFarALayerIsIsTold(t *testing.T) {
	l := packed(t, entries(dir("a"), file("a/b")))
	var told []int64
	ctx := Telling(t.Context(), func(_ ocispec.Descriptor, bytes int64) { told = append(told, bytes) })
	_, err := applier(l).Apply(ctx, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString("l")}, []mount.Mount{{Type: "bind", Source: t.TempDir(), Options: []string{"rbind", "rw"}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(told) < 2 || told[0] != 0 || told[len(told)-1] == 0 {
		t.Errorf("told is %v", told)
	}
}
