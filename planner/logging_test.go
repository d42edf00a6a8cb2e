package planner

import (
	"testing"

	"github.com/orlop/orlop/spec"
)

// TestALabelThatGoesAlongWithLinesNeedsAnotherContainer: a log is told the labels once, and a
// secret or config that is a template too.
func TestALabelThatGoesAlongWithLinesNeedsAnotherContainer(t *testing.T) {
	for name, c := range map[string]struct {
		logging   *spec.Logging
		templates []string
		replace   bool
	}{
		"no logging":           {nil, nil, false},
		"files":                {&spec.Logging{Options: map[string]string{"labels": "team"}}, nil, false},
		"another label":        {&spec.Logging{Driver: "syslog", Options: map[string]string{"labels": "tier,env"}}, nil, false},
		"the name":             {&spec.Logging{Driver: "syslog", Options: map[string]string{"tag": "{{.Name}}"}}, nil, false},
		"the label":            {&spec.Logging{Driver: "syslog", Options: map[string]string{"labels": "tier,team"}}, nil, true},
		"labels like it":       {&spec.Logging{Driver: "fluentd", Options: map[string]string{"labels-regex": "^te"}}, nil, true},
		"labels unlike it":     {&spec.Logging{Driver: "fluentd", Options: map[string]string{"labels-regex": "^x"}}, nil, false},
		"a tag":                {&spec.Logging{Driver: "journald", Options: map[string]string{"tag": `{{index .ContainerLabels "team"}}`}}, nil, true},
		"a secret of template": {nil, []string{"secrets.key"}, true},
	} {
		with := func(team string) *Applied {
			return &Applied{Service: &spec.Service{Logging: c.logging, Labels: map[string]string{"team": team}}, Templates: c.templates}
		}
		ch := diffOf("web", with("core"), with("shop"), "", nil)
		if len(ch.replace)+len(ch.update) != 1 || len(ch.replace) > 0 != c.replace {
			t.Errorf("%s: %v, %v", name, ch.replace, ch.update)
		}
	}
}
