package inventory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/format"
)

// Image are the verbs about images.
func (v *Verbs) Image() []*cobra.Command {
	return []*cobra.Command{v.imageHistory(), v.imageInspect(), v.imageLoad(), v.imageLs(), v.imagePrune(), v.imageRm(), v.imageSave(), v.imageTag()}
}

// imageLine is an image as "image ls --format json" prints it, and as templates see it.
type imageLine struct {
	Name         string
	Repository   string
	Tag          string
	Digest       string
	ID           string
	Size         int64 // of its layers on the disk, in bytes
	SharedSize   int64 // of those that another image has too
	UniqueSize   int64
	CreatedAt    string
	CreatedSince string
	Platforms    []string
	UsedBy       []string // names of containers
	Containers   int      // how many these are
}

func imageHeaders() format.Headers {
	return format.Headers{
		"Name": "NAME", "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "ID": "IMAGE ID", "Size": "SIZE", "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE",
		"CreatedAt": "CREATED AT", "CreatedSince": "CREATED", "Platforms": "PLATFORMS", "UsedBy": "USED BY", "Containers": "CONTAINERS",
	}
}

func (v *Verbs) lineOf(i *api.ImageInfo) imageLine {
	l := imageLine{
		Name: i.Name, Digest: i.Digest, ID: i.Id, Size: i.DiskBytes, SharedSize: i.SharedBytes, UniqueSize: i.DiskBytes - i.SharedBytes,
		CreatedAt: time.Time{}.Format(time.RFC3339), CreatedSince: "-", Platforms: i.Platforms, UsedBy: []string{},
	}
	name, _, _ := strings.Cut(i.Name, "@")
	l.Repository = familiar(name)
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
		l.Repository, l.Tag = familiar(name[:at]), name[at+1:]
	}
	if i.CreatedUnixMs != 0 {
		created := time.UnixMilli(i.CreatedUnixMs)
		l.CreatedAt, l.CreatedSince = created.UTC().Format(time.RFC3339), display.Ago(v.Of().Now(), created)
	}
	for _, u := range i.Users {
		l.UsedBy = append(l.UsedBy, u.Container)
	}
	l.Containers = len(l.UsedBy)
	return l
}

// named says that the image is one of a repository, or the one of a repository and a tag;
// pattern may have the wildcards of path.Match.
func (l imageLine) named(pattern string) bool {
	pattern = familiar(pattern)
	for _, name := range []string{l.Repository, l.Repository + ":" + l.Tag, familiar(l.Name)} {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}

func (v *Verbs) imageLs() *cobra.Command {
	var quiet bool
	var text string
	var filters []string
	c := &cobra.Command{
		Use: "ls [REPOSITORY[:TAG]]", Aliases: []string{"list"}, Short: "List images, with what they take on the disk and who uses them",
		Example: "  orlop image ls --format json\n  orlop image ls 'shop-*'\n  orlop image ls -q --filter reference='shop-*:1'\n  orlop image ls --format '{{.Name}} {{.Digest}}'", Args: cobra.MaximumNArgs(1), ValidArgsFunction: v.complete(imageNames),
		RunE: func(c *cobra.Command, names []string) error {
			for _, pattern := range names {
				if _, err := path.Match(pattern, ""); err != nil {
					return fmt.Errorf("%q is no pattern of image names: %w; quote a [ that is meant as such by \\", pattern, err)
				}
			}
			isMeant, err := imageFilter(filters)
			if err != nil {
				return err
			}
			f, err := format.Parse[imageLine](text, "images", imageHeaders())
			if err != nil {
				return err
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				reply, err := client.Images(ctx, &api.ImagesRequest{Sizes: !quiet})
				if err != nil {
					return err
				}
				if err := filtersExist(filters, reply.Images); err != nil {
					return err
				}
				images := slices.DeleteFunc(reply.Images, func(i *api.ImageInfo) bool {
					return len(names) > 0 && !v.lineOf(i).named(names[0]) || !isMeant(v.lineOf(i), reply.Images)
				})
				slices.SortFunc(images, func(x, y *api.ImageInfo) int { return cmp.Compare(x.Name, y.Name) })
				return v.printImages(images, quiet, f)
			})
		},
	}
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "IDs only")
	c.Flags().StringVar(&text, "format", "table", format.Help)
	c.Flags().StringArrayVarP(&filters, "filter", "f", nil, "only images that `KEY=VALUE` holds for: reference=PATTERN, dangling=true|false, before=IMAGE, since=IMAGE")
	for _, name := range []string{"all", "digests", "no-trunc"} { // of Docker's: all are shown, with their digests
		c.Flags().BoolP(name, map[string]string{"all": "a"}[name], false, "no effect")
		c.Flags().Lookup(name).Hidden = true
	}
	return c
}

// imageFilter reads filters as Docker's: of one key any must hold, of several keys one each.
func imageFilter(filters []string) (isMeant func(l imageLine, all []*api.ImageInfo) bool, err error) {
	by := map[string][]string{}
	for _, f := range filters {
		key, value, ok := strings.Cut(f, "=")
		if !ok || !slices.Contains([]string{"reference", "dangling", "before", "since"}, key) || key == "dangling" && value != "true" && value != "false" {
			return nil, fmt.Errorf("--filter is %q: it must be reference=PATTERN, dangling=true|false, before=IMAGE or since=IMAGE", f)
		}
		if _, err := path.Match(value, ""); err != nil {
			return nil, fmt.Errorf("--filter is %q: %w; quote a [ that is meant as such by \\", f, err)
		}
		by[key] = append(by[key], value)
	}
	holds := func(key, value string, l imageLine, all []*api.ImageInfo) bool {
		switch key {
		case "reference":
			return l.named(value)
		case "dangling":
			return value == "false" // what has no name is not here
		}
		i := indexOfImage(all, value)
		at := time.UnixMilli(all[i].CreatedUnixMs).UTC().Format(time.RFC3339)
		return key == "before" && l.CreatedAt < at || key == "since" && l.CreatedAt > at
	}
	return func(l imageLine, all []*api.ImageInfo) bool {
		for key, values := range by {
			if !slices.ContainsFunc(values, func(value string) bool { return holds(key, value, l, all) }) {
				return false
			}
		}
		return true
	}, nil
}

// filtersExist is an error of filters by an image that is not here.
func filtersExist(filters []string, all []*api.ImageInfo) error {
	for _, f := range filters {
		if key, value, _ := strings.Cut(f, "="); (key == "before" || key == "since") && indexOfImage(all, value) < 0 {
			return fmt.Errorf("--filter %s: no image is called that: \"orlop image ls\" lists what there is", f)
		}
	}
	return nil
}

// indexOfImage is where the image of a name, or of the first digits of an ID, is; -1 if it is not here.
func indexOfImage(all []*api.ImageInfo, name string) int {
	return slices.IndexFunc(all, func(i *api.ImageInfo) bool {
		id := strings.TrimPrefix(i.Id, "sha256:")
		return familiar(i.Name) == familiar(name) || familiar(i.Name) == familiar(name)+":latest" || len(name) >= 6 && strings.HasPrefix(id, strings.TrimPrefix(name, "sha256:"))
	})
}

// mostUsers is how many containers a row names.
const mostUsers = 3

func (v *Verbs) printImages(images []*api.ImageInfo, quiet bool, f *format.Format[imageLine]) error {
	var lines []imageLine
	for _, i := range images {
		lines = append(lines, v.lineOf(i))
	}
	if !quiet && !f.IsTable() {
		return f.Print(v.Of().Stdout, lines)
	}
	t := display.NewTable(v.Of().Stdout)
	if !quiet {
		fmt.Fprintln(t, "NAME\tDIGEST\tCREATED\tSIZE\tSHARED\tUNIQUE\tUSED BY")
	}
	for _, l := range lines {
		if quiet {
			fmt.Fprintln(t, cmp.Or(l.ID, l.Digest))
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Name, display.ShortDigest(l.Digest), l.CreatedSince,
			display.Bytes(l.Size), display.Bytes(l.SharedSize), display.Bytes(l.UniqueSize), userNames(l.UsedBy))
	}
	return t.Flush()
}

func userNames(all []string) string {
	switch {
	case len(all) == 0:
		return "-"
	case len(all) > mostUsers:
		return fmt.Sprintf("%s and %d more", strings.Join(all[:mostUsers-1], ", "), len(all)-mostUsers+1)
	}
	return strings.Join(all, ", ")
}

func (v *Verbs) imageRm() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "rm NAME...", Aliases: []string{"remove"}, Short: "Remove images, or names of them", Example: "  orlop image rm shop-api\n  orlop image rm -f 4be1c0a2f3d1  all names of an image", ValidArgsFunction: v.complete(imageNames),
		Args: cli.AtLeast(1, "an image"),
		RunE: func(c *cobra.Command, names []string) error {
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				var errs []error
				for _, name := range names {
					if v.Of().DryRun {
						errs = append(errs, v.foreseeImageRm(ctx, client, name, force))
						continue
					}
					reply, err := client.RemoveImage(ctx, &api.RemoveImageRequest{Name: name, Force: force})
					if err == nil && reply.Unfinished != "" {
						err = errors.New(reply.Unfinished)
					}
					for _, name := range reply.GetUntagged() {
						fmt.Fprintln(v.Of().Stdout, "Untagged: "+display.Printable(familiar(name)))
					}
					if digest := reply.GetDeleted(); digest != "" {
						fmt.Fprintln(v.Of().Stdout, "Deleted: "+digest)
					}
					errs = append(errs, cli.Cause(ctx, err))
				}
				return errors.Join(errs...)
			})
		},
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "even if containers are made of it, by its ID all its names; ignore what does not exist")
	c.Flags().Bool("no-prune", false, "no effect")
	c.Flags().Lookup("no-prune").Hidden = true
	return c
}

// foreseeImageRm says what rm would remove.
func (v *Verbs) foreseeImageRm(ctx context.Context, client *api.Client, name string, force bool) error {
	reply, err := client.Image.Removal(ctx, &api.RemoveImageRequest{Name: name, Force: force})
	if err != nil {
		return cli.Cause(ctx, err)
	}
	var lines []string
	for _, name := range reply.Untagged {
		lines = append(lines, "- image name "+familiar(name))
	}
	if reply.Deleted != "" {
		lines = append(lines, "- image "+reply.Deleted)
	}
	v.Of().Foresay(lines...)
	return nil
}

// foreseeImage says what would be done with an image, if it is here.
func (v *Verbs) foreseeImage(ctx context.Context, client *api.Client, name, line string) error {
	if _, err := client.Image.Describe(ctx, &api.DescribeRequest{Name: name}); err != nil {
		return cli.Cause(ctx, err)
	}
	v.Of().Foresay(line)
	return nil
}

func (v *Verbs) imageTag() *cobra.Command {
	return &cobra.Command{
		Use: "tag SOURCE TARGET", Short: "Give an image another name", ValidArgsFunction: v.complete(imageNames), Example: "  orlop image tag shop-api registry.example/api:2",
		Args: cobra.MatchAll(cli.AtLeast(2, "a source and a target"), cobra.MaximumNArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				if v.Of().DryRun {
					return v.foreseeImage(ctx, client, args[0], "+ image "+args[1]+" is "+args[0])
				}
				_, err := client.TagImage(ctx, &api.TagRequest{Source: args[0], Target: args[1]})
				return err
			})
		},
	}
}
