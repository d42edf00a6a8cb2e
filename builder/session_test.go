package builder

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestWhatAKilledCommandLeftIsRemoved(t *testing.T) {
	temp := t.TempDir()
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	for name, stays := range map[string]bool{
		fmt.Sprintf("%s%d-1", tempPrefix, dead.Process.Pid): false,
		fmt.Sprintf("%s%d-2", tempPrefix, os.Getpid()):      true,
		tempPrefix + "words-3":                              true,
	} {
		dir := filepath.Join(temp, name)
		if err := os.MkdirAll(filepath.Join(dir, "web"), 0o700); err != nil {
			t.Fatal(err)
		}
		removeAbandoned(temp)
		if _, err := os.Stat(dir); (err == nil) != stays {
			t.Errorf("%s: it is there: %t, want %t", name, err == nil, stays)
		}
	}
}
