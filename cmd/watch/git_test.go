package watch

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/orlop/orlop/cmd/cli"
)

func TestGitIsAskedWhereItsExcludesAre(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("SKIPPED: needs git")
	}
	home, dir := t.TempDir(), t.TempDir()
	environ := []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1"}
	settings := cli.NewSettings(cli.World{Environ: environ, Now: time.Now})
	asked := func(what string, want ...string) {
		t.Helper()
		if got := gitExcludes(context.Background(), &settings)(dir); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	usual := filepath.Join(dir, ".git", "info", "exclude")
	asked("no repository", home+"/.config/git/ignore", usual)
	c := exec.Command("git", "init", "-q", dir)
	c.Env = environ
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	asked("a repository", home+"/.config/git/ignore", usual)
	if err := os.WriteFile(home+"/.gitconfig", []byte("[core]\n\texcludesFile = ~/mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	asked("a setting", home+"/mine", usual)
}
