package main

import (
	"os"
	"strconv"
	"strings"
)

// scoreFile has what the kernel adds to a process's share of the memory, in
// thousandths, when it looks for one to kill (proc_pid_oom_score_adj(5)).
const scoreFile = "/proc/self/oom_score_adj"

// keeperScore lets the kernel take any service first, until a program of Orlop
// has half of the machine's memory itself. It is that of Docker's daemon.
const keeperScore = -500

// outliveServices has the keeper, and by it the engine and the shims, killed
// after the services where the machine's memory is used up. Containers and build
// steps get a score of their own. Who may not lower its score keeps it.
func outliveServices() {
	text, err := os.ReadFile(scoreFile)
	if err != nil {
		return
	}
	if now, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && now > keeperScore {
		_ = os.WriteFile(scoreFile, []byte(strconv.Itoa(keeperScore)), 0)
	}
}
