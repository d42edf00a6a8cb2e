package logs

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzLogFile holds that whatever a log's file has by now, such as what a power failure
// leaves, is read to its end: each line that is given stands in it, and what is written
// afterwards is found.
func FuzzLogFile(f *testing.F) {
	const whole = "2026-01-02T15:04:05.999999999Z stdout F hello\n"
	f.Add([]byte(whole), false)
	f.Add([]byte(whole+"2026-01-02T15:04:05Z stderr P par"), true)
	f.Add([]byte(whole[:30]+"\x00\x00\x00\x00"+whole), true)
	f.Add(append(bytes.Repeat([]byte("x"), 3*lineSize), []byte("\n"+whole)...), false)
	f.Add([]byte("9999-12-31T23:59:59Z stdout F later\n0000-01-01T00:00:00Z stdout F earlier\n"), false)
	f.Fuzz(func(t *testing.T, content []byte, rotated bool) {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if rotated {
			if err := os.Rename(path, numbered(path, 1)); err != nil {
				t.Fatal(err)
			}
		}
		log := New(Config{Path: path, Now: func() time.Time { return time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC) }})
		defer log.Close()
		for _, which := range []Selection{{Tail: -1}, {Tail: 3}, {Tail: -1, Since: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)}} {
			lines, _, err := log.past(which)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range lines {
				if !bytes.Contains(content, l.Text) {
					t.Errorf("a line that is nowhere: %q", l.Text)
				}
			}
		}
		log.Write(false, []byte("written\n"))
		last := log.Last(1, time.Time{})
		if len(last) != 1 || !bytes.HasSuffix([]byte(last[0]), []byte("written")) {
			t.Errorf("what was written afterwards is %q", last)
		}
	})
}
