package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
)

// imagesLine is a row of "images --format json".
type imagesLine struct {
	ContainerName string
	Service       string
	Image         string
	ID            string
}

func (a *app) imagesCommand() *cobra.Command {
	var quiet bool
	var format string
	c := &cobra.Command{
		Use: "images [SERVICE...]", Short: "List the images that the containers are made from", Example: "  orlop images",
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, services []string) error {
			if err := cli.Choice("format", format, "table", "json"); err != nil {
				return err
			}
			return a.WithStack(c.Context(), services, func(ctx context.Context, client *api.Client, s cli.Stack) error {
				return a.images(ctx, client, s, services, quiet, format)
			})
		},
	}
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "digests only")
	c.Flags().StringVar(&format, "format", "table", "table or json")
	return c
}

func (a *app) images(ctx context.Context, client *api.Client, s cli.Stack, services []string, quiet bool, format string) error {
	containers, err := cli.Observe(ctx, client, s)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(a.Stdout, 0, 0, 3, ' ', 0)
	if !quiet && format == "table" {
		fmt.Fprintln(t, "CONTAINER\tSERVICE\tIMAGE\tDIGEST")
	}
	all := psFlags{all: true}
	for i := range containers {
		c := &containers[i]
		if !all.wants(c, services) {
			continue
		}
		line := imagesLine{ContainerName: c.Name, Service: c.Service, Image: display.ImageText(c, s.Name)}
		if c.Applied != nil {
			line.ID = c.Applied.Image
		}
		switch {
		case quiet:
			fmt.Fprintln(t, line.ID)
		case format == "json":
			if err := json.NewEncoder(t).Encode(line); err != nil {
				return err
			}
		default:
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", line.ContainerName, line.Service, line.Image, display.ShortDigest(line.ID))
		}
	}
	return t.Flush()
}
