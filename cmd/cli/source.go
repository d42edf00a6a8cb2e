package cli

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/orlop/orlop/cmd/remote"
	"github.com/orlop/orlop/spec"
)

// Source loads the stack of a verb again and again, and knows the files that it
// is read from.
type Source struct {
	Services []string // that the verb is about; none: all
	NoDeps   bool
	Scale    []string // of --scale
}

// Load reads the stack as its files are now. files are those that it was read
// from, also where there is an error.
func (s Source) Load(ctx context.Context, inv *Invocation) (project *spec.Project, files []string, err error) {
	read := map[string]bool{}
	opts := inv.Options(s.Services)
	opts.Only, opts.NoDeps = true, s.NoDeps
	opts.Reading = func(path string) { read[path] = true }
	project, err = inv.LoadWith(ctx, opts)
	if err == nil && len(project.Remotes) > 0 {
		read[filepath.Join(project.WorkingDir, remote.LockFile)] = true
	}
	files = slices.Sorted(maps.Keys(read))
	if err != nil {
		return nil, files, err
	}
	if err := inv.Consent(ctx, project); err != nil {
		return nil, files, err
	}
	project.SetProvidedAside()
	if _, err := project.Select(s.Services, true); err != nil {
		return nil, files, err
	}
	return project, files, Rescale(project, s.Scale)
}

// Rescale carries --scale out on the project.
func Rescale(p *spec.Project, flags []string) error {
	for _, f := range flags {
		name, number, ok := strings.Cut(f, "=")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || n < 0 {
			return fmt.Errorf("--scale is %q: it must be SERVICE=N", f)
		}
		service := p.Services[name]
		if service == nil {
			_, err := p.Select([]string{name}, true)
			return fmt.Errorf("--scale %s: %w", f, err)
		}
		if key := p.OnlyOne(name); key != "" && n > 1 {
			return fmt.Errorf("--scale %s: replicas cannot share one %s (%s)", f, key[strings.LastIndexByte(key, '.')+1:], p.Places.Nearest(key))
		}
		scaled := *service
		scaled.Scale = &n
		if service.Deploy != nil && service.Deploy.Replicas != nil {
			deploy := *service.Deploy
			deploy.Replicas = &n
			scaled.Deploy = &deploy
		}
		p.Services[name] = &scaled
	}
	return nil
}
