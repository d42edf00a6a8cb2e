package loop

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/orlop/orlop/spec"
)

// TestHowAFileChangedIsSeen: written in place, replaced, or another kind of thing.
func TestHowAFileChangedIsSeen(t *testing.T) {
	for _, test := range []struct {
		name          string
		change        func(t *testing.T, path string)
		inPlace, anew bool
	}{
		{"written", func(t *testing.T, path string) { put(t, path, "two") }, true, false},
		{"renamed over", func(t *testing.T, path string) {
			put(t, path+"~", "two")
			must(t, os.Rename(path+"~", path))
		}, false, false},
		{"removed and made again", func(t *testing.T, path string) {
			was := bornAt(path)
			if was == 0 {
				t.Skip("SKIPPED: this file system does not say when a file was made")
			}
			for bornAt(path) == was { // the kernel's clock stands for some milliseconds
				must(t, os.Remove(path))
				put(t, path, "two")
			}
		}, false, false},
		{"renamed over and written", func(t *testing.T, path string) {
			put(t, path+"~", "two")
			must(t, os.Rename(path+"~", path))
			put(t, path, "three")
		}, false, false},
		{"a directory now", func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, os.Mkdir(path, 0o700))
		}, false, true},
		{"a link now", func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, os.Symlink("/", path))
		}, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			put(t, path, "one")
			w := newFiles(t, dir)
			test.change(t, path)
			e := w.deliver(path)
			if e.InPlace != test.inPlace || e.Anew != test.anew {
				t.Errorf("in place %t, anew %t", e.InPlace, e.Anew)
			}
			if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
				return
			}
			put(t, path, "the last word")
			if e := w.deliver(path); !e.InPlace {
				t.Error("what was written after that is not in place")
			}
		})
	}
}

// TestWhatIsNewWasNothing: nothing is written in place that was not there.
func TestWhatIsNewWasNothing(t *testing.T) {
	dir := t.TempDir()
	w := newFiles(t, dir)
	put(t, filepath.Join(dir, "f"), "one")
	if e := w.deliver(filepath.Join(dir, "f")); e.InPlace || e.Anew {
		t.Errorf("%+v", e)
	}
}

// TestAFileThatIsRewrittenIsDeliveredOnce: the container may be older than the
// watch, and have something else.
func TestAFileThatIsRewrittenIsDeliveredOnce(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "f"), filepath.Join(dir, "g")
	put(t, path, "one")
	put(t, other, "one")
	w := newFiles(t, dir)
	if changed := w.tree.survey(); len(changed)+len(w.tree.rewritten) > 0 {
		t.Errorf("of nothing %v and %v", changed, w.tree.rewritten)
	}
	put(t, path, "one")
	put(t, other, "one")
	if changed := w.tree.resolve(map[string]bool{path: true, other: false}); len(changed) > 0 {
		t.Errorf("%v has changed", changed)
	}
	if !slices.Equal(w.tree.rewritten, []string{path}) {
		t.Fatalf("rewritten is %v", w.tree.rewritten)
	}
	w.queue.rewritten(path)
	o := w.queue.next(w.tree.began, false)
	if len(o.sync) != 1 || o.sync["/app/f"].source != path {
		t.Fatalf("due is %+v", o.sync)
	}
	w.queue.synced(o, nil, false, w.tree.began)
	w.queue.rewritten(path)
	if o := w.queue.next(w.tree.began, false); !o.isEmpty() {
		t.Errorf("again due is %+v", o.sync)
	}
	rebuilt := newQueue("web", []*Rule{rule(spec.WatchRebuild, dir, "")})
	rebuilt.rewritten(path)
	if o := rebuilt.next(w.tree.began, false); !o.isEmpty() {
		t.Errorf("the same content is built: %+v", o)
	}
}

// files are a directory under one sync rule.
type files struct {
	t     *testing.T
	tree  *tree
	queue *queue
}

func newFiles(t *testing.T, dir string) *files {
	r := rule(spec.WatchSync, dir, "/app")
	w := &files{t: t, tree: newTree(scope{[]*Rule{r}}, deaf{}), queue: newQueue("web", []*Rule{r})}
	w.queue.origin = w.tree.origin
	w.queue.known("1")
	w.tree.survey()
	return w
}

// deliver sends what has changed, which must be one path.
func (w *files) deliver(path string) (sent Entry) {
	w.t.Helper()
	for _, changed := range w.tree.survey() {
		w.queue.change(changed)
	}
	o := w.queue.next(w.tree.began, false)
	unread, err := send(o.sync, func(e Entry) error { sent = e; return nil })
	if err != nil || len(unread) > 0 || len(o.sync) != 1 || sent.Path != w.queue.rules[0].TargetOf(path) {
		w.t.Fatal(fmt.Sprintf("sent %+v of %d", sent, len(o.sync)), unread, err)
	}
	w.queue.synced(o, nil, false, w.tree.began)
	return sent
}

func put(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
}
