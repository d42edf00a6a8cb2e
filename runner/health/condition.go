package health

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// SteadyRun is how long a container without a health check must have run to
// count as ready: many fail within their first moments.
const SteadyRun = 400 * time.Millisecond

// pending is the wait of what only an event can end.
const pending = time.Duration(-1)

// Meets says whether the containers of a service meet a condition: wait is 0
// where they do, the time after which to look again where only time is
// missing, and negative where only an event can bring it about. An error says that they can't any more.
func Meets(all []planner.Container, service, condition string, now time.Time) (text string, wait time.Duration, err error) {
	text, wait = "no container yet", pending
	for i := range all {
		if all[i].Service != service || all[i].OneOff {
			continue
		}
		text, wait, err = Is(&all[i], condition, now)
		if err != nil || wait != 0 {
			return text, wait, err
		}
	}
	return text, wait, nil
}

// Awaited is Meets for a step that is carried out since a time; one between two batches of an update ends
// after its time, which begins when its containers are ready, or when more has failed than may.
func Awaited(all []planner.Container, s *planner.Step, since *time.Time, now time.Time) (text string, wait time.Duration, err error) {
	b := s.Batch
	if b == nil {
		return Meets(all, s.Service, s.Condition, now)
	}
	failed, why := b.Failed, ""
	for i := range all {
		c := &all[i]
		switch {
		case c.Service != s.Service || c.OneOff || !slices.Contains(b.Numbers, c.Number):
		case isFailing(c):
			failed++
			if why == "" {
				why = fmt.Sprintf("; %s/%d %s", c.Service, c.Number, whyFailing(c))
			}
		case wait == 0 && (c.Applied == nil || !c.Applied.Service.IsJob()):
			text, wait, _ = Is(c, planner.Ready, now)
		}
	}
	if since.IsZero() { // not all were ready when it was looked at last: what fails counts, however long that took
		*since = now
	}
	passed := now.Sub(*since)
	if passed <= b.Monitor && b.IsTooMany(failed) {
		return "", 0, fmt.Errorf("%w%s", b.Error(s.Service, failed), why)
	}
	if wait != 0 {
		*since = time.Time{}
		return text, wait, nil
	}
	return "", max(0, b.Monitor+b.Delay-passed), nil
}

// isFailing says that a container which was just replaced is not what it was to become.
func isFailing(c *planner.Container) bool {
	return c.State == planner.Exited && !c.IsCompleted() || c.Restarts > 0 || c.Health == planner.Unhealthy
}

// whyFailing says in what way it is not.
func whyFailing(c *planner.Container) string {
	switch {
	case c.State == planner.Exited:
		return ExitError(c).Error()
	case c.Health == planner.Unhealthy:
		return unhealthy(c).Error()
	}
	return "was started again: it " + ExitError(c).Error()
}

// Is is Meets for one container.
func Is(c *planner.Container, condition string, now time.Time) (string, time.Duration, error) {
	ended := c.State == planner.Exited
	switch {
	case ended && !c.IsCompleted():
		return "", 0, ExitError(c)
	case c.State == planner.Restarting && c.Restarts > 2 && condition != spec.ServiceStarted:
		return "", 0, fmt.Errorf("keeps restarting: %w, restarted %s", ExitError(c), spec.Times(c.Restarts))
	}
	switch {
	case condition == spec.ServiceStarted || condition == "":
		if c.IsUp() {
			return "running", 0, nil
		}
		return string(c.State), pending, nil
	case condition == spec.ServiceCompleted && ended:
		return "completed", 0, nil
	case condition == spec.ServiceCompleted:
		return "running", pending, nil
	case ended && condition == planner.Ready:
		return "completed", 0, nil
	case condition == planner.Ready && c.Applied != nil && c.Applied.Service.IsJob():
		return "running", pending, nil
	case ended:
		return "", 0, ExitError(c)
	case c.Health == planner.Healthy:
		return "healthy", 0, nil
	case c.Health == planner.Unhealthy:
		return "", 0, unhealthy(c)
	case c.State == planner.Running && c.Health == planner.NoHealth && condition == spec.ServiceHealthy && now.Sub(c.StartedAt) < SteadyRun:
		return "running", SteadyRun - now.Sub(c.StartedAt), nil // that it ends would be the better reason
	case c.State == planner.Running && c.Health == planner.NoHealth && condition == spec.ServiceHealthy:
		return "", 0, fmt.Errorf("%s has no health check to wait for: give it one, or wait for service_started", c.Name)
	case c.State == planner.Running && c.Health == planner.NoHealth:
		return "running", max(0, SteadyRun-now.Sub(c.StartedAt)), nil
	}
	return waitsFor(c), pending, nil
}

func waitsFor(c *planner.Container) string {
	switch {
	case c.State == planner.Restarting:
		return "restarting: " + ExitError(c).Error()
	case c.State != planner.Running:
		return string(c.State)
	}
	if c.LastProbe == nil || c.LastProbe.ExitCode == 0 {
		return string(c.Health)
	}
	if out := firstLine(c.LastProbe.Output); out != "" {
		return "not healthy yet: " + out
	}
	return fmt.Sprintf("not healthy yet: exit code %d", c.LastProbe.ExitCode)
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}

// ExitError says how a container has ended.
func ExitError(c *planner.Container) error {
	text := fmt.Sprintf("exited with code %d", c.ExitCode)
	if c.OOMKilled {
		text += ": out of memory"
	} else if name := unix.SignalName(syscall.Signal(c.ExitCode - 128)); name != "" {
		text += " (" + name + ")"
	}
	if !c.StartedAt.IsZero() && !c.ExitedAt.IsZero() {
		// The exit of one that ends at once may be dated before its start is noted.
		text += fmt.Sprintf(" after %.1f s", max(0, c.ExitedAt.Sub(c.StartedAt)).Seconds())
	}
	if c.Error != "" {
		text += ": " + c.Error
	}
	return errors.New(text)
}

func unhealthy(c *planner.Container) error {
	text := "unhealthy"
	if p := c.LastProbe; p != nil {
		text += " after " + spec.Plural(p.Failing, "failed probe")
		if out := firstLine(p.Output); out != "" {
			text += ": " + out
		} else {
			text += fmt.Sprintf(" (exit code %d)", p.ExitCode)
		}
	}
	return errors.New(text)
}

// Awaits says what a service's container that comes back by itself is still to
// wait for: a service that it depends on, and that is on its way as well. What
// does not come back, for it was stopped or has ended, is not waited for: before,
// the container went on without it too. "" is nothing.
func Awaits(all []planner.Container, s *spec.Service) string {
	conditions := map[string]string{}
	for name, dep := range s.DependsOn {
		conditions[name] = dep.Condition
	}
	if mode, owner, _ := strings.Cut(s.NetworkMode, ":"); mode == "service" && conditions[owner] == "" {
		conditions[owner] = spec.ServiceStarted
	}
	for _, name := range slices.Sorted(maps.Keys(conditions)) {
		for i := range all {
			if c := &all[i]; c.Service == name && !c.OneOff {
				if text := awaited(c, conditions[name]); text != "" {
					return "waits for " + name + " to " + text
				}
			}
		}
	}
	return ""
}

// awaited says what is missing of a container that is on its way.
func awaited(c *planner.Container, condition string) string {
	isUp := c.State == planner.Running || c.State == planner.Stopping
	switch {
	case !isUp && c.State != planner.Restarting:
		return ""
	case condition == spec.ServiceCompleted:
		return "complete"
	case condition == spec.ServiceHealthy && (!isUp || c.Health == planner.Starting || c.Health == planner.Unhealthy):
		return "be healthy"
	case !isUp:
		return "start"
	}
	return ""
}
