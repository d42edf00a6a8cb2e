package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatAnEngineDiedOf(t *testing.T) {
	const threads = "runtime: failed to create new OS thread (have 12 already; errno=11)\nruntime: may need to increase max user processes (ulimit -u)\nfatal error: newosproc\n"
	const ready = "time=x level=INFO msg=ready version=1\n"
	for name, test := range map[string]struct{ log, want string }{
		"no threads":                     {ready + threads + "goroutine 1\n", "pids.max"},
		"no threads, and the next is up": {ready + threads + ready, "pids.max"},
		"no memory":                      {ready + "fatal error: runtime: out of memory\n", "memory"},
		"killed":                         {ready, ""},
		"of another one, long before":    {ready + threads + ready + ready, ""},
		"nothing":                        {"", ""},
	} {
		root := t.TempDir()
		if err := os.Mkdir(filepath.Join(root, "log"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "log", "engine.log"), []byte(test.log), 0o600); err != nil {
			t.Fatal(err)
		}
		got := WhyLost(root)
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	if got := WhyLost(t.TempDir()); got != "" {
		t.Errorf("without a log: %q", got)
	}
}
