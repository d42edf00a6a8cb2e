package deploy

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/deploy/fields"
	"github.com/orlop/orlop/deploy/manifest"
	"github.com/orlop/orlop/deploy/rollout"
)

// Status is how a service is on the cluster.
type Status struct {
	Service  string        `json:"service"`
	Kind     string        `json:"kind"` // of the workload; "" if it is not there
	Name     string        `json:"name"`
	Image    string        `json:"image"`
	Restarts int           `json:"restarts"` // of all containers that there are
	State    rollout.State `json:"state"`

	Addresses []string `json:"addresses,omitempty"` // where it is reached from outside
}

// Text is the state in a few words.
func (s *Status) Text() string {
	switch {
	case s.Kind == "":
		return "not there"
	case s.Kind == manifest.CronJob.Kind:
		return "scheduled"
	case s.State.Failure != "":
		return s.State.Failure
	case s.State.Done && s.Kind == manifest.Job.Kind:
		return "completed"
	case s.State.Done && s.State.Wanted == 0:
		return "scaled to none"
	case s.State.Done:
		return "ready"
	}
	return s.State.Text
}

// Statuses tells how services are, by what a mirror has.
func Statuses(m *cluster.Mirror, o *Observed, services []string) []Status {
	set, _ := o.Last().Document.Set(nil)
	var out []Status
	for _, service := range services {
		row := Status{Service: service}
		for _, r := range set.Resources {
			if r.Workload == nil || r.Key != service && !(r.Kind == manifest.OfJob && r.Key == service+"-1") {
				continue
			}
			row.Name, row.Image = r.Workload.Name, r.Image()
			if r.Workload.Kind == manifest.CronJob {
				row.Kind, row.State.Done = manifest.CronJob.Kind, true
				continue
			}
			seen := See(m, r.Workload.Kind, r.Workload.Name)
			row.State = rollout.Look(seen, 0)
			if seen.Workload != nil {
				row.Kind = seen.Workload.GetKind()
			} else {
				row.State.Failure = "it is not there: orlop deploy brings it there"
			}
			for _, pod := range seen.Pods {
				containers, _, _ := unstructured.NestedSlice(pod.Object, "status", "containerStatuses")
				for _, c := range containers {
					if n, ok := fields.Number(c.(map[string]any)["restartCount"]); ok {
						row.Restarts += int(n)
					}
				}
			}
		}
		out = append(out, row)
	}
	return out
}
