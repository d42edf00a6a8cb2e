package cli

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/cmd/display"
)

// nearlyFull is from which part of a disk in use on a user is warned, in percent.
const nearlyFull = 90

// warnOfDisk tells who is about to write much that the engine's disk is nearly
// full.
func (inv *Invocation) warnOfDisk(root string) {
	if inv.IsSilent() || !slices.Contains([]string{"up", "build", "pull", "run", "ci", "watch", "load"}, inv.Verb) {
		return
	}
	var st unix.Statfs_t
	if root == "" || unix.Statfs(root, &st) != nil || st.Blocks == 0 {
		return // it may be another machine's
	}
	if used := usedPercent(st.Blocks, st.Bfree, st.Bavail); used >= nearlyFull {
		fmt.Fprintf(inv.Stderr, "%sthe disk of %s is %d%% full, %s free: make room, for example with \"orlop gc\"\n",
			inv.ErrStyle().Yellow(" ! "), root, used, display.Bytes(int64(st.Bavail)*st.Bsize))
	}
}

// usedPercent is how full a file system is, as df(1) rounds it.
func usedPercent(all, free, available uint64) uint64 {
	used := all - free
	if used+available == 0 {
		return 0
	}
	return (used*100 + used + available - 1) / (used + available)
}
