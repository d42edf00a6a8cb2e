package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"gopkg.in/yaml.v3"

	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/stackfile"
	"github.com/orlop/orlop/spec/variables"
)

// write writes what config prints, to the file that is asked for.
func (v verb) write(text string) error {
	if v.flags.Output == "" {
		_, err := fmt.Fprint(v.Stdout, text)
		return err
	}
	path := v.flags.Output
	if !filepath.IsAbs(path) {
		path = filepath.Join(v.WorkingDir(), path)
	}
	if v.DryRun {
		v.SayNotice("dry run: " + v.flags.Output + " is not written")
		return nil
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		return fmt.Errorf("cannot write --output %s: %w", v.flags.Output, errors.Unwrap(err))
	}
	return nil
}

// printVariables prints what is filled into the stack file.
func (v verb) printVariables(ctx context.Context) error {
	if v.flags.Environment {
		var lines []string
		known := v.Variables(ctx)
		for _, name := range slices.Sorted(maps.Keys(known)) {
			lines = append(lines, name+"="+known[name])
		}
		return v.write(display.Lines(lines))
	}
	seen, err := v.namedVariables(ctx)
	if err != nil {
		return err
	}
	text, err := variablesTable(seen, v.flags)
	if err != nil {
		return err
	}
	return v.write(text)
}

// variable is one as Compose's config --variables prints it.
type variable struct {
	Name          string `yaml:"name"`
	DefaultValue  string `yaml:"defaultvalue"`
	PresenceValue string `yaml:"presencevalue"`
	Required      bool   `yaml:"required"`
}

// namedVariables are those that the stack file names. One that says more of a variable
// comes before one that says less.
func (v verb) namedVariables(ctx context.Context) (map[string]variable, error) {
	seen := map[string]variable{}
	opts := v.Options(nil)
	opts.SpareContents, opts.SkipPayloads, opts.Profiles = true, true, []string{"*"}
	opts.Seen = func(use variables.Use) {
		v := seen[use.Name]
		v.Name, v.Required = use.Name, v.Required || use.Required
		if v.DefaultValue == "" {
			v.DefaultValue = use.Default
		}
		if v.PresenceValue == "" {
			v.PresenceValue = use.Alternate
		}
		seen[use.Name] = v
	}
	_, _, err := stackfile.Load(ctx, opts)
	var mistakes *spec.Mistakes
	if !errors.As(err, &mistakes) {
		return seen, err
	}
	for _, d := range mistakes.Diagnostics.Errors() {
		if !strings.HasPrefix(d.Message, "required variable ") { // which is what is asked for
			v.SayWarnings([]string{d.String()})
		}
	}
	return seen, nil
}

func variablesTable(seen map[string]variable, f Flags) (string, error) {
	switch {
	case f.Format == "json":
		text, err := json.MarshalIndent(seen, "", "    ")
		return string(text) + "\n", err
	case f.FormatGiven && f.Format == "yaml":
		text, err := yaml.Marshal(seen)
		return string(text), err
	}
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "NAME\tREQUIRED\tDEFAULT VALUE\tALTERNATE VALUE")
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		v := seen[name]
		fmt.Fprintf(t, "%s\t%t\t%s\t%s\n", name, v.Required, v.DefaultValue, v.PresenceValue)
	}
	err := t.Flush()
	return b.String(), err
}
