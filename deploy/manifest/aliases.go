package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
)

// LabelAlias, and the name, is of the pods of services that have a name in common.
const LabelAlias = "orlop.dev/alias."

func aliasLabel(name string) string {
	const kind = len("alias.")
	return LabelAlias + shortened(name, maxName-kind)
}

// callNames finds which services have each of the further names. A name that a link gives is of one service
// alone: on one machine it is known to who has the link.
func (b *build) callNames() {
	for _, name := range slices.Sorted(maps.Keys(b.project.Services)) {
		w := b.workload("services."+name, name, b.project.Services[name])
		if !w.hasNames() {
			continue
		}
		for _, alias := range w.aliases() {
			b.called[alias] = append(b.called[alias], name)
		}
	}
	for _, alias := range slices.Sorted(maps.Keys(b.called)) {
		users := b.called[alias]
		for _, name := range users[1:] {
			if first := users[0]; b.aliasOn(name, alias) != b.aliasOn(first, alias) {
				b.refuse("services."+name+".networks", fmt.Sprintf("%q is %s on %s and %s on %s, and a name leads to the same place for all on Kubernetes", alias, first, b.aliasOn(first, alias), name, b.aliasOn(name, alias)), "give each an alias of its own")
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.project.Services)) {
		for i, link := range b.project.Services[name].Links {
			at := fmt.Sprintf("services.%s.links[%d]", name, i)
			switch target, alias := spec.CutLink(link); {
			case alias == "" || alias == target:
			case b.project.Services[alias] != nil:
				b.refuse(at, fmt.Sprintf("%q leads to the service of that name for all on Kubernetes, also for %s", alias, name), "give the link a name that no service has")
			case len(b.called[alias]) > 1:
				b.refuse(at, fmt.Sprintf("%q is a name of %s and %s, and a name leads to the same place for all on Kubernetes", alias, b.called[alias][0], b.called[alias][1]), "give each link a name of its own")
			}
		}
	}
}

// aliasOn names the networks on which a service has a further name.
func (b *build) aliasOn(service, alias string) string {
	var keys []string
	for key, n := range b.project.Services[service].Networks {
		if n != nil && slices.Contains(n.Aliases, alias) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return "all of its networks"
	}
	slices.Sort(keys)
	return strings.Join(keys, ", ")
}

// isShared says that the name is of several services.
func (b *build) isShared(alias string) bool { return len(b.called[alias]) > 1 }

// hasNames says that others reach the service by its names: one that runs to completion has none unless its ports are known.
func (w *workload) hasNames() bool { return w.kind() != Job || len(servicePorts(w.service)) > 0 }

// sharedName is the Service of a name that several services have; the first of them makes it. It has an address
// that stays where all have the same ports, else it leads to all of their pods.
func (w *workload) sharedName(alias string) *Object {
	users := w.called[alias]
	if users[0] != w.name {
		return nil
	}
	body := map[string]any{"selector": map[string]any{LabelProject: LabelValue(w.project.Name), aliasLabel(alias): joined}}
	ports := w.portList(servicePorts(w.service), false)
	same := len(ports) > 0
	for _, name := range users[1:] {
		other := w.workload("services."+name, name, w.project.Services[name])
		same = same && hash(other.portList(servicePorts(other.service), false)) == hash(ports)
	}
	if same {
		body["ports"] = ports
	} else {
		body["clusterIP"] = "None"
	}
	return w.object(Service, alias, w.name, map[string]any{"spec": body})
}
