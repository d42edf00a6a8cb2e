package daemon

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
)

// lostTail is how much of the engine's log is looked at: the traces of all its
// goroutines come after what it died of.
const lostTail = 1 << 20

// WhyLost says what an engine died of that went away in the middle of a call, where
// its log tells of something that the machine has too little of; else "".
func WhyLost(root string) string {
	f, err := os.Open(filepath.Join(root, "log", "engine.log"))
	if err != nil {
		return ""
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Size() > lostTail {
		_, _ = f.Seek(-lostTail, io.SeekEnd)
	}
	text, err := io.ReadAll(io.LimitReader(f, lostTail))
	if err != nil {
		return ""
	}
	return lostBecause(text)
}

// lostBecause reads the end of a log. The next engine may be there already, and have
// written what it writes first.
func lostBecause(log []byte) string {
	ready := []byte("msg=ready ")
	if last := bytes.LastIndex(log, ready); last >= 0 {
		if before := bytes.LastIndex(log[:last], ready); before >= 0 {
			log = log[before:]
		}
	}
	switch {
	case bytes.Contains(log, []byte("failed to create new OS thread")):
		return "it may start no more processes or threads here: raise pids.max of the cgroup that it is in, or \"ulimit -u\""
	case bytes.Contains(log, []byte("runtime: out of memory")), bytes.Contains(log, []byte("runtime: cannot allocate memory")):
		return "this machine, or the cgroup that it is in, had no memory for it"
	}
	return ""
}
