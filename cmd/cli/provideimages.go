package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/provider"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// provideImage builds the image of a service that a program provides, and has the provider take it, if it takes any.
func (inv *Invocation) provideImage(ctx context.Context, client *api.Client, p *Application, name string) error {
	s := p.Project.Provided[name]
	if s.Image == "" && s.Build == nil || inv.refusedFor(p.Project, name) != nil {
		return nil
	}
	call := provider.Call{World: provider.World{Dir: p.Project.WorkingDir, Env: inv.Env}, Type: s.Provider.Type}
	if takes, err := call.Knows(ctx, provider.Pull); err != nil || !takes {
		return nil // it sees to its images itself; one that is not there is told of when it is to provide
	}
	isBuilt := false
	if s.Build != nil && !p.Options.PullOnly {
		var err error
		if isBuilt, err = inv.buildProvided(ctx, client, p, name); err != nil {
			return err
		}
	}
	alone := asContainer(p.Project, name)
	image := &provider.Image{Name: alone.ImageName(name), IsFresh: p.Options.PullOnly, Save: func(ctx context.Context, name, platform string, out io.Writer) error {
		stream, err := client.Image.Save(ctx, &api.SaveRequest{Names: []string{name}, Platform: platform})
		for err == nil {
			var chunk *api.Chunk
			if chunk, err = stream.Recv(); err == nil {
				_, err = out.Write(chunk.Data)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return Cause(ctx, err)
	}}
	image.IsLocal = s.Build != nil && (s.Image == "" || isBuilt || s.PullPolicy == "build")
	if here, err := client.Image.Describe(ctx, &api.DescribeRequest{Name: image.Name, Platform: s.Platform}); err == nil { // else it is not here
		var config struct{ Created string }
		if json.Unmarshal(here.Config, &config) == nil {
			image.Created = config.Created
		}
		image.Digest = here.Digest
	}
	_, err := inv.callProviderFor(ctx, p.Project, name, provider.Pull, image)
	return err
}

// provideImages has the providers of the chosen services take the newest images.
func (inv *Invocation) provideImages(ctx context.Context, client *api.Client, p *Application, chosen *spec.Project) error {
	if p.PlanOnly {
		return nil
	}
	for _, name := range providersInOrder(chosen) {
		if err := inv.provideImage(ctx, client, p, name); err != nil {
			return err
		}
	}
	return nil
}

// buildProvided builds the image of a provided service as it builds one of a container.
func (inv *Invocation) buildProvided(ctx context.Context, client *api.Client, p *Application, name string) (isBuilt bool, err error) {
	one := *p
	one.Project = asContainer(p.Project, name)
	one.Options = planner.Options{Services: []string{name}, BuildOnly: true, NoDeps: true, Build: p.Options.Build}
	words := Progress{Project: one.Project}
	words.Words.Done, words.Words.Failed, words.Words.Silent = "has its image", "has no image", true
	outcome, err := inv.Apply(ctx, client, one, words)
	return err == nil && !outcome.IsEmpty(), err
}

// asContainer is a project of a provided service alone, as if it were a container's.
func asContainer(p *spec.Project, name string) *spec.Project {
	own := *p.Provided[name]
	own.Provider, own.DependsOn, own.Needs = nil, nil, nil
	alone := *p
	alone.Services, alone.Provided, alone.Jobs = map[string]*spec.Service{name: &own}, nil, nil
	return &alone
}
