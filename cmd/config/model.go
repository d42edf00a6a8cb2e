package config

import (
	"context"
	"errors"
	"slices"

	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// printModel prints the stack file less resolved than a project is: with variables,
// without what Compose implies, or with paths as they are written.
func (v verb) printModel(ctx context.Context, services []string) error {
	if v.flags.needsProject() {
		return errors.New("what is asked for needs the whole project: leave out --no-interpolate, --no-normalize and --no-path-resolution")
	}
	if v.flags.Kept.Variables && len(services) > 0 {
		v.SayWarnings([]string{"service filtering is not applied when --no-interpolate is set: all of the file is printed"})
		services = nil
	}
	opts := v.Options(services)
	opts.Kept, opts.SpareContents = v.flags.Kept, true
	root, err := v.LoadModel(ctx, opts)
	if err != nil || v.flags.Quiet {
		return err
	}
	text, err := v.flags.modelText(root)
	if err != nil {
		return err
	}
	return v.write(text)
}

func (f Flags) modelText(root *tree.Node) (string, error) {
	switch {
	case f.Services:
		return namesIn(root, "services"), nil
	case f.Volumes:
		return namesIn(root, "volumes"), nil
	case f.Networks:
		return namesIn(root, "networks"), nil
	}
	encode := spec.EncodeYAML
	if f.Format == "json" {
		encode = spec.EncodeJSON
	}
	text, err := encode(root.Document(!f.Kept.Variables))
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
