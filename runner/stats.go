package runner

import (
	"slices"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/proc"
)

// Sample is what a running container has used until a moment.
type Sample struct {
	proc.Usage
	At          time.Time
	ID          string
	Name        string
	Service     string
	Number      int
	StartedAt   time.Time
	NetReceived int64
	NetSent     int64
	List        []proc.Process // only if asked for
}

// Sample measures the running containers of a project, of the services alone if
// any are named.
func (r *Runner) Sample(project string, services []string, processes bool) []Sample {
	var out []Sample
	for _, c := range r.Containers(project) {
		if c.State != planner.Running && c.State != planner.Stopping || len(services) > 0 && !slices.Contains(services, c.Service) {
			continue
		}
		cgroup := r.cgroupOf(c.ID)
		s := Sample{Usage: proc.Measure(cgroup), At: r.Now(), ID: c.ID, Name: c.Name, Service: c.Service, Number: c.Number, StartedAt: c.StartedAt}
		s.NetReceived, s.NetSent = proc.Traffic(c.PID)
		if processes {
			s.List = proc.Processes(cgroup)
		}
		out = append(out, s)
	}
	return out
}
