package proc

import (
	"os"
	"strings"
)

// OutOfMemory says whether the kernel killed something in a container's cgroup
// for want of memory. The cgroup must still be there.
func OutOfMemory(cgroup string) bool {
	for _, path := range []string{
		"/sys/fs/cgroup" + cgroup + "/memory.events",
		"/sys/fs/cgroup/memory" + cgroup + "/memory.oom_control",
	} {
		if text, err := os.ReadFile(path); err == nil && killsOf(string(text)) {
			return true
		}
	}
	return false
}

// killsOf reads the counter of kills; cgroup v1 and v2 write it alike.
func killsOf(text string) bool {
	for line := range strings.Lines(text) {
		if n, found := strings.CutPrefix(line, "oom_kill "); found {
			return strings.TrimSpace(n) != "0"
		}
	}
	return false
}
