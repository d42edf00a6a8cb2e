// Package config prints a stack file as Orlop understands it: whole, or one thing of it, or as it is written.
package config

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/consent"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/registries"
	"github.com/orlop/orlop/cmd/remote"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/stackfile"
)

// Flags are the flags of config.
type Flags struct {
	Format                                        string // yaml, json, or of variables table
	Services, Volumes, Networks, Images, Profiles bool   // their names alone
	Quiet, Security, Models, NoConsistency        bool
	Variables, Environment                        bool
	Output                                        string // file; "" is standard output
	Hash                                          string // of these services, with commas between; "*" is all
	UpdateAlone                                   bool   // the lock is all that is asked for
	ResolveDigests, LockDigests                   bool
	FormatGiven                                   bool
	Kept                                          stackfile.Kept
}

// verb is one config.
type verb struct {
	*cli.Invocation
	flags Flags
}

// Run prints the stack file, or what is asked for of it.
func Run(ctx context.Context, inv *cli.Invocation, services []string, f Flags) error {
	v := verb{inv, f}
	formats := []string{"yaml", "json"}
	if f.Variables {
		formats = append(formats, "table")
	}
	if err := cli.Choice("format", f.Format, formats...); err != nil {
		return err
	}
	if f.Variables || f.Environment {
		if len(services) > 0 && f.Variables {
			v.SayWarnings([]string{"service filtering is not applied when --variables is set: the variables are those of the whole file"})
		}
		return v.printVariables(ctx)
	}
	if f.Kept != (stackfile.Kept{}) && (f.Kept != stackfile.Kept{Environment: true} || !f.needsProject()) {
		return v.printModel(ctx, services)
	}
	asked := services
	if f.Hash != "" && f.Hash != "*" && len(services) == 0 {
		asked = strings.Split(f.Hash, ",")
	}
	opts := v.Options(asked)
	opts.SkipPayloads = f.Kept.Environment
	opts.Only, opts.SpareContents, opts.Foresee, opts.NoConsistency = true, true, !f.NoConsistency, f.NoConsistency
	if f.Profiles {
		opts.Profiles = []string{"*"}
	}
	project, err := v.LoadWith(ctx, opts)
	if err != nil {
		return err
	}
	if project, err = project.Select(services, false); err != nil {
		return err
	}
	if f.Quiet {
		return nil
	}
	if f.UpdateAlone { // what has changed is said
		v.sayUnchanged(len(project.Remotes))
		return nil
	}
	if f.ResolveDigests || f.LockDigests {
		override, err := v.pinImages(ctx, project)
		if err != nil {
			return err
		}
		if f.LockDigests {
			return v.write(override)
		}
	}
	text, err := f.text(project, v.RootDir(), v.StateDir())
	if err != nil {
		return err
	}
	return v.write(text)
}

// pinImages names the images of a project by their digests, and gives the stack file that says so.
func (v verb) pinImages(ctx context.Context, p *spec.Project) (override string, err error) {
	err = v.WithEngine(ctx, func(ctx context.Context, client *api.Client) error {
		if err := v.Consent(ctx, p); err != nil { // registries are told what the variables in names of images are
			return err
		}
		text, _, err := registries.PinnedImages(ctx, v.Invocation, client, p)
		override = string(text)
		return err
	})
	return override, err
}

// sayUnchanged tells who has asked for another lock that it stays the same; what changes
// is said already.
func (v verb) sayUnchanged(remotes int) {
	switch {
	case v.LockChanged():
	case remotes == 0:
		v.SayNotice(remote.LockFile + ": the stack has no remote stacks")
	case remotes == 1:
		v.SayNotice(remote.LockFile + ": 1 remote stack is as it was")
	default:
		v.SayNotice(fmt.Sprintf("%s: %d remote stacks are as they were", remote.LockFile, remotes))
	}
}

// needsProject says that what is asked for is told by a whole project alone.
func (f Flags) needsProject() bool {
	return f.Hash != "" || f.Security || f.Models || f.Images || f.Profiles || f.ResolveDigests || f.LockDigests || f.UpdateAlone
}

func (f Flags) text(p *spec.Project, own ...string) (string, error) {
	names := slices.Sorted(maps.Keys(p.Services))
	switch {
	case f.Security:
		return consent.Text(p, f.Format, own...)
	case f.Services:
		return display.Lines(names), nil
	case f.Volumes:
		return display.Lines(slices.Sorted(maps.Keys(p.Volumes))), nil
	case f.Networks:
		return display.Lines(slices.Sorted(maps.Keys(p.Networks))), nil
	case f.Images:
		var refs []string
		for _, name := range names {
			refs = append(refs, p.ImageName(name))
		}
		return display.Lines(slices.Compact(slices.Sorted(slices.Values(refs)))), nil
	case f.Models:
		var models []string
		for _, m := range p.Models {
			models = append(models, m.Model)
		}
		return display.Lines(slices.Sorted(slices.Values(models))), nil
	case f.Profiles:
		var all []string
		for _, s := range p.Services {
			all = append(all, s.Profiles...)
		}
		slices.Sort(all)
		all = slices.DeleteFunc(all, func(p string) bool { return p == "" })
		return display.Lines(slices.Compact(all)), nil
	case f.Hash != "":
		return hashes(p, f.Hash)
	case f.Format == "json":
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
