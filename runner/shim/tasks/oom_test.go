package tasks

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestWantOfMemoryIsToldOnceForEachTime(t *testing.T) {
	root := t.TempDir()
	told := make(chan string, 8)
	f, err := newFiles(t.Context(), root, func(id string) { told <- id })
	if err != nil {
		t.Fatal(err)
	}
	count := func(group, text string) {
		if err := os.WriteFile(filepath.Join(root, group, "memory.events"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, group := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(root, group), 0o700); err != nil {
			t.Fatal(err)
		}
		count(group, "oom 0\noom_kill 0\n")
		if err := f.addFile("box-"+group, group); err != nil {
			t.Fatal(err)
		}
	}
	count("a", "oom 1\noom_kill 0\n") // nobody was killed
	count("b", "oom 1\noom_kill 1\n")
	count("b", "oom 2\noom_kill 1\noom_group_kill 3\n")
	count("a", "oom 2\noom_kill 2\n")
	got := map[string]int{} // the order is that of the looks at them
	for range 2 {
		select {
		case id := <-told:
			got[id]++
		case <-time.After(10 * time.Second):
			t.Fatalf("told is of %v only", got)
		}
	}
	if got["box-a"] != 1 || got["box-b"] != 1 {
		t.Errorf("told is %v, not each once", got)
	}
	if err := f.watch.Remove(filepath.Join(root, "b", "memory.events")); err != nil { // what is just not told
		t.Fatal(err)
	}
	count("b", "oom 3\noom_kill 2\n")
	f.Remove("box-b")
	select {
	case id := <-told:
		if id != "box-b" {
			t.Errorf("told is %s", id)
		}
	default:
		t.Error("the last one is told by nobody")
	}
	if len(f.known) != 1 {
		t.Errorf("known are %v", f.known)
	}
}
