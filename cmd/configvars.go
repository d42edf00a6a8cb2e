package cmd

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

// writeConfig writes what config prints, to the file that is asked for.
func (a *app) writeConfig(text string, f configFlags) error {
	if f.output == "" {
		_, err := fmt.Fprint(a.Stdout, text)
		return err
	}
	path := f.output
	if !filepath.IsAbs(path) {
		path = filepath.Join(a.WorkingDir(), path)
	}
	if a.DryRun {
		a.SayNotice("dry run: " + f.output + " is not written")
		return nil
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		return fmt.Errorf("cannot write --output %s: %w", f.output, errors.Unwrap(err))
	}
	return nil
}

// configVariables prints what is filled into the stack file.
func (a *app) configVariables(ctx context.Context, f configFlags) error {
	if f.environment {
		var lines []string
		known := a.Variables(ctx)
		for _, name := range slices.Sorted(maps.Keys(known)) {
			lines = append(lines, name+"="+known[name])
		}
		return a.writeConfig(display.Lines(lines), f)
	}
	seen, err := a.namedVariables(ctx)
	if err != nil {
		return err
	}
	text, err := variablesTable(seen, f)
	if err != nil {
		return err
	}
	return a.writeConfig(text, f)
}

// configVariable is one as Compose's config --variables prints it.
type configVariable struct {
	Name          string `yaml:"name"`
	DefaultValue  string `yaml:"defaultvalue"`
	PresenceValue string `yaml:"presencevalue"`
	Required      bool   `yaml:"required"`
}

// namedVariables are those that the stack file names. One that says more of a variable
// comes before one that says less.
func (a *app) namedVariables(ctx context.Context) (map[string]configVariable, error) {
	seen := map[string]configVariable{}
	opts := a.Options(nil)
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
			a.SayWarnings([]string{d.String()})
		}
	}
	return seen, nil
}

func variablesTable(seen map[string]configVariable, f configFlags) (string, error) {
	switch {
	case f.format == "json":
		text, err := json.MarshalIndent(seen, "", "    ")
		return string(text) + "\n", err
	case f.formatGiven && f.format == "yaml":
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
