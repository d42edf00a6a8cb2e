package proc

import (
	"testing"
)

func TestKillsForWantOfMemoryAreSeen(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       bool
	}{
		{"v2, none", "low 0\nhigh 0\nmax 7\noom 0\noom_kill 0\n", false},
		{"v2, one", "low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\noom_group_kill 0\n", true},
		{"v1, none", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n", false},
		{"v1, many", "oom_kill_disable 0\nunder_oom 1\noom_kill 12\n", true},
		{"nothing", "", false},
	} {
		if got := killsOf(c.text); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}
