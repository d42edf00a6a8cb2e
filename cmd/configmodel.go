package cmd

import (
	"context"
	"errors"
	"slices"

	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// configModel prints the stack file less resolved than a project is: with variables,
// without what Compose implies, or with paths as they are written.
func (a *app) configModel(ctx context.Context, services []string, f configFlags) error {
	if f.needsProject() {
		return errors.New("what is asked for needs the whole project: leave out --no-interpolate, --no-normalize and --no-path-resolution")
	}
	if f.kept.Variables && len(services) > 0 {
		a.SayWarnings([]string{"service filtering is not applied when --no-interpolate is set: all of the file is printed"})
		services = nil
	}
	opts := a.Options(services)
	opts.Kept, opts.SpareContents = f.kept, true
	root, err := a.LoadModel(ctx, opts)
	if err != nil || f.quiet {
		return err
	}
	text, err := f.modelText(root)
	if err != nil {
		return err
	}
	return a.writeConfig(text, f)
}

func (f configFlags) modelText(root *tree.Node) (string, error) {
	switch {
	case f.services:
		return namesIn(root, "services"), nil
	case f.volumes:
		return namesIn(root, "volumes"), nil
	case f.networks:
		return namesIn(root, "networks"), nil
	}
	encode := spec.EncodeYAML
	if f.format == "json" {
		encode = spec.EncodeJSON
	}
	text, err := encode(root.Document(!f.kept.Variables))
	return string(text), err
}

// namesIn are the names that a section declares.
func namesIn(root *tree.Node, section string) string {
	var names []string
	if declared := root.Value(section); declared != nil {
		for _, f := range declared.Fields {
			names = append(names, f.Key)
		}
	}
	slices.Sort(names)
	return display.Lines(names)
}
