package consent

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/privilege"
)

// RemoteValues is a kind of request that no engine hears of: a remote stack says values of
// what the user's own file gives more than every container gets.
const RemoteValues privilege.Kind = "remote_values"

// parties are the remote stacks that say parts of what a project is made of.
type parties struct {
	project *spec.Project
	said    map[string]map[string][]string // keys that a remote stack says, by what they are of, and its name
}

func partiesOf(p *spec.Project) parties {
	all := parties{project: p, said: map[string]map[string][]string{}}
	for path, place := range p.Places.All() {
		if r := p.RemoteAt(place); r != nil {
			unit := all.unitOf(path)
			key, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(path, unit), "."), ".")
			key, _, _ = strings.Cut(key, "[")
			all.add(unit, r.Name, key)
		}
	}
	all.addUsers("services.", p.Services)
	all.addUsers("services.", p.Provided)
	all.addUsers("jobs.", p.Jobs)
	return all
}

// add notes that a remote stack says a key of something; "" is that as a whole.
func (all parties) add(unit, name, key string) {
	if all.said[unit] == nil {
		all.said[unit] = map[string][]string{}
	}
	if !slices.Contains(all.said[unit][name], key) {
		all.said[unit][name] = append(all.said[unit][name], key)
	}
}

// addUsers has who says a part of a service say a part of what it mounts, too.
func (all parties) addUsers(section string, services map[string]*spec.Service) {
	for service, s := range services {
		var used []string
		for _, m := range s.Mounts() {
			if m.Type == spec.MountVolume {
				used = append(used, "volumes."+m.Source)
			}
		}
		for _, m := range s.Secrets {
			used = append(used, "secrets."+m.Source)
		}
		for _, m := range s.Configs {
			used = append(used, "configs."+m.Source)
		}
		for _, unit := range used {
			for name := range all.said[section+service] {
				all.add(unit, name, section+service)
			}
		}
	}
}

// unitOf is what a path is of: services.web, jobs.test, volumes.data, as it is in the
// project. A name may have dots.
func (all parties) unitOf(path string) string {
	section, rest, ok := strings.Cut(path, ".")
	if !ok {
		return path
	}
	best := ""
	for name := range all.namesIn(section) {
		next, ok := strings.CutPrefix(rest, name)
		if ok && (next == "" || next[0] == '.' || next[0] == '[') && len(name) > len(best) {
			best = name
		}
	}
	if best == "" {
		best, _, _ = strings.Cut(rest, ".")
		best, _, _ = strings.Cut(best, "[")
	}
	return section + "." + best
}

// namesIn are the names in a section of the project.
func (all parties) namesIn(section string) iter.Seq[string] {
	p := all.project
	switch section {
	case "services":
		return func(yield func(string) bool) {
			for _, services := range []map[string]*spec.Service{p.Services, p.Provided, p.Bases, p.Disabled} {
				for name := range services {
					if !yield(name) {
						return
					}
				}
			}
		}
	case "jobs":
		return maps.Keys(p.Jobs)
	case "volumes":
		return maps.Keys(p.Volumes)
	case "secrets":
		return maps.Keys(p.Secrets)
	case "configs":
		return maps.Keys(p.Configs)
	}
	return func(func(string) bool) {}
}

// of are the names of the remote stacks that say a part of what a path is of.
func (all parties) of(path string) []string {
	return slices.Sorted(maps.Keys(all.said[all.unitOf(path)]))
}

// values are the requests of remote stacks that say values beside what the user's own
// file asks for, which it gives to what they are of. A receiver of logs and a published
// port give that nothing of the host.
func (all parties) values(own []privilege.Request) []privilege.Request {
	asked := map[string][]string{}
	for _, r := range own {
		unit := all.unitOf(r.Path)
		if r.Remote == "" && r.Kind != privilege.PublicPort && r.Kind != privilege.LogReceiver && !slices.Contains(asked[unit], string(r.Kind)) {
			asked[unit] = append(asked[unit], string(r.Kind))
		}
	}
	var found []privilege.Request
	for _, unit := range slices.Sorted(maps.Keys(asked)) {
		for _, name := range slices.Sorted(maps.Keys(all.said[unit])) {
			place := all.placeOf(unit, name)
			for _, user := range all.said[unit][name] { // of what only uses it
				if place.File == "" && all.said[user] != nil {
					place = all.placeOf(user, name)
				}
			}
			keys := slices.DeleteFunc(slices.Sorted(slices.Values(all.said[unit][name])), func(key string) bool { return key == "" })
			found = append(found, privilege.Request{
				Kind: RemoteValues, Path: unit, Value: strings.Join(asked[unit], " "), Remote: name, Place: place,
				Text: fmt.Sprintf("is your own file's, with values of this remote stack: %s", cmp.Or(strings.Join(keys, ", "), "it names it")),
			})
		}
	}
	return found
}

// placeOf is the first place at which a remote stack says a part of something.
func (all parties) placeOf(unit, name string) spec.Place {
	var first spec.Place
	for path, place := range all.project.Places.All() {
		r := all.project.RemoteAt(place)
		if r == nil || r.Name != name || all.unitOf(path) != unit {
			continue
		}
		if first.File == "" || cmp.Or(cmp.Compare(place.File, first.File), cmp.Compare(place.Line, first.Line), cmp.Compare(place.Column, first.Column)) < 0 {
			first = place
		}
	}
	return first
}
