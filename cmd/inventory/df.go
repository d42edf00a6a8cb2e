package inventory

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/format"
	"github.com/orlop/orlop/planner"
)

// System are the verbs about all that the engine keeps.
func (v *Verbs) System() []*cobra.Command { return []*cobra.Command{v.systemDf(), v.systemPrune()} }

// use is how much of the disk the things of a kind take.
type use struct {
	total, active int
	bytes, free   int64 // free: that is taken by what nothing uses
}

// contents is all that the engine keeps, with what it takes of the disk.
type contents struct {
	images     []*api.ImageInfo
	imageBytes int64 // of all together
	imageFree  int64
	containers []keptContainer
	volumes    []keptVolume
	cache      []*controlapi.UsageRecord
}

type keptContainer struct {
	planner.Container
	project string
	bytes   int64 // that it has written
}

func (c *keptContainer) isActive() bool {
	return c.State != planner.Created && c.State != planner.Exited
}

type keptVolume struct {
	resource
	bytes int64
}

// keptContainers are all containers, with what they have written.
func keptContainers(ctx context.Context, client *api.Client) ([]keptContainer, error) {
	reply, err := client.Container.List(ctx, &api.ListContainersRequest{})
	if err != nil {
		return nil, cli.Cause(ctx, err)
	}
	list, ids := make([]keptContainer, len(reply.Containers)), []string{}
	for i, one := range reply.Containers {
		list[i].project = one.Project
		if err := cli.Unmarshal(one.Document, &list[i].Container); err != nil {
			return nil, err
		}
		ids = append(ids, list[i].ID)
	}
	sizes, err := client.File.Sizes(ctx, &api.SizesRequest{Ids: ids})
	if err != nil {
		return nil, cli.Cause(ctx, err)
	}
	for i := range list {
		list[i].bytes = sizes.Sizes[list[i].ID].GetLayerBytes()
	}
	return list, nil
}

func keptVolumes(ctx context.Context, client *api.Client) ([]keptVolume, error) {
	all, err := volumeThings(ctx, client)
	if err != nil {
		return nil, cli.Cause(ctx, err)
	}
	req := &api.VolumeSizesRequest{}
	for _, r := range all {
		req.Names = append(req.Names, r.name)
	}
	sizes, err := client.Volume.Sizes(ctx, req)
	if err != nil {
		return nil, cli.Cause(ctx, err)
	}
	list := make([]keptVolume, len(all))
	for i, r := range all {
		list[i] = keptVolume{r, sizes.Bytes[r.name]}
	}
	return list, nil
}

// measure looks at all that the engine keeps.
func measure(ctx context.Context, client *api.Client) (c contents, err error) {
	images, err := client.Images(ctx, &api.ImagesRequest{Sizes: true})
	if err != nil {
		return c, cli.Cause(ctx, err)
	}
	c.images = images.Images
	slices.SortFunc(c.images, func(x, y *api.ImageInfo) int { return cmp.Compare(x.Name, y.Name) })
	unused, err := client.Image.Prune(ctx, &api.PruneRequest{DryRun: true})
	if err != nil {
		return c, cli.Cause(ctx, err)
	}
	c.imageBytes, c.imageFree = unused.TotalBytes, unused.DiskBytes
	if c.containers, err = keptContainers(ctx, client); err != nil {
		return c, err
	}
	if c.volumes, err = keptVolumes(ctx, client); err != nil {
		return c, err
	}
	c.cache, err = cached(ctx, client)
	return c, err
}

// dfLine is a kind of things that take room, in Docker's names.
type dfLine struct {
	Type        string
	TotalCount  string
	Active      string
	Size        string
	Reclaimable string
}

func dfHeaders() format.Headers {
	return format.Headers{"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE"}
}

func (c *contents) uses() (images, containers, volumes, cache use) {
	images = use{total: len(c.images), bytes: c.imageBytes, free: c.imageFree}
	for _, i := range c.images {
		if len(i.Users) > 0 {
			images.active++
		}
	}
	for i := range c.containers {
		one := &c.containers[i]
		containers.total++
		containers.bytes += one.bytes
		if one.isActive() {
			containers.active++
		} else {
			containers.free += one.bytes
		}
	}
	for _, one := range c.volumes {
		volumes.total++
		volumes.bytes += one.bytes
		if one.dangles {
			volumes.free += one.bytes
		} else {
			volumes.active++
		}
	}
	return images, containers, volumes, cacheUse(c.cache)
}

func (c *contents) lines() []dfLine {
	images, containers, volumes, cache := c.uses()
	line := func(kind string, u use) dfLine {
		l := dfLine{kind, fmt.Sprint(u.total), fmt.Sprint(u.active), display.DockerBytes(u.bytes), display.DockerBytes(u.free)}
		if u.bytes > 0 {
			l.Reclaimable += fmt.Sprintf(" (%d%%)", 100*u.free/u.bytes)
		}
		return l
	}
	return []dfLine{line("Images", images), line("Containers", containers), line("Local Volumes", volumes), line("Build Cache", cache)}
}

func (v *Verbs) systemDf() *cobra.Command {
	var verbose bool
	var text string
	c := &cobra.Command{
		Use: "df", Short: "Show how much of the disk images, containers, volumes and the build cache take", Args: cobra.NoArgs,
		Long: "Show how much of the disk images, containers, volumes and the build cache take, and how much of it by what nothing uses.\n" +
			"Images count with what they were unpacked from; a layer of several counts once. What the build cache shares with images counts with those.",
		Example: "  orlop system df\n  orlop system df -v\n  orlop system df --format '{{.Type}} {{.Reclaimable}}'",
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := format.Parse[dfLine](text, "kinds", dfHeaders())
			if err != nil {
				return err
			}
			if verbose && !f.IsTable() && !f.IsJSON() {
				return fmt.Errorf("--format is %q: with --verbose it must be table or json", text)
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				all, err := measure(ctx, client)
				if err != nil {
					return err
				}
				return v.printUse(&all, f, verbose)
			})
		},
	}
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "each of them")
	c.Flags().StringVar(&text, "format", "table", format.Help)
	return c
}

func (v *Verbs) printUse(all *contents, f *format.Format[dfLine], verbose bool) error {
	w := v.Of().Stdout
	switch {
	case verbose && f.IsJSON():
		return json.NewEncoder(w).Encode(v.documentOf(all))
	case verbose:
		return v.listUse(w, all)
	case !f.IsTable():
		return f.Print(w, all.lines())
	}
	t := display.NewTable(w)
	fmt.Fprintln(t, "TYPE\tTOTAL\tACTIVE\tSIZE\tRECLAIMABLE")
	for _, l := range all.lines() {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", l.Type, l.TotalCount, l.Active, l.Size, l.Reclaimable)
	}
	return t.Flush()
}

// useDocument is all that the engine keeps, as "system df -v --format json" prints it. Sizes
// of images, containers and volumes are in bytes.
type useDocument struct {
	Images     []imageLine
	Containers []containerUse
	Volumes    []volumeUse
	BuildCache []cacheLine
}

type containerUse struct {
	ID, Name, Image, State string
	Size                   int64
}

type volumeUse struct {
	Name  string
	Links int // containers that have it
	Size  int64
}

func (v *Verbs) documentOf(all *contents) useDocument {
	d := useDocument{Images: []imageLine{}, Containers: []containerUse{}, Volumes: []volumeUse{}, BuildCache: []cacheLine{}}
	for _, i := range all.images {
		d.Images = append(d.Images, v.lineOf(i))
	}
	for i := range all.containers {
		one := &all.containers[i]
		d.Containers = append(d.Containers, containerUse{one.ID, one.Name, imageOf(one), string(one.State), one.bytes})
	}
	for _, one := range all.volumes {
		d.Volumes = append(d.Volumes, volumeUse{one.name, len(one.users), one.bytes})
	}
	for _, r := range all.cache {
		d.BuildCache = append(d.BuildCache, cacheLineOf(r, v.Of().Now()))
	}
	return d
}

// imageOf is what a container is of, as it was asked for or built.
func imageOf(c *keptContainer) string { return display.ImageText(&c.Container, c.project) }

func (v *Verbs) listUse(w io.Writer, all *contents) error {
	d := v.documentOf(all)
	t := display.NewTable(w)
	fmt.Fprintln(t, "IMAGE\tCREATED\tSIZE\tSHARED\tUNIQUE\tUSED BY")
	for _, l := range d.Images {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", display.Printable(l.Name), l.CreatedSince, display.Bytes(l.Size), display.Bytes(l.SharedSize), display.Bytes(l.UniqueSize), userNames(l.UsedBy))
	}
	fmt.Fprintln(t, "\nCONTAINER\tIMAGE\tSTATE\tWRITTEN")
	for _, l := range d.Containers {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", l.Name, display.Printable(l.Image), l.State, display.Bytes(l.Size))
	}
	fmt.Fprintln(t, "\nVOLUME\tUSED BY\tSIZE")
	for _, one := range all.volumes {
		fmt.Fprintf(t, "%s\t%s\t%s\n", one.name, userNames(one.users), display.Bytes(one.bytes))
	}
	fmt.Fprintln(t)
	if err := t.Flush(); err != nil {
		return err
	}
	return cacheTable(w, all.cache, v.Of().Now())
}
