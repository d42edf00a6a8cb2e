package planner

import (
	"slices"
	"testing"

	"github.com/orlop/orlop/spec"
)

// A start waits for what an up waits for: the conditions of its depends_on, of what runs already, too.
func TestAStartWaitsForWhatDoesNotMeetItsConditions(t *testing.T) {
	for name, c := range map[string]struct {
		db        Container
		condition string
		optional  bool
		web       State
		waits     bool
	}{
		"healthy":                     {db: Container{State: Running, Health: Healthy}, condition: spec.ServiceHealthy},
		"not yet":                     {db: Container{State: Running, Health: Starting}, condition: spec.ServiceHealthy, waits: true},
		"unhealthy":                   {db: Container{State: Running, Health: Unhealthy}, condition: spec.ServiceHealthy, waits: true},
		"comes back":                  {db: Container{State: Restarting}, condition: spec.ServiceHealthy, waits: true},
		"a job that runs":             {db: Container{State: Running}, condition: spec.ServiceCompleted, waits: true},
		"started is enough":           {db: Container{State: Running, Health: Unhealthy}, condition: spec.ServiceStarted},
		"it runs all the same":        {db: Container{State: Running, Health: Unhealthy}, condition: spec.ServiceHealthy, web: Running},
		"which it can go on without":  {db: Container{State: Running, Health: Unhealthy}, condition: spec.ServiceHealthy, optional: true, waits: true},
		"a run of it is none of them": {db: Container{State: Running, Health: Unhealthy, OneOff: true}, condition: spec.ServiceHealthy},
	} {
		of := func(service *spec.Service) *Applied { return &Applied{Service: service} }
		c.db.ID, c.db.Service, c.db.Number, c.db.Applied = "db", "db", 1, of(&spec.Service{Name: "db"})
		on := map[string]spec.Dependency{"db": {Condition: c.condition, Required: !c.optional}}
		web := Container{ID: "web", Service: "web", Number: 1, State: Created, Applied: of(&spec.Service{Name: "web", DependsOn: on})}
		if c.web != "" {
			web.State = c.web
		}
		api := Container{ID: "api", Service: "api", Number: 1, State: Created, Applied: of(&spec.Service{Name: "api", DependsOn: map[string]spec.Dependency{"web": {Condition: spec.ServiceStarted, Required: true}}})}
		plan := Lifecycle("p", &Observed{Containers: []Container{c.db, web, api}}, Start, nil, "")
		var start *Step
		for _, s := range plan.Steps {
			if s.Action == Start && (s.Service == "web" || c.web != "" && s.Service == "api") {
				start = s
			}
		}
		if start == nil {
			t.Errorf("%s: nothing is started", name)
			continue
		}
		before := start.Needs
		if c.optional {
			before = start.After
		}
		waits := slices.ContainsFunc(before, func(id string) bool { return plan.Step(id) != nil && plan.Step(id).Action == Await })
		if waits != c.waits {
			t.Errorf("%s: it waits: %t (needs %q, after %q)", name, waits, start.Needs, start.After)
		}
	}
}
