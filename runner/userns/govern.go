package userns

import (
	"fmt"
	"maps"
	"slices"

	"github.com/orlop/orlop/spec"
)

// Govern holds a project to the setting, which stands in the file at path. dirs are the
// engine's directories that containers have files of.
func (s Setting) Govern(p *spec.Project, path string, dirs ...string) error {
	ids, err := s.Map(path)
	if err != nil {
		return err
	}
	if ids != nil {
		if err := Supported(dirs...); err != nil {
			return fmt.Errorf("%s:%d:%d: userns_remap: %w", path, s.Line, s.Column, err)
		}
	}
	return govern(p, ids)
}

// govern gives each service of a project its users, but for those that keep the
// machine's (userns_mode: host). It is an error if one asks for what can't be had so.
func govern(p *spec.Project, ids *spec.IDMap) error {
	var all spec.Diagnostics
	refuse := func(path, message, hint string) {
		all = append(all, spec.Diagnostic{Severity: spec.Error, Path: path, Place: p.Places.Nearest(path), Message: message, Hint: hint})
	}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s, path := p.Services[name], "services."+name
		give(s, ids)
		for i, first := range s.PreStart {
			give(first, ids)
			check(first, fmt.Sprintf("%s.pre_start[%d]", path, i), refuse)
		}
		check(s, path, refuse)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		checkShares(p, name, refuse)
	}
	if len(all) == 0 {
		return nil
	}
	return &spec.Mistakes{Diagnostics: all, Project: p.Name}
}

// give writes into a service what it gets. What another engine wrote there is none of it.
func give(s *spec.Service, ids *spec.IDMap) {
	switch {
	case s.UsernsMode == spec.HostNamespace:
	case ids == nil:
		s.UsernsMode = ""
	default:
		s.UsernsMode = ids.String()
	}
}

const keepHost = "write userns_mode: host beside it, which gives it the machine's users"

// check refuses what only the machine's own root can have.
func check(s *spec.Service, path string, refuse func(path, message, hint string)) {
	if s.IDMap() == nil {
		return
	}
	for _, c := range []struct {
		asked     bool
		key, what string
	}{
		{s.Privileged, "privileged", "all rights of the machine's root"},
		{s.PID == spec.HostNamespace, "pid", "the machine's processes"},
		{s.IPC == spec.HostNamespace, "ipc", "the machine's shared memory"},
		{s.NetworkMode == "host", "network_mode", "the machine's network"},
	} {
		if c.asked {
			refuse(path+"."+c.key, "the engine's userns_remap gives containers users of their own, who can't have "+c.what, keepHost)
		}
	}
}

// checkShares refuses what a service shares with one of other users.
func checkShares(p *spec.Project, name string, refuse func(path, message, hint string)) {
	s := p.Services[name]
	network, hasNetwork := s.Share("network_mode")
	for _, share := range s.Shares() {
		path := "services." + name + "." + share.Key
		owner := p.Services[share.Service]
		switch {
		case owner != nil && (owner.IDMap() == nil) != (s.IDMap() == nil):
			refuse(path, fmt.Sprintf("it shares the %s of %s, and only one of them has userns_mode: host", share.What(), share.Of()), "write the same userns_mode for both")
		case s.IDMap() == nil || share.Key == "network_mode":
		case !hasNetwork || network.Of() != share.Of():
			refuse(path, fmt.Sprintf("the engine's userns_remap gives it users of its own, who can share the %s of %s only with its network", share.What(), share.Of()),
				fmt.Sprintf("write network_mode: %s beside it, or userns_mode: host for both", modeOf(share)))
		}
	}
}

// modeOf is a share as the stack file says it.
func modeOf(share spec.Share) string {
	if share.Container != "" {
		return "container:" + share.Container
	}
	return "service:" + share.Service
}
