package inventory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/container"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/spec"
)

// sweep is what "system prune" removes.
type sweep struct {
	containers []keptContainer
	networks   []resource
	volumes    []keptVolume
	images     *api.PruneReply
	cacheBytes int64
}

func (v *Verbs) systemPrune() *cobra.Command {
	var all, volumes, force bool
	var filters []string
	c := &cobra.Command{
		Use: "prune", Short: "Remove what nothing uses: containers, networks, images, the build cache", Args: cobra.NoArgs,
		Long: "Remove what nothing uses: containers that have ended, networks, the build cache; with --all the images that no container is of,\n" +
			"with --volumes the volumes that nobody named.\n\n" +
			"What is of a stack stays that has a container which runs, or a scheduled job, and so does what is of an instance: see \"orlop gc\". Containers of \"run\"\n" +
			"that have ended go all the same. Images that no name leads to go by themselves.",
		Example: "  orlop system prune --dry-run\n  orlop system prune -a --volumes\n  orlop system prune -f --filter until=240h",
		RunE: func(c *cobra.Command, _ []string) error {
			age, err := untilFilter(filters, v.Of().Now())
			if err == nil && age > 0 && volumes {
				err = errors.New("--filter until and --volumes do not go together: nothing says how long a volume was not used")
			}
			if err != nil {
				return err
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				return v.sweep(ctx, client, age, all, volumes, force)
			})
		},
	}
	c.Flags().BoolVarP(&all, "all", "a", false, "images too that no container is of, by whatever name")
	c.Flags().BoolVar(&volumes, "volumes", false, "volumes too that nobody named and no container has")
	c.Flags().BoolVarP(&force, "force", "f", false, "don't ask")
	c.Flags().StringArrayVar(&filters, "filter", nil, "only what was made, or of the build cache was last used, before `until=TIME` (10m, 240h, 2026-01-31); networks, whose age is not known, stay")
	return c
}

func (v *Verbs) sweep(ctx context.Context, client *api.Client, age time.Duration, all, volumes, force bool) error {
	inv := v.Of()
	s, err := v.unusedAll(ctx, client, age, all, volumes)
	if err != nil {
		return err
	}
	if s.isEmpty() {
		fmt.Fprintln(inv.Stderr, "nothing to remove")
		return nil
	}
	if !force || inv.DryRun {
		s.list(v)
	}
	if may, err := v.mayRemove(ctx, force, "all of it, up to "+display.Bytes(s.bytes())); !may {
		return err
	}
	return v.remove(ctx, client, s, age, all)
}

// unusedAll finds what is to go, without touching it.
func (v *Verbs) unusedAll(ctx context.Context, client *api.Client, age time.Duration, all, volumes bool) (*sweep, error) {
	now := v.Of().Now()
	stacks, err := client.Projects(ctx, &api.ProjectsRequest{})
	if err != nil {
		return nil, err
	}
	containers, err := keptContainers(ctx, client)
	if err != nil {
		return nil, err
	}
	s := &sweep{images: &api.PruneReply{}}
	s.containers = ended(containers, stacks.Projects, now.Add(-age))
	var gone []string
	for i := range s.containers {
		gone = append(gone, s.containers[i].Name)
	}
	isHere := left(containers, stacks.Projects, gone)
	isFree := func(r resource) bool {
		return !slices.ContainsFunc(r.users, func(name string) bool { return !slices.Contains(gone, name) })
	}
	if age == 0 {
		networks, err := networkThings(ctx, client)
		if err != nil {
			return nil, err
		}
		s.networks = slices.DeleteFunc(networks, func(r resource) bool { return !isFree(r) || isHere[r.project] })
	}
	if volumes {
		list, err := keptVolumes(ctx, client)
		if err != nil {
			return nil, err
		}
		s.volumes = slices.DeleteFunc(list, func(one keptVolume) bool { return !one.anonymous || !isFree(one.resource) })
	}
	if all {
		if s.images, err = client.Image.Prune(ctx, &api.PruneRequest{DryRun: true, Gone: gone, UntilUnixMs: until(age, now)}); err != nil {
			return nil, err
		}
	}
	cache, err := cached(ctx, client)
	if err != nil {
		return nil, err
	}
	s.cacheBytes = cacheUse(slices.DeleteFunc(cache, func(r *controlapi.UsageRecord) bool { return !isOld(r, int64(age), now) })).free
	return s, nil
}

func until(age time.Duration, now time.Time) int64 {
	if age == 0 {
		return 0
	}
	return now.Add(-age).UnixMilli()
}

// ended are the containers to remove: those that do not run, were made before a time, and
// are of no stack that is in use. Those of "run" are only as long in use as they run.
func ended(all []keptContainer, stacks []*api.ProjectInfo, before time.Time) []keptContainer {
	inUse := map[string]bool{}
	for _, p := range stacks {
		inUse[p.Name] = p.Instance != "" || p.InUse || p.Running+p.Paused+p.Scheduled > 0
	}
	isInstance := func(project string) bool {
		return slices.ContainsFunc(stacks, func(p *api.ProjectInfo) bool { return p.Name == project && p.Instance != "" })
	}
	for i := range all {
		if all[i].isActive() {
			inUse[all[i].project] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(c keptContainer) bool {
		return c.isActive() || !c.CreatedAt.Before(before) || inUse[c.project] && !c.OneOff || isInstance(c.project)
	})
}

// left are the stacks that are still here without some containers.
func left(all []keptContainer, stacks []*api.ProjectInfo, gone []string) map[string]bool {
	here := map[string]bool{}
	for _, p := range stacks {
		here[p.Name] = p.Instance != "" || p.InUse || p.Scheduled > 0
	}
	for i := range all {
		if !slices.Contains(gone, all[i].Name) {
			here[all[i].project] = true
		}
	}
	return here
}

func (s *sweep) isEmpty() bool {
	return len(s.containers)+len(s.networks)+len(s.volumes)+len(s.images.Names) == 0 && s.cacheBytes == 0
}

func (s *sweep) bytes() int64 {
	total := s.images.DiskBytes + s.cacheBytes
	for i := range s.containers {
		total += s.containers[i].bytes
	}
	for _, one := range s.volumes {
		total += one.bytes
	}
	return total
}

// list shows what is to go.
func (s *sweep) list(v *Verbs) {
	w := v.Of().Stderr
	for i := range s.containers {
		fmt.Fprintf(w, " - container %s   %s\n", s.containers[i].Name, display.Bytes(s.containers[i].bytes))
	}
	for _, r := range s.networks {
		fmt.Fprintf(w, " - network %s\n", r.name)
	}
	for _, one := range s.volumes {
		fmt.Fprintf(w, " - volume %.12s   %s\n", one.name, display.Bytes(one.bytes))
	}
	for _, name := range s.images.Names {
		fmt.Fprintf(w, " - image %s\n", display.Printable(name))
	}
	if len(s.images.Names) > 0 {
		fmt.Fprintf(w, "   %s, %s\n", spec.Plural(len(s.images.Names), "image"), display.Bytes(s.images.DiskBytes))
	}
	if s.cacheBytes > 0 {
		fmt.Fprintf(w, " - build cache   %s\n", display.Bytes(s.cacheBytes))
	}
}

// remove removes what was found, and goes on where one thing can't be removed.
func (v *Verbs) remove(ctx context.Context, client *api.Client, s *sweep, age time.Duration, all bool) error {
	var errs []error
	var bytes int64
	out := v.Of().Stdout
	if len(s.containers) > 0 {
		var ids []string
		for i := range s.containers {
			ids, bytes = append(ids, s.containers[i].ID), bytes+s.containers[i].bytes
		}
		containers := container.Verbs{Of: v.Of}
		errs = append(errs, containers.Remove(ctx, ids))
	}
	removed, err := removeAll(ctx, client, resourceKind{kind: "network", remove: removeNetwork}, s.networks)
	errs = append(errs, err)
	for _, one := range s.volumes {
		gone, err := removeAll(ctx, client, resourceKind{kind: "volume", remove: removeVolume}, []resource{one.resource})
		errs = append(errs, err)
		if removed = append(removed, gone...); len(gone) > 0 {
			bytes += one.bytes
		}
	}
	if all {
		reply, err := client.Image.Prune(ctx, &api.PruneRequest{UntilUnixMs: until(age, v.Of().Now())})
		errs = append(errs, cli.Cause(ctx, err))
		removed = append(removed, reply.GetNames()...)
		bytes += reply.GetDiskBytes()
	}
	for _, name := range removed {
		fmt.Fprintln(out, display.Printable(name))
	}
	_, cache, err := dropCache(ctx, client, &controlapi.PruneRequest{KeepDuration: int64(age)})
	errs = append(errs, err)
	fmt.Fprintf(v.Of().Stderr, "removed %s\n", display.Bytes(bytes+cache))
	return errors.Join(errs...)
}
