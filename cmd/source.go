package cmd

import (
	"context"
	"maps"
	"slices"

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
	files = slices.Sorted(maps.Keys(read))
	if err != nil {
		return nil, files, err
	}
	if _, err := project.Select(s.Services, true); err != nil {
		return nil, files, err
	}
	return project, files, Rescale(project, s.Scale)
}
