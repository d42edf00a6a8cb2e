// Package registries has the verbs that send to registries and log in at them.
package registries

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// Pushing says what is pushed of a stack.
type Pushing struct {
	Services       []string // that the verb names; none: all
	IncludeDeps    bool     // with Services: what they depend on too
	IgnoreFailures bool     // they are warnings
}

// PushStack pushes the images that the services of a project build, under all their names.
func PushStack(ctx context.Context, inv *cli.Invocation, client *api.Client, project *spec.Project, p Pushing) error {
	if err := inv.Consent(ctx, project); err != nil { // a registry is told what the variables in an image's name are
		return err
	}
	images, left := imagesOf(project, p)
	if !inv.IsSilent() {
		for _, text := range left {
			inv.SayNotice(text)
		}
	}
	words := display.Words{Done: "is pushed", Nothing: "has nothing to push: no service has both build: and image:", Failed: "is not pushed", Of: p.Services}
	req := &api.PushRequest{Of: project.Name, Images: images, IgnoreFailures: p.IgnoreFailures, Limit: int32(inv.Parallel)}
	return push(ctx, inv, client, project, req, words)
}

// imagesOf are the images that are pushed, and what is said of the services that have none.
func imagesOf(project *spec.Project, p Pushing) (images []*api.PushImage, left []string) {
	names := slices.Sorted(maps.Keys(project.Services))
	if len(p.Services) > 0 {
		names = cli.ChosenServices(project, p.Services, !p.IncludeDeps)
	}
	for _, name := range names {
		s := project.Services[name]
		isNamed := slices.Contains(p.Services, name)
		switch {
		case s == nil:
		case s.Build != nil && s.Image != "":
			for _, ref := range project.NamesOf(name) {
				if !slices.ContainsFunc(images, func(i *api.PushImage) bool { return i.Name == ref }) {
					images = append(images, &api.PushImage{Name: ref, Service: name})
				}
			}
		case s.Build != nil:
			left = append(left, fmt.Sprintf("%s is not pushed: write image: beside its build:, with the registry and the name that it is to have", name))
		case isNamed:
			left = append(left, fmt.Sprintf("%s is not pushed: it is not built, but has its image from a registry", name))
		}
	}
	return images, left
}

// PushImages pushes images by their names, all of each or that of a platform.
func PushImages(ctx context.Context, inv *cli.Invocation, client *api.Client, names []string, platform string) error {
	req := &api.PushRequest{Of: names[0]}
	for _, name := range names {
		req.Images = append(req.Images, &api.PushImage{Name: name, Platform: platform})
	}
	words := display.Words{Done: "is pushed", Nothing: "is pushed already", Failed: "is not pushed", Of: names}
	return push(ctx, inv, client, &spec.Project{}, req, words)
}

func push(ctx context.Context, inv *cli.Invocation, client *api.Client, project *spec.Project, req *api.PushRequest, words display.Words) error {
	if inv.DryRun {
		return foresee(ctx, inv, client, req, words)
	}
	return withLogins(ctx, inv, client, project, func(session string, lend func(*planner.Plan) error) error {
		req.Session = session
		stream, err := client.Registry.Push(ctx, req)
		if err != nil {
			return cli.Cause(ctx, err)
		}
		_, err = inv.Show(ctx, stream, cli.Progress{Words: words, Project: project, Lend: lend})
		return err
	})
}

// foresee says which images would be pushed. They must be here.
func foresee(ctx context.Context, inv *cli.Invocation, client *api.Client, req *api.PushRequest, words display.Words) error {
	if len(req.Images) == 0 {
		inv.Foresay(words.Sentence(req.Of, words.Nothing))
		return nil
	}
	var lines []string
	var errs []error
	for _, i := range req.Images {
		if _, err := client.Image.Describe(ctx, &api.DescribeRequest{Name: i.Name, Platform: i.Platform}); err != nil {
			errs = append(errs, cli.Cause(ctx, err))
			continue
		}
		lines = append(lines, "+ push image "+i.Name)
	}
	if len(lines) > 0 {
		inv.Foresay(lines...)
	}
	if req.IgnoreFailures {
		for _, err := range errs {
			inv.SayWarnings([]string{err.Error()})
		}
		return nil
	}
	return errors.Join(errs...)
}

// PullImages pulls images by their names, those of a platform or of this machine's.
func PullImages(ctx context.Context, inv *cli.Invocation, client *api.Client, names []string, platform string) error {
	words := display.Words{Done: "is pulled", Nothing: "is pulled already", Failed: "is not pulled", Of: names}
	project := &spec.Project{}
	if inv.DryRun {
		var lines []string
		for _, name := range names {
			lines = append(lines, "+ pull image "+name)
		}
		inv.Foresay(lines...)
		return nil
	}
	return withLogins(ctx, inv, client, project, func(session string, lend func(*planner.Plan) error) error {
		stream, err := client.Registry.Fetch(ctx, &api.FetchRequest{Names: names, Platform: platform, Session: session})
		if err != nil {
			return cli.Cause(ctx, err)
		}
		_, err = inv.Show(ctx, stream, cli.Progress{Words: words, Project: project, Lend: lend})
		return err
	})
}

// withLogins calls f with a session that lends the caller's logins once lend was called.
func withLogins(ctx context.Context, inv *cli.Invocation, client *api.Client, project *spec.Project, f func(session string, lend func(*planner.Plan) error) error) error {
	if inv.Builder == nil {
		return f("", nil)
	}
	session, err := inv.Builder.Open(ctx, project, cli.BuildOptions{})
	if err != nil {
		return err
	}
	defer session.Close()
	return f(session.IDs()[""], func(p *planner.Plan) error {
		if p.IsEmpty() {
			return nil
		}
		return session.Connect(client.Conn(), "")
	})
}
