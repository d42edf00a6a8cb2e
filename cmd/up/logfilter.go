package up

import (
	"fmt"
	"slices"

	"github.com/orlop/orlop/spec"
)

// LogFilter says whose logs an attached up shows. The zero value is those of the services
// that it is about, but for those whose stack file says "attach: false".
type LogFilter struct {
	Only, Not    []string // services; Only overrides the stack file
	Dependencies bool     // of those that it is about, too
}

// IsSet says that it is not the zero value.
func (f *LogFilter) IsSet() bool { return len(f.Only)+len(f.Not) > 0 || f.Dependencies }

// check refuses services that are not among those brought up.
func (f *LogFilter) check(p *spec.Project, chosen []string) error {
	for _, name := range f.Only {
		if !slices.Contains(chosen, name) {
			return fmt.Errorf("--attach is %q: no such service is brought up", name)
		}
	}
	for _, name := range f.Not {
		if p.Services[name] == nil && p.Disabled[name] == nil {
			return fmt.Errorf("--no-attach is %q: the stack file has no such service", name)
		}
	}
	return nil
}

// shows says whether the logs of a service are shown.
func (f *LogFilter) shows(p *spec.Project, service string) bool {
	if len(f.Only) > 0 || slices.Contains(f.Not, service) {
		return slices.Contains(f.Only, service) && !slices.Contains(f.Not, service)
	}
	s := p.Services[service]
	return s == nil || s.Attach == nil || *s.Attach
}

// logged are the services whose logs are read; none are all, those to come included.
func (u *run) logged() []string {
	switch active := u.activeServices(); {
	case len(u.logs.Only) > 0:
		return u.logs.Only
	case u.logs.Dependencies && len(active) > 0:
		return u.chosen
	default:
		return active
	}
}
