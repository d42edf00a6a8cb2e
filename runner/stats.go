package runner

import (
	"slices"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/proc"
)

// Sample measures the running containers of a project, of the services alone if
// any are named.
func (r *Runner) Sample(project string, services []string, processes bool) []proc.Sample {
	var out []proc.Sample
	for _, c := range r.Containers(project) {
		if c.State != planner.Running && c.State != planner.Stopping || len(services) > 0 && !slices.Contains(services, c.Service) {
			continue
		}
		cgroup := r.cgroupOf(c.ID)
		s := proc.Sample{Usage: proc.Measure(cgroup), At: r.Now(), ID: c.ID, Name: c.Name, Service: c.Service, Number: c.Number, StartedAt: c.StartedAt}
		s.NetReceived, s.NetSent = proc.Traffic(c.PID)
		if processes {
			s.List = proc.Processes(cgroup)
		}
		out = append(out, s)
	}
	return out
}
