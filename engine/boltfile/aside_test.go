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
// Held: root alone reads the file, and it goes after a week
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
	}{{4 * time.Hour, 4, AsideLife}, {AsideLife, 3, AsideLife + time.Hour}, {AsideLife + 3*time.Hour, 1, AsideLife + 4*time.Hour}, {AsideLife + 4*time.Hour, 0, 0}} {
		due, err := Expire(root, now.Add(step.at))
		if left := Asides(root); err != nil || len(left) != step.left || step.left > 0 && !due.Equal(now.Add(step.due)) || step.left == 0 && !due.IsZero() {
			t.Errorf("after %v: %q, due %v, %v", step.at, left, due, err)
		}
	}
	if _, err := os.Stat(ahead); err == nil {
		t.Error("one of the future stays for ever")
	}
}

// TestAWrongClockRemovesNothing: a machine without a clock of its own begins at 1970, and
// hears of the time later.
//
// Fault 32: the machine starts at 1970, or with a clock that was ahead, and a damaged database is there or is set aside then
// Seen: nothing
// Kept: the copy, for a week from when the time is known; another one is not written over
func TestAWrongClockRemovesNothing(t *testing.T) {
	now, boot := time.Unix(2_000_000_000, 0), time.Unix(30, 0)
	for name, stamps := range map[string][]time.Time{
		"set aside before": {now.Add(-time.Hour)}, "set aside at 1970": {boot}, "both": {boot, now.Add(-time.Hour)}, "ahead": {now.Add(1000 * time.Hour), now.Add(2000 * time.Hour)},
	} {
		root := t.TempDir()
		for _, at := range stamps {
			path := filepath.Join(root, "engine.db")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := SetAside(path, at); err != nil {
				t.Fatal(err)
			}
		}
		for _, at := range []time.Time{boot.Add(time.Second), now, now.Add(AsideLife - 2*time.Hour)} {
			due, err := Expire(root, at)
			if left := Asides(root); err != nil || len(left) != len(stamps) || !due.After(at) || due.After(at.Add(AsideLife+time.Minute)) {
				t.Errorf("%s: at %v there are %q, due %v, %v", name, at, left, due, err)
			}
		}
		if _, err := Expire(root, now.Add(AsideLife+time.Minute)); err != nil || len(Asides(root)) > 0 {
			t.Errorf("%s: after a week there are %q, %v", name, Asides(root), err)
		}
	}
}

// TestOneOfAnOlderEngineGoes: it was set aside without a time.
func TestOneOfAnOlderEngineGoes(t *testing.T) {
	root, now := t.TempDir(), time.Unix(2_000_000_000, 0)
	path := filepath.Join(root, "buildkit", "cache.db.damaged")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Asides(root); !slices.Equal(got, []string{path}) {
		t.Errorf("set aside are %q", got)
	}
	if due, err := Expire(root, now); err != nil || !due.Equal(now.Add(AsideLife)) || len(Asides(root)) != 1 {
		t.Errorf("due %v, %v: %q", due, err, Asides(root))
	}
	if _, err := Expire(root, now.Add(AsideLife)); err != nil || len(Asides(root)) > 0 {
		t.Errorf("after a week: %q, %v", Asides(root), err)
	}
}
