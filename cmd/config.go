package cmd

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/consent"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/registries"
	"github.com/orlop/orlop/cmd/remote"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/stackfile"
)

type configFlags struct {
	format                                        string
	services, volumes, networks, images, profiles bool
	quiet, security, models, noConsistency        bool
	variables, environment                        bool
	output                                        string
	hash                                          string
	updateAlone                                   bool // the lock is all that is asked for
	resolveDigests, lockDigests                   bool
	formatGiven                                   bool
	kept                                          stackfile.Kept
}

func (a *app) configCommand() *cobra.Command {
	var f configFlags
	c := &cobra.Command{
		Use:     "config [SERVICE...]",
		Aliases: []string{"convert"},
		Short:   "Print the stack file as Orlop understands it",
		Example: "  orlop config             whole, variables filled in\n" +
			"  orlop config --services  names only\n" +
			"  orlop config --security  before you run somebody else's stack\n" +
			"  orlop config -q          check it, print nothing\n" +
			"  orlop config -q --verbose  every warning with its place",
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, args []string) error {
			f.formatGiven = c.Flags().Changed("format")
			prints := []string{"models", "variables", "environment", "output", "format", "services", "volumes", "networks", "images", "profiles", "security", "hash", "quiet", "resolve-image-digests", "lock-image-digests"}
			f.updateAlone = a.UpdateRemotes && !slices.ContainsFunc(prints, c.Flags().Changed)
			return a.config(c.Context(), args, f)
		},
	}
	c.Flags().StringVar(&f.format, "format", "yaml", "yaml or json; of --variables table, too, which is what it prints without")
	c.Flags().StringVarP(&f.output, "output", "o", "", "`file` to write to")
	c.Flags().BoolVar(&f.services, "services", false, "names of the services")
	c.Flags().BoolVar(&f.volumes, "volumes", false, "names of the volumes")
	c.Flags().BoolVar(&f.networks, "networks", false, "names of the networks")
	c.Flags().BoolVar(&f.images, "images", false, "references of the images")
	c.Flags().BoolVar(&f.noConsistency, "no-consistency", false, "print also what does not fit together, such as a service without an image; it may be no stack that runs")
	c.Flags().BoolVar(&f.kept.Variables, "no-interpolate", false, "leave variables as they are written")
	c.Flags().BoolVar(&f.kept.Defaults, "no-normalize", false, "leave out what Compose implies, such as full names and the default network")
	c.Flags().BoolVar(&f.kept.Environment, "no-env-resolution", false, "leave environment files and variables without a value as they are written")
	c.Flags().BoolVar(&f.kept.Paths, "no-path-resolution", false, "leave relative paths as they are written")
	c.Flags().BoolVar(&f.models, "models", false, "names of the models")
	c.Flags().BoolVar(&f.variables, "variables", false, "variables that the stack file names, with what holds where they are not set")
	c.Flags().BoolVar(&f.environment, "environment", false, "variables that are filled in, with their values")
	c.Flags().BoolVar(&f.profiles, "profiles", false, "names of the profiles")
	c.Flags().BoolVar(&f.security, "security", false, "what the stack asks of this machine beyond what every container gets, with places")
	c.Flags().BoolVar(&f.resolveDigests, "resolve-image-digests", false, "name each image by the digest that its registry has for it now")
	c.Flags().BoolVar(&f.lockDigests, "lock-image-digests", false, "only a stack file that says which digest each image has now, to be named with -f after the others")
	c.Flags().StringVar(&f.hash, "hash", "", "hash of what makes the containers of a `service`, or \"*\" for all")
	c.Flags().BoolVar(&a.settings.UpdateRemotes, "update-remotes", false, "ask what each remote stack is now, and write that into orlop.lock; without another flag the stack is not printed")
	c.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "only check")
	c.AddCommand(a.vaultVerbs("config")...)
	return c
}

func (a *app) config(ctx context.Context, services []string, f configFlags) error {
	formats := []string{"yaml", "json"}
	if f.variables {
		formats = append(formats, "table")
	}
	if err := cli.Choice("format", f.format, formats...); err != nil {
		return err
	}
	if f.variables || f.environment {
		if len(services) > 0 && f.variables {
			a.SayWarnings([]string{"service filtering is not applied when --variables is set: the variables are those of the whole file"})
		}
		return a.configVariables(ctx, f)
	}
	if f.kept != (stackfile.Kept{}) && (f.kept != stackfile.Kept{Environment: true} || !f.needsProject()) {
		return a.configModel(ctx, services, f)
	}
	asked := services
	if f.hash != "" && f.hash != "*" && len(services) == 0 {
		asked = strings.Split(f.hash, ",")
	}
	opts := a.Options(asked)
	opts.SkipPayloads = f.kept.Environment
	opts.Only, opts.SpareContents, opts.Foresee, opts.NoConsistency = true, true, !f.noConsistency, f.noConsistency
	if f.profiles {
		opts.Profiles = []string{"*"}
	}
	project, err := a.LoadWith(ctx, opts)
	if err != nil {
		return err
	}
	if project, err = project.Select(services, false); err != nil {
		return err
	}
	if f.quiet {
		return nil
	}
	if f.updateAlone { // what has changed is said
		a.sayUnchanged(len(project.Remotes))
		return nil
	}
	if f.resolveDigests || f.lockDigests {
		override, err := a.pinImages(ctx, project)
		if err != nil {
			return err
		}
		if f.lockDigests {
			return a.writeConfig(override, f)
		}
	}
	text, err := f.text(project, a.RootDir(), a.StateDir())
	if err != nil {
		return err
	}
	return a.writeConfig(text, f)
}

// pinImages names the images of a project by their digests, and gives the stack file that says so.
func (a *app) pinImages(ctx context.Context, p *spec.Project) (override string, err error) {
	err = a.WithEngine(ctx, func(ctx context.Context, client *api.Client) error {
		if err := a.Consent(ctx, p); err != nil { // registries are told what the variables in names of images are
			return err
		}
		text, _, err := registries.PinnedImages(ctx, a.Invocation, client, p)
		override = string(text)
		return err
	})
	return override, err
}

// sayUnchanged tells who has asked for another lock that it stays the same; what changes
// is said already.
func (a *app) sayUnchanged(remotes int) {
	switch {
	case a.LockChanged():
	case remotes == 0:
		a.SayNotice(remote.LockFile + ": the stack has no remote stacks")
	case remotes == 1:
		a.SayNotice(remote.LockFile + ": 1 remote stack is as it was")
	default:
		a.SayNotice(fmt.Sprintf("%s: %d remote stacks are as they were", remote.LockFile, remotes))
	}
}

// needsProject says that what is asked for is told by a whole project alone.
func (f configFlags) needsProject() bool {
	return f.hash != "" || f.security || f.models || f.images || f.profiles || f.resolveDigests || f.lockDigests || f.updateAlone
}

func (f configFlags) text(p *spec.Project, own ...string) (string, error) {
	names := slices.Sorted(maps.Keys(p.Services))
	switch {
	case f.security:
		return consent.Text(p, f.format, own...)
	case f.services:
		return display.Lines(names), nil
	case f.volumes:
		return display.Lines(slices.Sorted(maps.Keys(p.Volumes))), nil
	case f.networks:
		return display.Lines(slices.Sorted(maps.Keys(p.Networks))), nil
	case f.images:
		var refs []string
		for _, name := range names {
			refs = append(refs, p.ImageName(name))
		}
		return display.Lines(slices.Compact(slices.Sorted(slices.Values(refs)))), nil
	case f.models:
		var models []string
		for _, m := range p.Models {
			models = append(models, m.Model)
		}
		return display.Lines(slices.Sorted(slices.Values(models))), nil
	case f.profiles:
		var all []string
		for _, s := range p.Services {
			all = append(all, s.Profiles...)
		}
		slices.Sort(all)
		all = slices.DeleteFunc(all, func(p string) bool { return p == "" })
		return display.Lines(slices.Compact(all)), nil
	case f.hash != "":
		return hashes(p, f.hash)
	case f.format == "json":
		data, err := p.JSON()
		return strings.TrimRight(string(data), "\n") + "\n", err
	}
	data, err := p.YAML()
	return string(data), err
}

// hashes are lines of "service hash" for the named services, or all for "*".
func hashes(p *spec.Project, which string) (string, error) {
	names := slices.Sorted(maps.Keys(p.Services))
	if which != "*" {
		names = strings.Split(which, ",")
		if _, err := p.Select(names, true); err != nil {
			return "", err
		}
	}
	var out []string
	for _, name := range names {
		out = append(out, name+" "+p.Hash(name))
	}
	return display.Lines(out), nil
}
