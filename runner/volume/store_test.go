package volume

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// documents are kept in memory: an engine's store, for one bucket.
type documents map[string][]byte

func (d documents) Save(_, key string, value []byte)       { d[key] = bytes.Clone(value) }
func (d documents) Delete(_, key string)                   { delete(d, key) }
func (d documents) Load(string) (map[string][]byte, error) { return maps.Clone(d), nil }

func open(t *testing.T, dir string, docs documents) *Store {
	t.Helper()
	v, err := Open(Config{
		Dir: dir, Places: filepath.Join(t.TempDir(), "places"), Documents: docs, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// with is a store of volumes of the project shop, each with a file.
func with(t *testing.T, names ...string) *Store {
	t.Helper()
	v := open(t, t.TempDir(), documents{})
	for _, name := range names {
		if err := v.Ensure(&Volume{Name: name, Project: "shop", Key: name}); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(v.Path(name), "file"), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func names(v *Store) []string {
	return slices.Sorted(maps.Keys(v.Observe("shop", nil)))
}

// again is the store as the next engine has it.
func again(t *testing.T, v *Store) *Store {
	t.Helper()
	return open(t, v.dir, v.docs.(documents))
}

func TestVolumesOutliveTheEngine(t *testing.T) {
	v := with(t, "a", "b")
	if err := v.Ensure(&Volume{Name: "a", Project: "other"}); err != nil {
		t.Fatal(err)
	}
	if err := v.Ensure(&Volume{Name: "hidden", Project: "shop", Anonymous: true}); err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]*Store{"this engine": v, "the next": again(t, v)} {
		want := map[string]planner.Volume{"a": {Name: "a", Project: "shop", Key: "a"}, "b": {Name: "b", Project: "shop", Key: "b"}}
		if got := v.Observe("shop", nil); !reflect.DeepEqual(got, want) {
			t.Errorf("%s has %+v, want %+v", name, got, want)
		}
		if got := v.Observe("other", map[string]bool{"b": true}); len(got) != 1 || got["b"].Project != "shop" {
			t.Errorf("%s: another project that names b has %+v", name, got)
		}
		if n := len(v.List()); n != 3 {
			t.Errorf("%s lists %d", name, n)
		}
		if text, err := os.ReadFile(filepath.Join(v.Path("a"), "file")); err != nil || string(text) != "a" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

// A user's data is never taken for nothing: a lost store is made of the
// directories.
func TestVolumesOutliveTheStore(t *testing.T) {
	v := with(t, "a")
	if err := os.MkdirAll(filepath.Join(v.dir, "bare", "_data"), 0o755); err != nil {
		t.Fatal(err)
	}
	v = open(t, v.dir, documents{})
	if got := v.Observe("shop", map[string]bool{"bare": true}); len(got) != 2 || got["a"].Key != "a" {
		t.Errorf("got %+v", got)
	}
	if docs := v.docs.(documents); len(docs) != 2 {
		t.Errorf("%d are on record again", len(docs))
	}
}

func TestNamesOfVolumes(t *testing.T) {
	v := with(t)
	for name, ok := range map[string]bool{
		"a": true, "shop_data": true, "A-1.b": true, "": false, ".a": false, leaving: false, "_a": false, "-a": false, "a/b": false,
		"a b": false, "ä": false, strings.Repeat("x", 200): true, strings.Repeat("x", 201): false,
	} {
		if err := v.Ensure(&Volume{Name: name}); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// What else the stack file asks for is not carried out with the labels, and is
// told of again.
func TestNewLabelsMakeNothingElseApplied(t *testing.T) {
	v := with(t)
	made := &spec.Volume{Name: "v", Driver: "local", Labels: map[string]string{"a": "1"}}
	if err := v.Ensure(&Volume{Name: "v", Applied: made}); err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"b": "2"}
	if err := v.Relabel("v", &spec.Volume{Name: "v", Labels: labels}); err != nil {
		t.Fatal(err)
	}
	want := &spec.Volume{Name: "v", Driver: "local", Labels: labels}
	for _, v := range []*Store{v, again(t, v)} {
		if got := v.Observe("", nil)["v"].Applied; !reflect.DeepEqual(got, want) {
			t.Errorf("the volume has %+v", got)
		}
	}
	if made.Labels["a"] != "1" {
		t.Error("what was observed before has changed")
	}
	if err := v.Relabel("none", &spec.Volume{}); err == nil {
		t.Error("a volume that is gone has new labels")
	}
}

func TestARemovedVolumeIsGone(t *testing.T) {
	v := with(t, "a", "b")
	if err := v.Remove("a"); err != nil {
		t.Fatal(err)
	}
	if err := v.Remove("none"); err != nil {
		t.Errorf("one that is not there: %v", err)
	}
	for name, v := range map[string]*Store{"this engine": v, "the next": again(t, v)} {
		if got := names(v); !slices.Equal(got, []string{"b"}) {
			t.Errorf("%s has %v", name, got)
		}
	}
	if left, err := os.ReadDir(v.dir); err != nil || len(left) != 1 {
		t.Errorf("beside the other one is left %v, %v", left, err)
	}
}

// Data may take minutes to delete. Meanwhile the volumes can be observed, and
// one of the same name is made anew, with nothing in it.
func TestARemovalHoldsUpNobody(t *testing.T) {
	v := with(t, "big")
	begun, on := make(chan struct{}), make(chan struct{})
	v.delete = func(path string) error {
		close(begun)
		<-on
		return os.RemoveAll(path)
	}
	removed := make(chan error, 1)
	go func() { removed <- v.Remove("big") }()
	<-begun
	seen := make(chan []string, 1)
	go func() { seen <- names(v) }()
	select {
	case got := <-seen:
		if len(got) > 0 {
			t.Errorf("there still is %v", got)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody can observe the volumes while one is removed")
	}
	if err := v.Ensure(&Volume{Name: "big", Project: "shop"}); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(v.Path("big")); err != nil || len(entries) > 0 {
		t.Errorf("the new one has %v, %v", entries, err)
	}
	if err := os.WriteFile(filepath.Join(v.Path("big"), "new"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	close(on)
	if err := <-removed; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(v.Path("big"), "new")); err != nil {
		t.Errorf("the removal took from the new one: %v", err)
	}
}

// An engine that is killed while it deletes leaves the rest to the next one,
// for which it is no volume, also where the store has it still.
func TestACutRemovalIsFinishedByTheNextEngine(t *testing.T) {
	for name, forgets := range map[string]bool{"its end was on record": true, "its end was not": false} {
		t.Run(name, func(t *testing.T) {
			v := with(t, "cut", "other")
			had := v.docs.(documents)["cut"]
			v.delete = func(string) error { return os.ErrDeadlineExceeded }
			if err := v.Remove("cut"); err == nil || !strings.Contains(err.Error(), "cannot remove all that was in volume cut") {
				t.Fatalf("got %v", err)
			}
			if !forgets {
				v.docs.Save(bucket, "cut", had)
			}
			next := again(t, v)
			if got := names(next); !slices.Equal(got, []string{"other"}) {
				t.Errorf("the next engine has %v", got)
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			next.FinishRemovals(ended)
			left := func() int {
				found, _ := filepath.Glob(filepath.Join(v.dir, leaving, "cut.*"))
				return len(found)
			}
			if left() != 1 {
				t.Error("it goes on though the engine ends")
			}
			next.FinishRemovals(t.Context())
			if left() != 0 {
				t.Error("the rest was not deleted")
			}
			if _, err := os.Lstat(filepath.Join(v.dir, leaving)); err == nil {
				t.Error("where it was is still there")
			}
			if _, err := os.Stat(filepath.Join(v.Path("other"), "file")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAVolumeOfAContainerThatIsBeingMadeStays(t *testing.T) {
	v := with(t, "a")
	if _, err := v.claim("c1", &Volume{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	if err := v.Remove("a"); err == nil || len(names(v)) != 1 {
		t.Errorf("it is removed: %v", err)
	}
	v.Release("c1")
	if err := v.Remove("a"); err != nil || len(names(v)) != 0 {
		t.Errorf("it stays: %v", err)
	}
}

// A file with many names counts once, and what goes away meanwhile not at all.
func TestSizeOfAVolume(t *testing.T) {
	v := with(t, "a")
	path := filepath.Join(v.Path("a"), "large")
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(path, path+".twin"); err != nil {
		t.Fatal(err)
	}
	if size, err := v.Size("a"); err != nil || size < 1<<20 || size > 3<<19 {
		t.Errorf("it takes %d bytes, %v", size, err)
	}
	if size, err := v.Size("none"); err != nil || size != 0 {
		t.Errorf("one that is not there takes %d bytes, %v", size, err)
	}
}
