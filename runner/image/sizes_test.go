package image

import (
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestSizes: layers that two images begin with are there once, and are shared by both; the same layer
// on another one is not the same on the disk.
func TestSizes(t *testing.T) {
	layer := func(name string, unpacked int64) Layer {
		return Layer{Digest: digest.FromString("sent " + name), DiffID: digest.FromString(name), Sent: 1, Unpacked: unpacked}
	}
	built := Layer{Digest: digest.FromString("sent built"), DiffID: digest.FromString("built"), Sent: 7, Unpacked: 8, IsView: true}
	base, one, two, loose := layer("base", 100), layer("one", 10), layer("two", 20), layer("loose", -1)
	sizes, total := add(map[digest.Digest][]Layer{"a": {base, one}, "b": {base, two}, "c": {one}, "d": {loose}, "e": nil, "f": {built}})
	for name, want := range map[string]Size{"a": {110, 100}, "b": {120, 100}, "c": {10, 0}, "d": {1, 0}, "e": {}, "f": {8, 0}} {
		if sizes[name] != want {
			t.Errorf("%s is %+v, want %+v", name, sizes[name], want)
		}
	}
	if want := int64(100 + 10 + 20 + 10 + 4 + 8); total != want {
		t.Errorf("all is %d, want %d", total, want)
	}
}
