package up

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// Ending says when an attached up ends because a container has ended, and with
// which exit code (Compose's up, --abort-on-container-exit,
// --abort-on-container-failure and --exit-code-from).
type Ending struct {
	OnExit, OnFailure bool
	From              string // service

	begun bool // the rest is being stopped
	known bool // code is that of the service, or of the container that ended it
	code  int
}

// Wanted says that a container's end may end the up.
func (e *Ending) Wanted() bool { return e.OnExit || e.OnFailure || e.From != "" }

// Check refuses flags that contradict each other.
func (e *Ending) Check() error {
	if e.OnExit && e.OnFailure {
		return errors.New("--abort-on-container-exit and --abort-on-container-failure cannot be used together")
	}
	e.OnExit = e.OnExit || e.From != "" && !e.OnFailure
	return nil
}

// again are the services whose end is what the command is for: they run once
// more if they have completed, as no ending could follow from them otherwise.
func (e *Ending) again(p *spec.Project) (services []string) {
	if !e.Wanted() {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		if name == e.From || !isAwaited(p, name) {
			services = append(services, name)
		}
	}
	return services
}

// exited takes in that a container has ended for good, and says whether the
// rest is to be stopped now.
func (e *Ending) exited(p *spec.Project, c *planner.Container) (stop bool) {
	if e.From == c.Service && (!e.known || e.code == 0 && !e.begun) {
		e.known, e.code = true, c.ExitCode
	}
	ends := e.OnFailure && c.ExitCode != 0 || e.OnExit && (c.Service == e.From || !isAwaitedOneShot(p, c))
	if !ends || e.begun {
		return false
	}
	e.begun = true
	if e.From == "" {
		e.known, e.code = true, c.ExitCode
	}
	return true
}

// isAwaitedOneShot says that a container has done what others wait for: its
// end is no end of the stack.
func isAwaitedOneShot(p *spec.Project, c *planner.Container) bool {
	return c.ExitCode == 0 && isAwaited(p, c.Service)
}

// isAwaited says that others wait for a service to complete.
func isAwaited(p *spec.Project, service string) bool {
	for _, s := range p.Services {
		if how, ok := s.DependsOn[service]; ok && how.Condition == spec.ServiceCompleted {
			return true
		}
	}
	return false
}

// result is the exit code, as an error.
func (e *Ending) result() error {
	if e.known && e.code != 0 {
		return cli.Exit{Code: e.code}
	}
	return nil
}

// followExit carries out what a container's end asks for.
func (u *run) followExit(logs *display.LogMerge, c *planner.Container) {
	if c.State != planner.Exited || u.interrupts.interrupted() { // what the user ends ends nothing else
		return
	}
	if u.ending.exited(u.project, c) {
		logs.Say(fmt.Sprintf(" stopping all services: %s has ended", display.Replica(c)))
		u.shutdown.start(u, planner.Stop)
	}
}

// stopAfterFailure stops what a failed up has brought up. What has ended by
// then decides about the exit code.
func (u *run) stopAfterFailure(known []planner.Container) {
	for i := range known {
		if k := &known[i]; k.State == planner.Exited && !k.OneOff && k.ExitedAt.After(u.since) {
			u.ending.exited(u.project, k)
		}
	}
	u.ending.begun = true
	u.shutdown.start(u, planner.Stop)
}

// endAfterFailure shows what the services printed after an up that failed,
// stops them, and gives the exit code that is asked for.
func (u *run) endAfterFailure(failure error, attach func() error) error {
	var quiet cli.Exit
	if !u.ending.Wanted() || !errors.As(failure, &quiet) {
		return failure
	}
	u.stopAtOnce = true
	if err := attach(); err != nil {
		return err
	}
	return failure
}

// mustHave checks that the service of --exit-code-from is one of those that
// are brought up.
func (e *Ending) mustHave(services []string) error {
	if e.From != "" && !slices.Contains(services, e.From) {
		return fmt.Errorf("--exit-code-from is %q: no such service is brought up", e.From)
	}
	return nil
}
