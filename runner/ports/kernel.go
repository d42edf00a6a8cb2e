package ports

import (
	"fmt"
	"maps"
	"slices"

	"github.com/orlop/orlop/keeper/sctp"
	"github.com/orlop/orlop/spec"
)

// Check is an error, at their places, if services that are to run publish ports of a protocol
// that this machine's kernel has not.
func Check(p *spec.Project) error { return check(p, sctp.Check) }

func check(p *spec.Project, missing func() error) error {
	var all spec.Diagnostics
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s := p.Services[name]
		for i, port := range s.Ports {
			if port.Protocol != spec.ProtocolSCTP || s.NetworkMode == "host" || s.NetworkMode == "none" || s.Replicas() == 0 {
				continue
			}
			err := missing()
			if err == nil {
				return nil
			}
			path := fmt.Sprintf("services.%s.ports[%d]", name, i)
			all = append(all, spec.Diagnostic{Severity: spec.Error, Path: path, Place: p.Places.Nearest(path), Message: "it can't be published: " + err.Error()})
		}
	}
	if len(all) == 0 {
		return nil
	}
	return &spec.Mistakes{Diagnostics: all, Project: p.Name}
}
