package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
)

func (a *app) envCommand() *cobra.Command {
	var file, format string
	c := &cobra.Command{
		Use:   "env [SERVICE...]",
		Short: "Print where published ports are, as environment variables",
		Example: "  orlop env                          WEB_80_PORT, WEB_80_ADDRESS, WEB_80_URL, ...\n" +
			"  orlop env --file .env.test         write them to a file\n" +
			"  eval \"$(orlop env --format shell)\"  set them in this shell",
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, args []string) error {
			if err := cli.Choice("format", format, "dotenv", "json", "shell"); err != nil {
				return err
			}
			return a.environment(c.Context(), args, file, format)
		},
	}
	c.Flags().StringVar(&file, "file", "", "write to this `file`, whole or not at all, instead of the screen")
	c.Flags().StringVar(&format, "format", "dotenv", "dotenv, json or shell")
	return c
}

func (a *app) environment(ctx context.Context, services []string, file, format string) error {
	lines, err := a.ports(ctx, services)
	if err != nil {
		return err
	}
	text, err := variablesText(portVariables(lines), format)
	if err != nil {
		return err
	}
	if file == "" {
		_, err = fmt.Fprint(a.Stdout, text)
		return err
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(a.Dir, file)
	}
	return display.ReplaceFile(file, text)
}

// variable is one variable of the environment.
type variable struct{ name, value string }

// portVariables are three variables for each published port: SERVICE_TARGET_PORT,
// _ADDRESS and _URL. Further replicas have their number after the service, UDP
// ports the word UDP after the target. Of several ports to one target it is the
// first.
func portVariables(lines []portLine) []variable {
	var out []variable
	seen := map[string]bool{}
	for _, l := range lines {
		name := variableName(l.Service)
		if l.Index > 1 {
			name += "_" + strconv.Itoa(l.Index)
		}
		name += "_" + strconv.Itoa(l.Target)
		if l.Protocol != "tcp" {
			name += "_" + variableName(l.Protocol)
		}
		if seen[name] {
			continue
		}
		seen[name] = true
		out = append(out, variable{name + "_PORT", strconv.Itoa(l.Port)}, variable{name + "_ADDRESS", l.address()}, variable{name + "_URL", l.URL})
	}
	return out
}

// variableName is a word as it stands in the name of a variable.
func variableName(s string) string {
	s = strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(s))
	if s != "" && '0' <= s[0] && s[0] <= '9' {
		s = "_" + s
	}
	return s
}

// variablesText writes variables down. Their values are numbers and addresses:
// nothing in them needs an escape.
func variablesText(list []variable, format string) (string, error) {
	if format == "json" {
		values := map[string]string{}
		for _, v := range list {
			values[v.name] = v.value
		}
		text, err := json.MarshalIndent(values, "", "  ")
		return string(text) + "\n", err
	}
	var b strings.Builder
	for _, v := range list {
		if format == "shell" {
			fmt.Fprintf(&b, "export %s='%s'\n", v.name, v.value)
		} else {
			fmt.Fprintf(&b, "%s=%s\n", v.name, v.value)
		}
	}
	return b.String(), nil
}
