package proc

import (
	"os"
	"strconv"
	"strings"

	"github.com/moby/sys/capability"
)

// OOMScore is how willingly the kernel is to kill a child of this process
// (proc_pid_oom_score_adj(5)); nil: as willingly as this one, below which nobody goes
// without CAP_SYS_RESOURCE.
func OOMScore(want int) *int {
	text, _ := os.ReadFile("/proc/self/oom_score_adj")
	own, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return oomScore(want, own, mayLowerScore())
}

func oomScore(want, own int, mayLower bool) *int {
	if want < own && !mayLower {
		return nil
	}
	return &want
}

func mayLowerScore() bool {
	caps, err := capability.NewPid2(0)
	return err == nil && caps.Load() == nil && caps.Get(capability.EFFECTIVE, capability.CAP_SYS_RESOURCE)
}
