package difference

import (
	"maps"
	"slices"

	"github.com/orlop/orlop/spec"
)

// Effective is a service without what changes nothing: a key that an older
// engine left out must not replace its containers where it says what they have anyhow.
func Effective(s *spec.Service) *spec.Service {
	if s == nil {
		return s
	}
	e := *s
	e.PreStart = make([]*spec.Service, len(s.PreStart))
	for i, first := range s.PreStart {
		e.PreStart[i] = Effective(first)
	}
	if e.UsernsMode == spec.HostNamespace { // it is what each has, unless the engine's settings say otherwise
		e.UsernsMode = ""
	}
	e.ProvidedEnvironment = nil // their values are in the environment
	if l := s.Logging; l.Name() == spec.LogJSONFile && (l == nil || len(l.Options) == 0) {
		e.Logging = nil // it is what each has
	}
	e.Runtime = s.NamedRuntime()
	e.Networks = maps.Clone(s.Networks)
	for key, n := range e.Networks {
		if n != nil && n.UseServiceNameAlias != nil && *n.UseServiceNameAlias {
			joined := *n
			joined.UseServiceNameAlias = nil
			e.Networks[key] = &joined
		}
	}
	if d := s.Deploy; d != nil && d.Resources != nil && d.Resources.Reservations != nil { // what a cluster alone goes by
		deploy, resources, reserved := *d, *d.Resources, *d.Resources.Reservations
		reserved.CPUs = 0
		deploy.Resources, resources.Reservations, e.Deploy = &resources, &reserved, &deploy
	}
	if e.IPC == "private" {
		e.IPC = ""
	}
	e.SecurityOpt = slices.DeleteFunc(slices.Clone(s.SecurityOpt), func(opt string) bool {
		without := *s
		without.SecurityOpt = []string{opt}
		c := without.Confinement()
		c.WritableCgroups = orNil(c.WritableCgroups, s.Privileged)
		if s.Privileged && c.Seccomp == spec.Unconfined {
			c.Seccomp = ""
		}
		return c == spec.Confinement{}
	})
	if len(e.SecurityOpt) == 0 {
		e.SecurityOpt = nil
	}
	return &e
}

// orNil is a choice that differs from what is chosen anyhow.
func orNil(choice *bool, otherwise bool) *bool {
	if choice != nil && *choice == otherwise {
		return nil
	}
	return choice
}

// Names reports the networks or volumes whose full name changed under the
// same key; keys that come and go show in the service itself.
func Names(kind string, old, want map[string]string, places spec.Places) []Reason {
	var rs []Reason
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if was, ok := old[key]; ok && was != want[key] {
			path := kind + "." + key + ".name"
			rs = append(rs, Reason{Path: path, From: Quote(was), To: Quote(want[key]), Place: places.All()[path]})
		}
	}
	return rs
}
