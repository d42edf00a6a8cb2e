package volume

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func nobody(string) bool    { return false }
func everybody(string) bool { return true }

func TestAVolumeOfAContainerThatWasNeverMadeGoes(t *testing.T) {
	v := with(t, "named")
	anonymous, err := v.claim("c1", &Volume{Name: newName(), Project: "shop", Anonymous: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.claim("c1", &Volume{Name: "second", Project: "shop"}); err != nil {
		t.Fatal(err)
	}
	next := again(t, v) // the engine was killed before the container was there
	next.RemoveBound(nobody, nobody)
	if next.Has(anonymous.Name) {
		t.Error("the volume that nobody named stays")
	}
	if !next.Has("named") || !next.Has("second") {
		t.Error("a named volume goes")
	}
}

// TestAVolumeThatWasNotDescribedYetGoesWithItsContainer: the engine was killed between
// what it is bound to and what it is.
func TestAVolumeThatWasNotDescribedYetGoesWithItsContainer(t *testing.T) {
	v := with(t)
	name := newName()
	if err := os.MkdirAll(filepath.Join(v.dir, name, "_data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(v.boundPath(name), []byte("c1"), 0o600); err != nil {
		t.Fatal(err)
	}
	next := again(t, v)
	next.RemoveBound(nobody, nobody)
	if next.Has(name) {
		t.Error("it stays")
	}
}

func TestAVolumeOfAContainerThatIsThereStays(t *testing.T) {
	v := with(t)
	anonymous, err := v.claim("c1", &Volume{Name: newName(), Project: "shop", Anonymous: true})
	if err != nil {
		t.Fatal(err)
	}
	next := again(t, v)
	next.RemoveBound(everybody, nobody)
	if !next.Has(anonymous.Name) {
		t.Fatal("the volume goes, and its container is there")
	}
	// Later the container is removed, and its volumes are not asked for.
	last := again(t, next)
	last.RemoveBound(nobody, nobody)
	if !last.Has(anonymous.Name) {
		t.Error("a volume goes that its container was removed without")
	}
}

func TestAVolumeStaysThatItsContainerIsRemovedWithout(t *testing.T) {
	v := with(t)
	anonymous, err := v.claim("c1", &Volume{Name: newName(), Project: "shop", Anonymous: true})
	if err != nil {
		t.Fatal(err)
	}
	v.Release("c1")
	next := again(t, v)
	next.RemoveBound(nobody, nobody)
	if !next.Has(anonymous.Name) {
		t.Error("the volume goes")
	}
}

func TestARemovalOfAContainerThatIsCutTakesItsVolumesAlong(t *testing.T) {
	v := with(t, "c")
	for _, name := range []string{"a", "b"} {
		if _, err := v.claim("c1", &Volume{Name: name, Project: "shop", Anonymous: true}); err != nil {
			t.Fatal(err)
		}
	}
	v.Release("c1")
	if err := v.Bind("c1", []string{"a", "b", "gone"}); err != nil {
		t.Fatal(err)
	}
	if err := v.Unbind([]string{"b", "gone"}); err != nil { // it could not be removed after all
		t.Fatal(err)
	}
	next := again(t, v)
	next.RemoveBound(nobody, nobody)
	if next.Has("a") || !next.Has("b") || !next.Has("c") {
		t.Errorf("a is there: %t, b: %t, c: %t, want b and c", next.Has("a"), next.Has("b"), next.Has("c"))
	}
}

// TestAVolumeThatSomebodyHasStays: the file that says to whom a volume is bound may be what
// a disk that failed, or somebody else, has left.
//
// Fault 15: a volume is said to be bound to a container that is gone, and a container that is there has it, or its user named it
// Seen: nothing
// Kept: the volume, then and with the next engine
func TestAVolumeThatSomebodyHasStays(t *testing.T) {
	v := with(t, "named")
	if _, err := v.claim("c1", &Volume{Name: "taken", Project: "shop", Anonymous: true}); err != nil {
		t.Fatal(err)
	}
	if err := v.Bind("c1", []string{"taken", "named"}); err != nil {
		t.Fatal(err)
	}
	next := again(t, v)
	next.RemoveBound(nobody, func(volume string) bool { return volume == "taken" })
	last := again(t, next) // its container was removed without it meanwhile
	last.RemoveBound(nobody, nobody)
	if !last.Has("taken") || !last.Has("named") {
		t.Errorf("the volume that a container took over is there: %t, the named one: %t", last.Has("taken"), last.Has("named"))
	}
}

// TestAVolumeThatCantBeUnboundIsSaid: a container that is removed without its volumes must
// not be gone while they are bound to it.
func TestAVolumeThatCantBeUnboundIsSaid(t *testing.T) {
	v := with(t)
	if _, err := v.claim("c1", &Volume{Name: "data", Project: "shop", Anonymous: true}); err != nil {
		t.Fatal(err)
	}
	v.Release("c1")
	if err := v.Unbind([]string{"data", "gone"}); err != nil {
		t.Errorf("what is not bound can't be unbound: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(v.boundPath("data"), "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := v.Unbind([]string{"gone", "data"}); err == nil || !strings.Contains(err.Error(), "volume data") {
		t.Errorf("said is %v", err)
	}
}

// TestWhatAContainerThatFailedWasMadeGoes: at once, or, if the engine is killed before that,
// with the next one. What it only took over stays.
//
// Fault 2: the engine is killed between the failure to make a container and the removal of its volumes
// Seen: nothing
// Kept: no volume that nobody named is left behind; those that it was to take over stay
func TestWhatAContainerThatFailedWasMadeGoes(t *testing.T) {
	v := with(t)
	if _, err := v.claim("c0", &Volume{Name: "older", Project: "shop", Anonymous: true}); err != nil {
		t.Fatal(err)
	}
	v.Release("c0")
	for _, name := range []string{"older", "named", "fresh"} {
		if _, err := v.claim("c1", &Volume{Name: name, Project: "shop", Anonymous: name != "named"}); err != nil {
			t.Fatal(err)
		}
	}
	v.Abandon("c1")
	if !v.Has("older") || !v.Has("named") || v.Has("fresh") {
		t.Errorf("what it took over is there: %t, a named one: %t, its own: %t", v.Has("older"), v.Has("named"), v.Has("fresh"))
	}
	if err := v.Remove("older"); err != nil {
		t.Errorf("it has a claim still: %v", err)
	}
}

// A directory without anything is none of a volume, which has its data in one of its own.
func TestAVolumeThatWasOnlyBegunIsNone(t *testing.T) {
	v := with(t)
	if err := os.Mkdir(filepath.Join(v.dir, "begun"), 0o755); err != nil {
		t.Fatal(err)
	}
	if next := again(t, v); next.Has("begun") {
		t.Error("an empty directory is taken for a volume")
	}
}

func TestAVolumeThatCantBeDescribedLeavesNothing(t *testing.T) {
	v := with(t)
	failed := func() {
		t.Helper()
		if err := v.Ensure(&Volume{Name: "data", Project: "shop"}); err == nil {
			t.Fatal("a volume is made whose record can't be kept")
		}
	}
	inTheWay := filepath.Join(v.dir, "data", "volume.json")
	if err := os.MkdirAll(inTheWay, 0o755); err != nil {
		t.Fatal(err)
	}
	failed()
	if entries, err := os.ReadDir(v.dir); err != nil || len(entries) != 0 {
		t.Errorf("left is %v (%v)", entries, err)
	}
	// What is there already is not the volume's to remove.
	if err := os.MkdirAll(inTheWay, 0o755); err != nil {
		t.Fatal(err)
	}
	precious := filepath.Join(v.Path("data"), "precious")
	if err := os.MkdirAll(precious, 0o755); err != nil {
		t.Fatal(err)
	}
	failed()
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("what was there is gone: %v", err)
	}
}
