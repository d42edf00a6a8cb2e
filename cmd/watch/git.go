package watch

import (
	"cmp"
	"context"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/orlop/orlop/cmd/cli"
)

// gitExcludes are the files beside .gitignore that say what git leaves out of
// the working tree that holds a directory, the weaker ones first: the user's
// own, and the repository's. git is asked, which knows how its settings
// include each other; without it they are where they are by default.
func gitExcludes(ctx context.Context, s *cli.Settings) func(dir string) []string {
	return func(dir string) []string {
		own := askGit(ctx, s.Environ, dir, "config", "--path", "--get", "core.excludesFile")
		if own == "" {
			own = filepath.Join(cmp.Or(s.Env["XDG_CONFIG_HOME"], filepath.Join(s.Env["HOME"], ".config")), "git", "ignore")
		}
		repository := askGit(ctx, s.Environ, dir, "rev-parse", "--git-path", "info/exclude")
		if repository == "" {
			repository = filepath.Join(".git", "info", "exclude")
		}
		list := []string{own, repository}
		for i, file := range list {
			if !filepath.IsAbs(file) {
				list[i] = filepath.Join(dir, file)
			}
		}
		return list
	}
}

// askGit gives git's answer, or "" where there is none.
func askGit(ctx context.Context, environ []string, dir string, words ...string) string {
	c := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, words...)...)
	c.Env = environ
	out, err := c.Output()
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(out), "\n")
}
