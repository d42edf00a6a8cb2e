package store

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// storeEnv names the directory in which this program, started again, writes a
// store.
const storeEnv = "ORLOP_TEST_STORE"

// TestWriteAStore is no test: it is what the tests of faults run under strace. It
// says on its standard output which documents a flush has promised.
func TestWriteAStore(t *testing.T) {
	dir := os.Getenv(storeEnv)
	if dir == "" {
		t.Skip("SKIPPED: it is the process that another test starts")
	}
	s, warning, err := Open(filepath.Join(dir, "engine.db"), quiet())
	if err != nil {
		fmt.Println("refused:", err)
		return
	}
	if warning != "" {
		t.Fatal(warning)
	}
	for i := range 6 {
		key := fmt.Sprintf("key-%d", i)
		s.Save("docs", key, []byte(strings.Repeat(key, 500)))
		if s.Flush() == nil {
			fmt.Println("kept:", key)
		}
	}
	_ = s.Close() // it tells by what is kept
}

// TestAFullOrBrokenDiskLosesNothingOfTheStore: each write and sync of the store
// fails in turn.
//
// Fault 11: a write or a sync of the engine's store fails, each in its turn, for want of room or for a broken disk
// Seen: the command that waits for it fails; the next one writes it
// Kept: all that was written before can be read, by this engine and the next
func TestAFullOrBrokenDiskLosesNothingOfTheStore(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("SKIPPED: needs strace")
	}
	failures := 0
	for _, fault := range []string{"ENOSPC", "EIO"} {
		for _, call := range []string{"pwrite64", "fdatasync"} {
			for k := 1; k <= 14; k++ {
				out := writeStore(t, strace, fmt.Sprintf("%s:error=%s:when=%d", call, fault, k))
				if strings.Count(out, "kept:") < 6 {
					failures++
				}
			}
		}
	}
	if failures < 20 {
		t.Errorf("only %d faults were felt: the test can't fail", failures)
	}
}

// writeStore writes a store with a fault and reads it without.
func writeStore(t *testing.T, strace, fault string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "engine.db")
	first, _ := open(t, path)
	first.Save("docs", "before", []byte("1"))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(strace, "-f", "-qqq", "-o", "/dev/null", "-e", "trace=pwrite64,fdatasync", "-e", "inject="+fault, os.Args[0], "-test.run", "^TestWriteAStore$")
	c.Env = append(os.Environ(), storeEnv+"="+dir)
	text, err := c.CombinedOutput()
	out := string(text)
	if err != nil {
		t.Fatalf("%s: %v\n%s", fault, err, out)
	}
	s, warning := open(t, path)
	defer s.Close()
	if warning != "" {
		t.Errorf("%s: %s", fault, warning)
	}
	if string(s.Get("docs", "before")) != "1" {
		t.Errorf("%s: what was there before is gone", fault)
	}
	for line := range strings.Lines(out) {
		if key, ok := strings.CutPrefix(strings.TrimSpace(line), "kept: "); ok && s.Get("docs", key) == nil {
			t.Errorf("%s: %s was promised and is not there", fault, key)
		}
	}
	return out
}
