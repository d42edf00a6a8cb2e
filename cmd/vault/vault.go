// Package vault has the verbs about secrets and configs that the engine keeps for
// stacks which call them external. A content goes to the engine; that of a secret
// never comes back.
package vault

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/spec/userfile"
)

// mostContent is how long a content may be, bytes.
const mostContent = 500 << 10

// Verbs are those about one kind.
type Verbs struct {
	Kind string // secret or config
	// Streams are where a content is read from, for the file "-", and where results go.
	Streams func() (in io.Reader, out io.Writer)
	// With reaches the engine.
	With func(ctx context.Context, f func(context.Context, api.VaultClient) error) error
}

func (v *Verbs) isSecret() bool { return v.Kind == "secret" }

// Commands are the verbs.
func (v *Verbs) Commands() []*cobra.Command {
	return []*cobra.Command{v.create(), v.list(), v.inspect(), v.remove()}
}

func (v *Verbs) create() *cobra.Command {
	var labels []string
	var replace bool
	c := &cobra.Command{
		Use: "create NAME [FILE|-]", Short: fmt.Sprintf("Keep a %s for the stacks that call it external", v.Kind), Args: cobra.RangeArgs(1, 2),
		Long: fmt.Sprintf("Keep a %s for the stacks that call it external. Its content is read from a file, or from the standard input.", v.Kind),
		Example: fmt.Sprintf("  orlop %s create token token.txt\n  printf %%s \"$TOKEN\" | orlop %s create token -\n"+
			"  orlop %s create --replace token new.txt  stacks get it with their next \"orlop up\"", v.Kind, v.Kind, v.Kind),
		RunE: func(c *cobra.Command, args []string) error {
			in, out := v.Streams()
			content, err := read(c.Context(), in, append(args, "-")[1])
			if err != nil {
				return fmt.Errorf("cannot read the content of %s: %w", args[0], err)
			}
			defer clear(content)
			entry := &api.VaultEntry{Secret: v.isSecret(), Name: args[0], Labels: labelsOf(labels)}
			return v.With(c.Context(), func(ctx context.Context, client api.VaultClient) error {
				if _, err := client.Put(ctx, &api.PutRequest{Entry: entry, Content: content, Replace: replace}); err != nil {
					return api.Cause(err)
				}
				fmt.Fprintln(out, args[0])
				return nil
			})
		},
	}
	c.Flags().StringArrayVarP(&labels, "label", "l", nil, "`NAME=value` to label it with")
	c.Flags().BoolVar(&replace, "replace", false, "give one that is there another content")
	return c
}

func labelsOf(list []string) map[string]string {
	if len(list) == 0 {
		return nil
	}
	labels := map[string]string{}
	for _, l := range list {
		name, value, _ := strings.Cut(l, "=")
		labels[name] = value
	}
	return labels
}

// read reads a content, "-" from the standard input.
func read(ctx context.Context, in io.Reader, path string) ([]byte, error) {
	if path == "-" {
		from, done, err := userfile.Interruptible(ctx, in)
		if err != nil {
			return nil, err
		}
		defer done()
		in = from
	} else {
		from, err := userfile.OpenGiven(ctx, path)
		if err != nil {
			return nil, err
		}
		defer from.Close()
		in = from
	}
	content, err := io.ReadAll(io.LimitReader(in, mostContent+1))
	if err == nil && len(content) > mostContent {
		err = fmt.Errorf("it has more than %d bytes", mostContent)
	}
	return content, err
}

// line is an entry as ls prints it with --format json.
type line struct {
	Name, CreatedAt, UpdatedAt, Labels string
	Projects                           []string
}

func (v *Verbs) list() *cobra.Command {
	var quiet bool
	var format string
	c := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: fmt.Sprintf("List the %ss that are kept", v.Kind), Args: cobra.NoArgs,
		Example: fmt.Sprintf("  orlop %s ls", v.Kind),
		RunE: func(c *cobra.Command, _ []string) error {
			if format != "table" && format != "json" {
				return fmt.Errorf("--format is %q: it must be table or json", format)
			}
			_, out := v.Streams()
			return v.With(c.Context(), func(ctx context.Context, client api.VaultClient) error {
				reply, err := client.Entries(ctx, &api.EntriesRequest{Secret: v.isSecret()})
				if err != nil {
					return api.Cause(err)
				}
				if err := printEntries(out, reply.Entries, quiet, format); err != nil || reply.Warning == "" {
					return err
				}
				return errors.New(reply.Warning)
			})
		},
	}
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "names only")
	c.Flags().StringVar(&format, "format", "table", "table or json")
	return c
}

func printEntries(out io.Writer, list []*api.VaultEntry, quiet bool, format string) error {
	t := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	if !quiet && format == "table" {
		fmt.Fprintln(t, "NAME\tUPDATED\tUSED BY")
	}
	for _, e := range list {
		switch {
		case quiet:
			fmt.Fprintln(t, e.Name)
		case format == "json":
			l := line{Name: e.Name, CreatedAt: stamp(e.CreatedUnixMs), UpdatedAt: stamp(e.UpdatedUnixMs), Labels: labelText(e.Labels), Projects: e.Users}
			if err := json.NewEncoder(t).Encode(l); err != nil {
				return err
			}
		default:
			fmt.Fprintf(t, "%s\t%s\t%s\n", e.Name, stamp(e.UpdatedUnixMs), cmp.Or(strings.Join(e.Users, ", "), "-"))
		}
	}
	return t.Flush()
}

func stamp(unixMs int64) string { return time.UnixMilli(unixMs).UTC().Format(time.RFC3339) }

func labelText(labels map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, name+"="+labels[name])
	}
	return strings.Join(parts, ",")
}

// document is an entry as inspect prints it, in Docker's form.
type document struct {
	CreatedAt string
	UpdatedAt string
	Spec      specification
	Projects  []string
}

type specification struct {
	Name   string
	Labels map[string]string
	Data   []byte `json:",omitempty"` // of a config
}

func (v *Verbs) inspect() *cobra.Command {
	return &cobra.Command{
		Use: "inspect NAME...", Short: fmt.Sprintf("Show %ss as JSON", v.Kind) + map[bool]string{true: ", without their contents"}[v.isSecret()],
		Example: fmt.Sprintf("  orlop %s inspect token", v.Kind), Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			_, out := v.Streams()
			return v.With(c.Context(), func(ctx context.Context, client api.VaultClient) error {
				found, errs := v.documents(ctx, client, names)
				enc := json.NewEncoder(out)
				enc.SetIndent("", "    ")
				return errors.Join(append(errs, enc.Encode(found))...)
			})
		},
	}
}

func (v *Verbs) documents(ctx context.Context, client api.VaultClient, names []string) (found []document, errs []error) {
	reply, err := client.Entries(ctx, &api.EntriesRequest{Secret: v.isSecret()})
	if err != nil {
		return nil, []error{api.Cause(err)}
	}
	found = []document{}
	damaged, errs := v.warnings(reply.Warning)
	for _, name := range names {
		i := slices.IndexFunc(reply.Entries, func(e *api.VaultEntry) bool { return e.Name == name })
		if i < 0 {
			errs = append(errs, cmp.Or(damaged[name], v.unknown(name)))
			continue
		}
		e := reply.Entries[i]
		d := document{CreatedAt: stamp(e.CreatedUnixMs), UpdatedAt: stamp(e.UpdatedUnixMs), Projects: e.Users, Spec: specification{Name: name, Labels: e.Labels}}
		if !v.isSecret() {
			content, err := client.Content(ctx, &api.ContentRequest{Name: name})
			if err != nil {
				errs = append(errs, api.Cause(err))
				continue
			}
			d.Spec.Data = content.Content
		}
		found = append(found, d)
	}
	return found, errs
}

// warnings are what is said of entries that can't be read, by name, and of all.
func (v *Verbs) warnings(text string) (damaged map[string]error, all []error) {
	damaged = map[string]error{}
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		name, why, _ := strings.Cut(l, ": ")
		if strings.Contains(name, " ") {
			all = append(all, errors.New(l))
		} else {
			damaged[name] = fmt.Errorf("cannot read %s %s: %s", v.Kind, name, why)
		}
	}
	return damaged, all
}

func (v *Verbs) unknown(name string) error {
	return fmt.Errorf("no %s named %s: \"orlop %s ls\" lists what there is", v.Kind, name, v.Kind)
}

func (v *Verbs) remove() *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME...", Aliases: []string{"remove"}, Short: fmt.Sprintf("Forget %ss that no stack uses", v.Kind),
		Example: fmt.Sprintf("  orlop %s rm token", v.Kind), Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			_, out := v.Streams()
			return v.With(c.Context(), func(ctx context.Context, client api.VaultClient) error {
				var errs []error
				for _, name := range names {
					reply, err := client.Remove(ctx, &api.RemoveEntryRequest{Secret: v.isSecret(), Name: name})
					switch {
					case err != nil:
						errs = append(errs, api.Cause(err))
					case reply.Absent:
						errs = append(errs, v.unknown(name))
					default:
						fmt.Fprintln(out, name)
					}
				}
				return errors.Join(errs...)
			})
		},
	}
}
