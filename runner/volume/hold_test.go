package volume

import (
	"errors"
	"strings"
	"testing"
)

// TestAHeldVolumeStays: nobody removes it, who writes is alone, and no container that would
// have it is made meanwhile.
func TestAHeldVolumeStays(t *testing.T) {
	v := open(t, t.TempDir(), documents{})
	if _, _, err := v.Hold("data", false); !errors.Is(err, ErrNone) {
		t.Fatalf("a volume that is not there is held: %v", err)
	}
	if err := v.Ensure(&Volume{Name: "data"}); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	_, endRead, err := v.Hold("data", false)
	if err != nil {
		t.Fatal(err)
	}
	refused("removed", v.Remove("data"), "it is just being exported")
	_, endWrite, err := v.Hold("data", true)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = v.Hold("data", true)
	refused("a second writer", err, "another import into volume data")
	_, err = v.claim("c1", &Volume{Name: "data"})
	refused("a container", err, "an import into volume data is under way")
	endRead()
	refused("removed", v.Remove("data"), "an import into it is under way")
	endWrite()
	if _, err := v.claim("c1", &Volume{Name: "data"}); err != nil {
		t.Fatal(err)
	}
	_, _, err = v.Hold("data", true)
	refused("a writer beside a container that is made", err, "just being made")
	v.Release("c1")
	if err := v.Remove("data"); err != nil {
		t.Error(err)
	}
}
