package watch

import (
	"context"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/builder"
	"github.com/orlop/orlop/spec"
)

// triggers gives the ONBUILD instructions that base images bring to the builds
// of a project, by service. An image that the engine does not have by name
// brings none that are known.
func triggers(ctx context.Context, client *api.Client) func(*spec.Project) map[string][]string {
	return func(p *spec.Project) map[string][]string {
		parents := map[string][]string{}
		for name, s := range p.Services {
			if s.Build == nil {
				continue
			}
			if list := builder.Parents(p, name); len(list) > 0 {
				parents[name] = list
			}
		}
		if len(parents) == 0 {
			return nil
		}
		reply, err := client.Images(ctx, &api.ImagesRequest{})
		if err != nil {
			return nil // a watch that knows less is better than none
		}
		return broughtBy(parents, reply.Images)
	}
}

// broughtBy are the instructions that images bring to those that name them.
func broughtBy(parents map[string][]string, images []*api.ImageInfo) map[string][]string {
	brings := map[string][]string{}
	for _, image := range images {
		brings[image.Name] = image.OnBuild
	}
	out := map[string][]string{}
	for service, names := range parents {
		for _, name := range names {
			out[service] = append(out[service], brings[name]...)
		}
	}
	return out
}
