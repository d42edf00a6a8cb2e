package inventory

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
)

// complete completes what the engine has by its names.
func (v *Verbs) complete(names func(context.Context, *api.Client) ([]string, error)) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, prefix string) (found []string, _ cobra.ShellCompDirective) {
		err := v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
			all, err := names(ctx, client)
			for _, name := range all {
				if strings.HasPrefix(name, prefix) && !slices.Contains(args, name) {
					found = append(found, name)
				}
			}
			return err
		})
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// CompleteVolumes completes the names of volumes.
func (v *Verbs) CompleteVolumes() cobra.CompletionFunc {
	return v.complete(resourceKind{list: volumeThings}.names)
}

// CompleteImages completes the names of images.
func (v *Verbs) CompleteImages() cobra.CompletionFunc { return v.complete(imageNames) }

func (k resourceKind) names(ctx context.Context, client *api.Client) (names []string, err error) {
	list, err := k.list(ctx, client)
	for _, r := range list {
		names = append(names, r.name)
	}
	return names, err
}

// imageNames are those of images, as short as they may be written.
func imageNames(ctx context.Context, client *api.Client) (names []string, err error) {
	reply, err := client.Images(ctx, &api.ImagesRequest{})
	for _, i := range reply.GetImages() {
		names = append(names, strings.TrimPrefix(strings.TrimPrefix(i.Name, "docker.io/"), "library/"))
	}
	return names, err
}
