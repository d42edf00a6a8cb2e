package boltfile

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestWhatIsSetAsideIsRootsAndGoes: a damaged database has values of environments.
//
// Risk environment: a database with the environments of containers is damaged, and set aside
// Held: root alone reads the file, and it goes after a week, or with `orlop doctor --fix`
func TestWhatIsSetAsideIsRootsAndGoes(t *testing.T) {
	root, now := t.TempDir(), time.Unix(2_000_000_000, 0)
	dir := filepath.Join(root, "containerd", "io.containerd.metadata.v1.bolt")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	meta, own := filepath.Join(dir, "meta.db"), filepath.Join(root, "engine.db")
	set := func(path string, when time.Time) string {
		t.Helper()
		if err := os.WriteFile(path, []byte("PASSWORD=canary"), 0o644); err != nil {
			t.Fatal(err)
		}
		aside, err := SetAside(path, when)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(aside); err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%s: %v, %v", aside, info, err)
		}
		return aside
	}
	first := set(meta, now)
	_, second, third := set(own, now.Add(time.Hour)), set(meta, now.Add(2*time.Hour)), set(meta, now.Add(3*time.Hour))
	ahead := set(filepath.Join(root, "other.db"), now.Add(1000*time.Hour)) // by a clock that was wrong
	if aside, err := SetAside(meta, now); aside != "" || err != nil {
		t.Errorf("one that is not there: %q, %v", aside, err)
	}
	if got := Asides(root); !slices.Contains(got, first) || slices.Contains(got, second) || !slices.Contains(got, third) {
		t.Errorf("the first and the last stay: %q", got)
	}
	for _, step := range []struct {
		at   time.Duration
		left int
		due  time.Duration
	}{{4 * time.Hour, 3, AsideLife}, {AsideLife, 2, AsideLife + time.Hour}, {AsideLife + 3*time.Hour, 0, 0}} {
		due, err := Expire(root, now.Add(step.at))
		if left := Asides(root); err != nil || len(left) != step.left || step.left > 0 && !due.Equal(now.Add(step.due)) || step.left == 0 && !due.IsZero() {
			t.Errorf("after %v: %q, due %v, %v", step.at, left, due, err)
		}
	}
	if _, err := os.Stat(ahead); err == nil {
		t.Error("one of the future stays for ever")
	}
}
