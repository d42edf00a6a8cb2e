package daemon

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"
)

// lostTail is how much of the engine's log is looked at: the traces of all its
// goroutines come after what it died of.
const lostTail = 1 << 20

// WhyLost says what an engine died of that went away in the middle of a call, as was
// noticed at a time, where its log tells of something that the machine has too little of;
// else "".
func WhyLost(root string, at time.Time) string {
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
	return lostBecause(ofEngine(text, at))
}

// readyLine is what an engine writes once it answers; its time is the first part.
var readyLine = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?m)^time=(\S+) .*msg=ready .*$`) })

// ofEngine is the part of a log, or of the end of one, that is of the engine which answered
// at a time: others may have died before it, or come and gone since.
func ofEngine(log []byte, at time.Time) []byte {
	begin, end := 0, len(log)
	for _, m := range readyLine().FindAllSubmatchIndex(log, -1) {
		since, err := time.Parse(time.RFC3339Nano, string(log[m[2]:m[3]]))
		if err != nil {
			continue
		}
		if since.After(at) {
			end = m[0]
			break
		}
		begin = m[0]
	}
	return log[begin:end]
}

// lostBecause reads what an engine has written.
func lostBecause(log []byte) string {
	switch {
	case bytes.Contains(log, []byte("failed to create new OS thread")):
		return "the engine may start no more processes or threads here: raise pids.max of the cgroup that it is in, or \"ulimit -u\""
	case bytes.Contains(log, []byte("runtime: out of memory")), bytes.Contains(log, []byte("runtime: cannot allocate memory")):
		return "the engine had no memory: this machine, or the cgroup that it is in, has too little for it"
	}
	return ""
}
