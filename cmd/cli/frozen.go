package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/builder"
	"github.com/orlop/orlop/cmd/remote"
	"github.com/orlop/orlop/spec"
)

// Wanted is an image that a stack has from elsewhere.
type Wanted struct {
	Name  string // in the lock
	Where string // that names it first: "services.web.image"
	Anew  bool   // it is pulled though it is here
}

// WantedImages are the images that a project has from elsewhere, by name, those that its builds start from
// among them. unknown are the services whose builds start from what is known to the build alone.
func WantedImages(p *spec.Project) (wanted []Wanted, unknown []string, err error) {
	c := newCollection(p)
	for kind, services := range map[string]map[string]*spec.Service{"services": p.Services, "jobs": p.Jobs} {
		for name, s := range services {
			where := kind + "." + name
			c.service(where, s)
			if s.Build == nil {
				continue
			}
			refs, whole := builder.Bases(p, name)
			c.bases(where, refs, false)
			if !whole {
				unknown = append(unknown, name)
			}
		}
	}
	slices.Sort(unknown)
	return c.sorted(), unknown, c.err
}

// collection gathers images.
type collection struct {
	built map[string]bool // names of images that the project builds
	found map[string]Wanted
	err   error
}

func newCollection(p *spec.Project) *collection {
	c := &collection{built: map[string]bool{}, found: map[string]Wanted{}}
	for _, services := range []map[string]*spec.Service{p.Services, p.Jobs, p.Bases} {
		for name, s := range services {
			if s.Build == nil {
				continue
			}
			for _, ref := range p.NamesOf(name) {
				if short, err := remote.LockName(ref); err == nil {
					c.built[short] = true
				}
			}
		}
	}
	return c
}

func (c *collection) add(ref, where string, anew bool) {
	name, err := remote.LockName(ref)
	if err != nil {
		c.err = errors.Join(c.err, fmt.Errorf("%s: %w", where, err))
		return
	}
	if name == "" || c.built[name] {
		return
	}
	have, isKnown := c.found[name]
	if !isKnown || where < have.Where {
		have.Where = where
	}
	c.found[name] = Wanted{name, have.Where, have.Anew || anew}
}

// service adds what containers of a service need.
func (c *collection) service(where string, s *spec.Service) {
	anew := !slices.Contains([]string{"", "missing", "if_not_present", "never", "build"}, s.PullPolicy)
	if s.Build == nil && s.Image != "" {
		c.add(s.Image, where+".image", anew)
	}
	for _, ref := range s.MountedImages() {
		c.add(ref, where+".volumes", anew)
	}
	for _, first := range s.PreStart {
		if first.Image != "" {
			c.add(first.Image, where+".pre_start", anew)
		}
	}
}

func (c *collection) bases(where string, refs []string, anew bool) {
	for _, ref := range refs {
		c.add(ref, where+".build", anew)
	}
}

func (c *collection) sorted() (all []Wanted) {
	for _, name := range slices.Sorted(maps.Keys(c.found)) {
		all = append(all, c.found[name])
	}
	return all
}

// holdToLock is an error if an image that an application would use is another than orlop.lock says, as far
// as that can be known before: one that is here by its digest, one that would be pulled by what its
// registry has now.
func (inv *Invocation) holdToLock(ctx context.Context, client *api.Client, p Application) error {
	wanted, err := wantedOf(p)
	if err != nil || len(wanted) == 0 {
		return err
	}
	locked, _, err := remote.Images(p.Project.WorkingDir)
	if err != nil {
		return err
	}
	return inv.compare(ctx, client, p.Project, wanted, locked)
}

// wantedOf are the images that an application uses.
func wantedOf(p Application) ([]Wanted, error) {
	chosen, err := p.Project.Select(p.Options.Services, p.Options.NoDeps)
	if err != nil {
		return nil, err
	}
	c := newCollection(p.Project)
	if !p.Options.BuildOnly {
		for name, s := range chosen.Services {
			c.service("services."+name, s)
		}
		if len(p.Options.Services) == 0 {
			for name, s := range p.Project.Jobs {
				c.service("jobs."+name, s)
			}
		}
	}
	for name, in := range p.Options.Inputs { // none of a pull
		c.bases("services."+name, slices.Collect(maps.Keys(in.Bases)), p.Builds.Pull || pullsBases(p.Project, name))
	}
	wanted := c.sorted()
	for i := range wanted {
		wanted[i].Anew = wanted[i].Anew || p.Options.PullOnly || p.Options.Pull == "always"
	}
	return wanted, c.err
}

// pullsBases says that the build of a service has "pull: true".
func pullsBases(p *spec.Project, name string) bool {
	for _, services := range []map[string]*spec.Service{p.Services, p.Jobs, p.Bases} {
		if s := services[name]; s != nil && s.Build != nil {
			return s.Build.Pull
		}
	}
	return false
}

// compare holds images to a lock.
func (inv *Invocation) compare(ctx context.Context, client *api.Client, p *spec.Project, wanted []Wanted, locked map[string]string) error {
	here, err := ImagesHere(ctx, client)
	if err != nil {
		return err
	}
	var errs []error
	var ask []string
	for _, w := range wanted {
		switch have, want := here[w.Name], locked[w.Name]; {
		case want == "":
			errs = append(errs, fmt.Errorf("%s (%s) is not in %s: run \"orlop lock\" and commit the file", w.Name, w.Where, remote.LockFile))
		case have == "" || w.Anew:
			ask = append(ask, w.Name)
		case have != want:
			errs = append(errs, fmt.Errorf("%s (%s) is here as %s, and %s has %s: run \"orlop pull\", or if it is to be this one, \"orlop lock\"", w.Name, w.Where, remote.Short(have), remote.LockFile, remote.Short(want)))
		}
	}
	if len(errs) > 0 || len(ask) == 0 {
		return errors.Join(errs...)
	}
	now, failed, err := inv.Resolve(ctx, client, p, ask)
	if err != nil {
		return err
	}
	for _, w := range wanted {
		switch is := now[w.Name]; {
		case failed[w.Name] != "":
			errs = append(errs, errors.New(failed[w.Name]))
		case is != "" && is != locked[w.Name]:
			errs = append(errs, fmt.Errorf("%s (%s) has moved: %s has %s, its registry %s now: look at what has changed, then run \"orlop lock\"",
				w.Name, w.Where, remote.LockFile, remote.Short(locked[w.Name]), remote.Short(is)))
		}
	}
	return errors.Join(errs...)
}

// ImagesHere are the digests of the images that the engine has, by their names in a lock.
func ImagesHere(ctx context.Context, client *api.Client) (map[string]string, error) {
	reply, err := client.Images(ctx, &api.ImagesRequest{})
	if err != nil {
		return nil, Cause(ctx, err)
	}
	here := map[string]string{}
	for _, i := range reply.Images {
		if name, err := remote.LockName(i.Name); err == nil && name != "" {
			here[name] = i.Digest
		}
	}
	return here, nil
}

// Resolve asks registries what images are now, with the caller's logins. failed says why that of some is not
// known.
func (inv *Invocation) Resolve(ctx context.Context, client *api.Client, p *spec.Project, names []string) (digests, failed map[string]string, err error) {
	req := &api.ResolveRequest{Names: names}
	if inv.Builder != nil {
		session, err := inv.Builder.Open(ctx, p, BuildOptions{Services: []string{}})
		if err != nil {
			return nil, nil, err
		}
		defer session.Close()
		if err := session.Connect(client.Conn(), ""); err != nil {
			return nil, nil, err
		}
		req.Session = session.IDs()[""]
	}
	reply, err := client.Registry.Resolve(ctx, req)
	if err != nil {
		return nil, nil, Cause(ctx, err)
	}
	return reply.Digests, reply.Failed, nil
}
