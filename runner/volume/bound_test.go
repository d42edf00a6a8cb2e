package volume

import (
	"os"
	"path/filepath"
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
	next.RemoveBound(nobody)
	if next.Has(anonymous.Name) {
		t.Error("the volume that nobody named stays")
	}
	if !next.Has("named") || !next.Has("second") {
		t.Error("a named volume goes")
	}
}

func TestAVolumeOfAContainerThatIsThereStays(t *testing.T) {
	v := with(t)
	anonymous, err := v.claim("c1", &Volume{Name: newName(), Project: "shop", Anonymous: true})
	if err != nil {
		t.Fatal(err)
	}
	next := again(t, v)
	next.RemoveBound(everybody)
	if !next.Has(anonymous.Name) {
		t.Fatal("the volume goes, and its container is there")
	}
	// Later the container is removed, and its volumes are not asked for.
	last := again(t, next)
	last.RemoveBound(nobody)
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
	next.RemoveBound(nobody)
	if !next.Has(anonymous.Name) {
		t.Error("the volume goes")
	}
}

func TestARemovalOfAContainerThatIsCutTakesItsVolumesAlong(t *testing.T) {
	v := with(t, "a", "b", "c")
	if err := v.Bind("c1", []string{"a", "b", "gone"}); err != nil {
		t.Fatal(err)
	}
	v.Unbind([]string{"b", "gone"}) // it could not be removed after all
	next := again(t, v)
	next.RemoveBound(nobody)
	if next.Has("a") || !next.Has("b") || !next.Has("c") {
		t.Errorf("left are %v, want b and c", names(next))
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
