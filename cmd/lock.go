package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/remote"
	"github.com/orlop/orlop/spec"
)

func (a *app) lockCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "lock",
		Short: "Write into orlop.lock what the images of the stack are now",
		Long: "Write into orlop.lock the digests that registries have now for the images of the stack, those that its builds start from\n" +
			"among them. Commit the file; with --frozen, up, build, pull, create and plan refuse what is another.",
		Example: "  orlop lock\n  orlop up -d --frozen", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := a.Interruptible(c.Context())
			defer cancel()
			opts := a.Options(nil)
			opts.Profiles, opts.SkipPayloads = []string{"*"}, true
			project, err := a.LoadWith(ctx, opts)
			if err != nil {
				return err
			}
			client, err := a.Connect(ctx)
			if err != nil {
				return err
			}
			defer client.Close()
			return a.lock(ctx, client, project)
		},
	}
	allowFlag(c.Flags(), &a.settings.AllowRemotes)
	return c
}

func (a *app) lock(ctx context.Context, client *api.Client, project *spec.Project) error {
	if err := a.Consent(ctx, project); err != nil { // registries are told what the variables in names of images are
		return err
	}
	wanted, unknown, err := cli.WantedImages(project)
	if err != nil {
		return err
	}
	for _, name := range unknown {
		a.SayNotice("of the build of " + name + " something is not locked: only the build knows what it takes from elsewhere")
	}
	digests, err := a.digestsOf(ctx, client, project, wanted)
	if err != nil {
		return err
	}
	changes, err := remote.SaveImages(project.WorkingDir, digests, a.DryRun)
	if err != nil {
		return err
	}
	for _, line := range changes {
		a.SayNotice(remote.LockFile + ": " + line)
	}
	switch {
	case a.DryRun:
		a.SayNotice("dry run: " + remote.LockFile + " stays as it is")
	case len(changes) > 0:
	case len(digests) == 0:
		a.SayNotice(remote.LockFile + ": the stack has no images from elsewhere but those that it names by their digests")
	default:
		a.SayNotice(fmt.Sprintf("%s: %s as before", remote.LockFile, spec.Plural(len(digests), "image")))
	}
	return nil
}

// digestsOf are what registries have. Of an image that none has, or that can't be asked for, it is what is here.
func (a *app) digestsOf(ctx context.Context, client *api.Client, project *spec.Project, wanted []cli.Wanted) (map[string]string, error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	var names []string
	for _, w := range wanted {
		names = append(names, w.Name)
	}
	digests, failed, err := a.Resolve(ctx, client, project, names)
	if err != nil {
		return nil, err
	}
	here := map[string]string{}
	if len(failed) > 0 {
		if here, err = cli.ImagesHere(ctx, client); err != nil {
			return nil, err
		}
	}
	if digests == nil {
		digests = map[string]string{}
	}
	for _, w := range wanted {
		why := failed[w.Name]
		switch {
		case why == "":
		case here[w.Name] == "":
			return nil, fmt.Errorf("cannot lock %s (%s): %s", w.Name, w.Where, why)
		default:
			digests[w.Name] = here[w.Name]
			a.SayNotice(fmt.Sprintf("%s is locked as it is here: %s", w.Name, why))
		}
	}
	return digests, nil
}
