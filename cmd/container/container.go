// Package container has the verbs about containers one by one, whatever stack they are of: they name a container
// by its name, its ID, or the first digits of that.
package container

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/planner"
)

// Verbs are those about containers.
type Verbs struct {
	// Of is the invocation that a verb works with, once its flags are read.
	Of func() *cli.Invocation
}

// Commands are all of them.
func (v *Verbs) Commands() []*cobra.Command {
	return append(v.changes(), v.list(), v.inspect(), v.prune(), v.logs(), v.exec(), v.attach(), v.top(), v.stats(), v.wait(), v.port())
}

// member is a container with the project that it is of.
type member struct {
	planner.Container
	project string
	owners  map[string]string // service whose namespaces it shares -> ID of the container
}

// ownersOf are the containers of the services whose namespaces a container shares.
func ownersOf(m *member, all []member) map[string]string {
	if m.Applied == nil || m.Applied.Service == nil {
		return nil
	}
	owners := map[string]string{}
	for _, share := range m.Applied.Service.Shares() {
		for i := range all {
			if o := &all[i]; o.project == m.project && o.Service == share.Service && !o.OneOff && owners[share.Service] == "" || share.Container != "" && o.Name == share.Container {
				owners[cmp.Or(share.Service, share.Container)] = o.ID
			}
		}
	}
	return owners
}

// shared is a mode of a namespace as Docker has it: "service:NAME" is the container.
func (m *member) shared(mode string) string {
	kind, name, _ := strings.Cut(mode, ":")
	if owner := m.owners[name]; owner != "" && (kind == "service" || kind == "container") {
		return "container:" + owner
	}
	return mode
}

// members are all containers, by project and name.
func members(ctx context.Context, client *api.Client) ([]member, error) {
	reply, err := client.Container.List(ctx, &api.ListContainersRequest{})
	if err != nil {
		return nil, cli.Cause(ctx, err)
	}
	list := make([]member, len(reply.Containers))
	for i, one := range reply.Containers {
		list[i].project = one.Project
		if err := cli.Unmarshal(one.Document, &list[i].Container); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// find gives the containers that names are those of. Of what is not here the error tells, and the others are given.
func find(ctx context.Context, client *api.Client, names []string) (found []member, err error) {
	all, err := members(ctx, client)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, name := range names {
		one, err := pick(all, name)
		switch {
		case err != nil:
			errs = append(errs, err)
		case !slices.ContainsFunc(found, func(m member) bool { return m.ID == one.ID }):
			found = append(found, one)
		}
	}
	return found, errors.Join(errs...)
}

// pick is the container of a name, or of the first digits of an ID.
func pick(all []member, name string) (member, error) {
	i, err := api.Named(name, len(all), func(i int) (string, string) { return all[i].Name, all[i].ID })
	switch {
	case err != nil:
		return member{}, err
	case i < 0:
		return member{}, &missingError{name}
	}
	return all[i], nil
}

// missingError is a name that no container has.
type missingError struct{ name string }

func (e *missingError) Error() string {
	return fmt.Sprintf("no container %q: \"orlop container ls -a\" lists them", e.name)
}

// withoutMissing is the error of find without the names that no container has.
func withoutMissing(err error) error {
	var rest []error
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	for _, e := range joined.Unwrap() {
		if _, isMissing := errors.AsType[*missingError](e); !isMissing {
			rest = append(rest, e)
		}
	}
	return errors.Join(rest...)
}

// with connects, finds the container of a name, and runs f.
func (v *Verbs) with(ctx context.Context, name string, f func(context.Context, *api.Client, member) error) error {
	return v.Of().WithEngine(ctx, func(ctx context.Context, client *api.Client) error {
		found, err := find(ctx, client, []string{name})
		if err != nil {
			return err
		}
		return f(ctx, client, found[0])
	})
}

// complete gives the names of containers.
func (v *Verbs) complete(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	err := v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
		all, err := members(ctx, client)
		for _, m := range all {
			names = append(names, m.Name)
		}
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
