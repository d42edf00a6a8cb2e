// Package inventory has the verbs about what outlives containers in the engine:
// images, volumes, networks, the build cache, and what all of it takes of the disk.
package inventory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/format"
)

// Verbs are those about what the engine keeps.
type Verbs struct {
	// Of is the invocation that a verb works with, once its flags are read.
	Of func() *cli.Invocation
}

// resource is a volume or a network as its verbs see it: they differ in little.
type resource struct {
	name    string
	labels  map[string]string
	dangles bool     // nothing uses it
	project string   // whose it is; "": of no stack
	users   []string // names of containers
	// anonymous says of a volume that nobody named it.
	anonymous bool
	columns   []string
	line      any // of ls --format json, in Docker's names
	inspect   any // of inspect
}

// resourceKind is how the resources of a kind are listed, and one is removed.
type resourceKind struct {
	kind   string // volume, network
	driver string
	header string
	// format reads --format of ls; a nil print stands for the table of columns.
	format func(text string) (print printing, err error)
	list   func(ctx context.Context, client *api.Client) ([]resource, error)
	remove func(ctx context.Context, client *api.Client, name string) (absent bool, err error)
}

// printing prints resources as --format asks for.
type printing func(w io.Writer, list []resource) error

// formatted reads --format of resources whose lines are a T, in the plural of their kind.
func formatted[T any](kind string, headers format.Headers) func(string) (printing, error) {
	return func(text string) (printing, error) {
		f, err := format.Parse[T](text, kind, headers)
		if err != nil || f.IsTable() {
			return nil, err
		}
		return func(w io.Writer, list []resource) error {
			var lines []T
			for _, r := range list {
				lines = append(lines, r.line.(T))
			}
			return f.Print(w, lines)
		}, nil
	}
}

func (v *Verbs) listing(k resourceKind) *cobra.Command {
	var quiet bool
	var text string
	var filters []string
	c := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List " + k.kind + "s", Args: cobra.NoArgs,
		Example: "  orlop " + k.kind + " ls --filter dangling=true",
		RunE: func(c *cobra.Command, _ []string) error {
			print, err := k.format(text)
			if err != nil {
				return err
			}
			keep, err := resourceFilter(filters, k.driver)
			if err != nil {
				return err
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				list, err := k.list(ctx, client)
				if err != nil {
					return err
				}
				list = slices.DeleteFunc(list, func(r resource) bool { return !keep(r) })
				return printResources(v.Of().Stdout, k.header, list, quiet, print)
			})
		},
	}
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "names only")
	c.Flags().StringVar(&text, "format", "table", format.Help)
	c.Flags().StringArrayVarP(&filters, "filter", "f", nil, "only those that `KEY=VALUE` holds for: name, label, driver, dangling")
	return c
}

func printResources(w io.Writer, header string, list []resource, quiet bool, print printing) error {
	if !quiet && print != nil {
		return print(w, list)
	}
	t := display.NewTable(w)
	if !quiet {
		fmt.Fprintln(t, header)
	}
	for _, one := range list {
		if quiet {
			fmt.Fprintln(t, one.name)
		} else {
			fmt.Fprintln(t, strings.Join(one.columns, "\t"))
		}
	}
	return t.Flush()
}

// resourceFilter reads the filters that Docker's ls has. Those of one key are
// alternatives, but labels must all hold.
func resourceFilter(filters []string, driver string) (func(resource) bool, error) {
	by := map[string][]string{}
	for _, f := range filters {
		key, value, ok := strings.Cut(f, "=")
		switch {
		case !ok || !slices.Contains([]string{"name", "label", "driver", "dangling"}, key):
			return nil, fmt.Errorf("--filter is %q: it must be name=TEXT, label=NAME[=VALUE], driver=NAME or dangling=true|false", f)
		case key == "dangling" && value != "true" && value != "false":
			return nil, fmt.Errorf("--filter is %q: dangling must be true or false", f)
		}
		by[key] = append(by[key], value)
	}
	any := func(key string, holds func(string) bool) bool {
		return by[key] == nil || slices.ContainsFunc(by[key], holds)
	}
	return func(r resource) bool {
		labelled := !slices.ContainsFunc(by["label"], func(want string) bool {
			name, value, valued := strings.Cut(want, "=")
			have, ok := r.labels[name]
			return !ok || valued && have != value
		})
		return labelled && any("name", func(v string) bool { return strings.Contains(r.name, v) }) &&
			any("driver", func(v string) bool { return v == driver }) &&
			any("dangling", func(v string) bool { return (v == "true") == r.dangles })
	}, nil
}

func (v *Verbs) removal(k resourceKind) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "rm NAME...", Aliases: []string{"remove"}, Short: "Remove " + k.kind + "s that no container uses", ValidArgsFunction: v.complete(k.names),
		Example: "  orlop " + k.kind + " rm data", Args: cli.AtLeast(1, "a "+k.kind),
		RunE: func(c *cobra.Command, names []string) error {
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				var errs []error
				if v.Of().DryRun {
					return v.foreseeRemoval(ctx, client, k, names, force)
				}
				for _, name := range names {
					absent, err := k.remove(ctx, client, name)
					switch {
					case err != nil:
						errs = append(errs, cli.Cause(ctx, err))
					case absent && !force:
						errs = append(errs, k.unknown(name))
					case !absent:
						fmt.Fprintln(v.Of().Stdout, name)
					}
				}
				return errors.Join(errs...)
			})
		},
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "ignore what does not exist")
	return c
}

// foreseeRemoval says what rm would remove.
func (v *Verbs) foreseeRemoval(ctx context.Context, client *api.Client, k resourceKind, names []string, force bool) error {
	list, err := k.list(ctx, client)
	if err != nil {
		return err
	}
	var lines []string
	var errs []error
	for _, name := range names {
		i := slices.IndexFunc(list, func(r resource) bool { return r.name == name })
		switch {
		case i < 0 && !force:
			errs = append(errs, k.unknown(name))
		case i >= 0 && len(list[i].users) > 0:
			errs = append(errs, fmt.Errorf("%s %s is used by %s", k.kind, name, strings.Join(list[i].users, ", ")))
		case i >= 0:
			lines = append(lines, "- "+k.kind+" "+name)
		}
	}
	if len(lines) > 0 || len(errs) == 0 {
		v.Of().Foresay(lines...)
	}
	return errors.Join(errs...)
}

func (v *Verbs) inspection(k resourceKind) *cobra.Command {
	var text string
	c := &cobra.Command{
		Use: "inspect NAME...", Short: "Show " + k.kind + "s as JSON", ValidArgsFunction: v.complete(k.names), Example: "  orlop " + k.kind + " inspect data", Args: cli.AtLeast(1, "a "+k.kind),
		RunE: func(c *cobra.Command, names []string) error {
			print, err := format.Documents(text)
			if err != nil {
				return err
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				list, err := k.list(ctx, client)
				if err != nil {
					return err
				}
				found, errs := []any{}, []error(nil)
				for _, name := range names {
					i := slices.IndexFunc(list, func(r resource) bool { return r.name == name })
					if i < 0 {
						errs = append(errs, k.unknown(name))
						continue
					}
					found = append(found, list[i].inspect)
				}
				out, err := print(found)
				if err == nil {
					_, err = v.Of().Stdout.Write(out)
				}
				return errors.Join(append(errs, err)...)
			})
		},
	}
	c.Flags().StringVarP(&text, "format", "f", "json", format.DocumentsHelp)
	return c
}

func (k resourceKind) unknown(name string) error {
	return fmt.Errorf("no %s named %s: \"orlop %s ls\" lists what there is", k.kind, name, k.kind)
}

// madeBy are the flags of create that all kinds have.
type madeBy struct {
	driver string
	labels []string
}

func (m *madeBy) flags(c *cobra.Command, k resourceKind) {
	c.Flags().StringVarP(&m.driver, "driver", "d", k.driver, "`driver`: "+k.driver+" is the only one")
	c.Flags().StringArrayVar(&m.labels, "label", nil, "`NAME=value` to label it with")
}

// read checks the driver and gives the labels.
func (m *madeBy) read(k resourceKind) (map[string]string, error) {
	labels := map[string]string{}
	for _, l := range m.labels {
		name, value, _ := strings.Cut(l, "=")
		labels[name] = value
	}
	return labels, cli.Choice("driver", m.driver, k.driver)
}

// labelText is labels as Docker's ls prints them.
func labelText(labels map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, name+"="+labels[name])
	}
	return strings.Join(parts, ",")
}

// withProject adds the labels by which other tools find what a project has made.
func withProject(labels map[string]string, project, kind, key string) map[string]string {
	out := maps.Clone(labels)
	if out == nil {
		out = map[string]string{}
	}
	if project != "" {
		out["com.docker.compose.project"], out["com.docker.compose."+kind] = project, key
	}
	return out
}
