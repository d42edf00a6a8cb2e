package cmd

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/container"
	"github.com/orlop/orlop/cmd/inventory"
	"github.com/orlop/orlop/cmd/signing"
	"github.com/orlop/orlop/cmd/vault"
)

// invocation is what a room's verbs work with, once their flags are read.
func (a *app) invocation() *cli.Invocation { return a.Invocation }

func (a *app) volumeCommand() *cobra.Command {
	v := inventory.Verbs{Of: a.invocation}
	export, load := a.files().VolumeExport(), a.files().VolumeImport()
	export.ValidArgsFunction, load.ValidArgsFunction = firstOnly(v.CompleteVolumes()), firstOnly(v.CompleteVolumes())
	return verbGroup("volume", "Volumes that the engine has", "  orlop volume create data\n  orlop volume ls\n  orlop volume export shop_pgdata -o pgdata.tar", append(v.Volume(), export, load)...)
}

func (a *app) imageCommand() *cobra.Command {
	v, s := inventory.Verbs{Of: a.invocation}, signing.Verbs{Of: a.invocation}
	signatures := s.Commands()
	for _, c := range signatures {
		c.ValidArgsFunction = firstOnly(v.CompleteImages())
	}
	return verbGroup("image", "Images that the engine has", "  orlop image ls\n  orlop image history shop-api\n  orlop image save -o shop.tar shop-api", append(append(v.Image(), signatures...), a.imagePullCommand(), a.imagePushCommand(), a.files().Import(), a.files().ImageDiff())...)
}

func (a *app) containerCommand() *cobra.Command {
	v := container.Verbs{Of: a.invocation}
	return verbGroup("container", "Containers one by one, whatever stack they are of", "  orlop container ls -a\n  orlop container inspect shop-db-1\n  orlop container rm -f shop-web-2", append(v.Commands(), a.containerRunCommand(), a.containerCreateCommand(), a.files().ContainerCommit(), a.files().ContainerCopy(), a.files().Diff(), a.files().ContainerExport())...)
}

func (a *app) volumesCommand() *cobra.Command {
	v := inventory.Verbs{Of: a.invocation}
	c := v.StackVolumes()
	c.ValidArgsFunction = a.completeServices
	return c
}

func (a *app) imagesCommand() *cobra.Command {
	v := inventory.Verbs{Of: a.invocation}
	c := v.StackImages()
	c.ValidArgsFunction = a.completeServices
	return c
}

func (a *app) networkCommand() *cobra.Command {
	v := inventory.Verbs{Of: a.invocation}
	return verbGroup("network", "Networks that the engine has", "  orlop network create edge\n  orlop network ls", append(v.Network(), (&container.Verbs{Of: a.invocation}).Networking()...)...)
}

func (a *app) systemCommand() *cobra.Command {
	v := inventory.Verbs{Of: a.invocation}
	return verbGroup("system", "What all of it takes of the disk, and what of it nothing uses", "  orlop system df\n  orlop system prune --dry-run", v.System()...)
}

func (a *app) cacheCommand() *cobra.Command {
	v := inventory.Verbs{Of: a.invocation}
	return verbGroup("cache", "What builds have left for the next ones", "  orlop cache ls\n  orlop cache prune --keep 10gb", v.Cache()...)
}

func (a *app) secretCommand() *cobra.Command {
	return verbGroup("secret", "Secrets that the engine keeps for stacks", "  orlop secret create token token.txt\n  orlop secret ls", a.vaultVerbs("secret")...)
}

// vaultVerbs are those about secrets or configs that the engine keeps.
func (a *app) vaultVerbs(kind string) []*cobra.Command {
	v := &vault.Verbs{
		Kind:    kind,
		Streams: func() (io.Reader, io.Writer) { return a.Stdin, a.Stdout },
		With: func(ctx context.Context, f func(context.Context, api.VaultClient) error) error {
			return a.WithEngine(ctx, func(ctx context.Context, client *api.Client) error { return f(ctx, client.Vault) })
		},
	}
	return v.Commands()
}
