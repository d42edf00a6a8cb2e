package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWhatAnEngineDiedOf(t *testing.T) {
	const threads = "runtime: failed to create new OS thread (have 12 already; errno=11)\nruntime: may need to increase max user processes (ulimit -u)\nfatal error: newosproc\n"
	start := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	ready := func(second int) string {
		at := start.Add(time.Duration(second) * time.Second)
		return "time=" + at.Format("2006-01-02T15:04:05.000Z07:00") + " level=INFO msg=ready version=1 pid=7\n"
	}
	lost := start.Add(10 * time.Second)
	for name, test := range map[string]struct{ log, want string }{
		"no threads":                         {ready(0) + threads + "goroutine 1\n", "the engine may start no more"},
		"no threads, and the next is up":     {ready(0) + threads + ready(11), "pids.max"},
		"no threads, and more have been":     {ready(0) + threads + ready(11) + ready(12) + ready(13), "pids.max"},
		"no memory":                          {ready(0) + "fatal error: runtime: out of memory\n", "the engine had no memory: this machine"},
		"killed":                             {ready(0), ""},
		"killed, and the next is up":         {ready(0) + threads + ready(1) + ready(11), ""},
		"killed, and the next is not up yet": {ready(0) + threads + ready(1), ""},
		"killed, and the next died of it":    {ready(0) + ready(11) + threads, ""},
		"of another one, long before":        {ready(0) + threads + ready(1) + ready(2), ""},
		"of one whose beginning is cut off":  {threads, "pids.max"},
		"nothing":                            {"", ""},
	} {
		root := t.TempDir()
		if err := os.Mkdir(filepath.Join(root, "log"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "log", "engine.log"), []byte(test.log), 0o600); err != nil {
			t.Fatal(err)
		}
		got := WhyLost(root, lost)
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	if got := WhyLost(t.TempDir(), lost); got != "" {
		t.Errorf("without a log: %q", got)
	}
}
