package builder

import (
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
)

// otherMachine says that a step failed as its program is of another machine, with the
// place that asks for it; "" where the cause is another. output is what it printed.
func otherMachine(req Request, output []string) string {
	isOther := func(line string) bool { return strings.Contains(line, "exec format error") }
	if len(req.Platforms) == 0 || !slices.ContainsFunc(output, isOther) {
		return ""
	}
	s := spec.Service{Name: req.Service, Build: req.Build}
	if len(req.Build.Platforms) == 0 {
		s.Platform = req.Platforms[0]
	}
	return placed(req.Places, s.PlatformKey(), "this machine does not run programs of "+strings.Join(req.Platforms, " or ")+
		": register an emulator that stays loaded (binfmt_misc with the flag F), as the package qemu-user-static does")
}

// placed is a text about a key with the place of it.
func placed(places spec.Places, path, text string) string {
	if at := places.Nearest(path); at.File != "" {
		return at.String() + ": " + path + ": " + text
	}
	return path + ": " + text
}
