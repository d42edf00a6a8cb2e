// Package lifecycle changes containers that exist: it starts and ends those of services, and tells which have none.
package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/provider"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// changer changes containers for an invocation.
type changer struct{ *cli.Invocation }

// Run starts, stops, restarts, kills, removes, pauses or unpauses containers of services, or of the whole stack. fill puts into the request what the
// verb's own flags say.
func Run(ctx context.Context, inv *cli.Invocation, action planner.Action, services []string, w display.Words, fill func(context.Context, *api.LifecycleRequest) error) error {
	a := &changer{inv}
	w.Of = services
	return a.WithStack(ctx, services, func(ctx context.Context, client *api.Client, s cli.Stack) error {
		containers, isNone := cli.Containers(s.Project, services)
		if isNone {
			return a.afterwards(ctx, action, s, services)
		}
		req := &api.LifecycleRequest{Project: s.Name, Action: string(action), Services: containers, Limit: int32(a.Parallel), DryRun: a.DryRun}
		if len(services) == 0 {
			req.Within = s.Within(action)
		}
		if err := fill(ctx, req); err != nil {
			return err
		}
		lacking, err := a.lacking(ctx, client, action, s, containers)
		if err != nil {
			return err
		}
		if a.Patience > 0 {
			var cancel context.CancelFunc
			ctx, cancel = cli.NoLonger(ctx, s.Name, time.Duration(a.Patience)*time.Second)
			defer cancel()
		}
		var unstarted error // of those whose pre_start has failed: the others are started all the same, as with an up
		if hooked := hookedOf(action, s, containers); len(hooked) > 0 {
			var tried []string
			tried, unstarted = a.startHooked(ctx, client, s, hooked)
			if unstarted != nil && (len(tried) == 0 || ctx.Err() != nil) {
				return unstarted
			}
			done := tried
			if unstarted != nil {
				down, err := stillDown(ctx, client, s, tried)
				if err != nil {
					return errors.Join(unstarted, err)
				}
				done = append(withDependents(s.Project, down), tried...)
			}
			isDone := func(name string) bool { return slices.Contains(done, name) }
			req.Services, req.Within = slices.DeleteFunc(slices.Clone(req.Services), isDone), slices.DeleteFunc(slices.Clone(req.Within), isDone)
			if len(tried) > 0 && len(req.Services)+len(req.Within) == 0 {
				return cmp.Or(unstarted, a.afterwards(ctx, action, s, services))
			}
		}
		stream, err := client.Lifecycle(ctx, req)
		if err != nil {
			return errors.Join(unstarted, err)
		}
		if _, err = a.Show(ctx, stream, cli.Progress{Words: w, Project: s.Project}); err != nil || unstarted != nil {
			return errors.Join(unstarted, err)
		}
		if lacking != "" && !a.IsSilent() {
			fmt.Fprintln(a.Stderr, a.ErrStyle().Yellow(" ! "+lacking))
		}
		return a.afterwards(ctx, action, s, services)
	})
}

// hookedOf are the services among those that are started whose containers follow others that run to completion
// (Compose Specification, pre_start).
func hookedOf(action planner.Action, s cli.Stack, named []string) (services []string) {
	if action != planner.Start || s.Project == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(s.Project.Services)) {
		if len(s.Project.Services[name].PreStart) > 0 && (len(named) == 0 || slices.Contains(named, name)) {
			services = append(services, name)
		}
	}
	return services
}

// startHooked starts containers whose pre_start comes first: as an up does that neither makes nor replaces any. It gives the services
// of which there were any to start.
func (a *changer) startHooked(ctx context.Context, client *api.Client, s cli.Stack, services []string) ([]string, error) {
	there, err := cli.Observe(ctx, client, cli.Stack{Name: s.Name})
	if err != nil {
		return nil, err
	}
	services = notRunning(there, services)
	if len(services) == 0 {
		return nil, nil
	}
	project := asItIs(s.Project, there)
	application := cli.Application{Project: project, Options: planner.Options{Services: services, NoRecreate: true, NoBuild: true}, Timeout: -1}
	words := display.Words{Of: services, Done: "is started", Nothing: "is started already", Failed: "is not started", Silent: true}
	if a.DryRun {
		plan, err := a.Plan(ctx, client, application)
		if err == nil {
			err = a.Foretell(plan, words)
		}
		return services, err
	}
	req, err := a.Request(ctx, client, application)
	if err != nil {
		return nil, err
	}
	defer req.Close()
	stream, err := client.Apply(ctx, req.Message)
	if err != nil {
		return nil, err
	}
	_, err = a.Show(ctx, stream, cli.Progress{Words: words, Project: project, Lend: req.Lend})
	return services, err
}

// notRunning are those of some services that have a container which does not run.
func notRunning(there []planner.Container, services []string) []string {
	return slices.DeleteFunc(services, func(service string) bool {
		return !slices.ContainsFunc(there, func(c planner.Container) bool {
			return c.Service == service && !c.OneOff && (c.State == planner.Created || c.State == planner.Exited)
		})
	})
}

// stillDown are those of services whose start was tried that do not run now.
func stillDown(ctx context.Context, client *api.Client, s cli.Stack, tried []string) ([]string, error) {
	there, err := cli.Observe(ctx, client, cli.Stack{Name: s.Name})
	return notRunning(there, slices.Clone(tried)), err
}

// asItIs is a project that has of each service as many containers as are there.
func asItIs(p *spec.Project, there []planner.Container) *spec.Project {
	count := map[string]int{}
	for _, c := range there {
		if !c.OneOff {
			count[c.Service]++
		}
	}
	alike := *p
	alike.Services = maps.Clone(p.Services)
	for name, s := range alike.Services {
		one, n := *s, count[name]
		one.Scale = &n
		alike.Services[name] = &one
	}
	return &alike
}

// withDependents are services, and those that can't be without them.
func withDependents(p *spec.Project, services []string) []string {
	all := slices.Clone(services)
	for i := 0; i < len(all); i++ {
		for name, s := range p.Services {
			isBehind := s.DependsOn[all[i]].Required || slices.Contains(planner.SharedWith(s), all[i])
			if isBehind && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// lacking says which services have no container that could be started. It is an error
// of those that are named, and of a project that has none and no job to resume either.
func (a *changer) lacking(ctx context.Context, client *api.Client, action planner.Action, s cli.Stack, named []string) (string, error) {
	if action != planner.Start && action != planner.Restart {
		return "", nil
	}
	observed, err := cli.Snapshot(ctx, client, cli.Stack{Name: s.Name})
	if err != nil {
		return "", err
	}
	there := observed.Containers
	has := func(service string) bool {
		return slices.ContainsFunc(there, func(c planner.Container) bool { return c.Service == service && !c.OneOff })
	}
	of := named
	if len(named) == 0 {
		of = s.Within(action)
	}
	without := slices.DeleteFunc(slices.Clone(of), func(name string) bool {
		return has(name) || s.Project != nil && s.Project.Services[name] != nil && s.Project.Services[name].Replicas() == 0
	})
	switch text := noContainer(without, string(action)); {
	case len(without) == 0 && (s.Project != nil || len(there) > 0):
		return "", nil
	case len(named) > 0:
		return "", errors.New(text)
	case len(without) == 0 && len(observed.Schedules) > 0: // it has jobs only
		return "", nil
	case action == planner.Restart && slices.ContainsFunc(s.Disabled(), has): // what there is is of inactive profiles
		return "", nil
	case !hasPaused(observed) && !slices.ContainsFunc(of, has):
		return "", fmt.Errorf("%s has no container to %s: \"orlop up -d\" makes them", s.Name, action)
	default:
		return text, nil
	}
}

// hasPaused says that there are jobs to resume.
func hasPaused(o *planner.Observed) bool {
	for _, job := range o.Schedules {
		if job.Paused {
			return true
		}
	}
	return false
}

// noContainer says that services have no container to do something to.
func noContainer(services []string, action string) string {
	up := strings.Join(services, " ")
	if len(services) == 1 {
		return fmt.Sprintf("service %s has no container to %s: \"orlop up -d %s\" makes it", up, action, up)
	}
	subject := display.Words{Of: services}.Sentence("", "has no container")
	return fmt.Sprintf("services %s to %s: \"orlop up -d %s\" makes them", strings.TrimPrefix(subject, "services "), action, up)
}

// afterwards has providers pause once what depends on them has stopped.
func (a *changer) afterwards(ctx context.Context, action planner.Action, s cli.Stack, services []string) error {
	if action != planner.Stop {
		return nil
	}
	return a.Release(ctx, s.Project, services, provider.Stop)
}
