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
		ch := diffOf("web", with("core"), with("shop"), "", spec.Places{})
		if len(ch.replace)+len(ch.update) != 1 || len(ch.replace) > 0 != c.replace {
			t.Errorf("%s: %v, %v", name, ch.replace, ch.update)
		}
	}
}

// TestLoggingWithoutEffectReplacesNothing holds which options don't count.
func TestLoggingWithoutEffectReplacesNothing(t *testing.T) {
	options := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	for name, c := range map[string]struct {
		old, want *spec.Logging
		replace   bool
	}{
		"a mode":              {nil, &spec.Logging{Options: options("mode", "non-blocking", "max-buffer-size", "4m")}, false},
		"local":               {nil, &spec.Logging{Driver: "local"}, false},
		"local with a mode":   {&spec.Logging{Driver: "json-file"}, &spec.Logging{Driver: "local", Options: options("mode", "blocking")}, false},
		"a buffer":            {&spec.Logging{Driver: "fluentd"}, &spec.Logging{Driver: "fluentd", Options: options("fluentd-buffer-limit", "8m")}, false},
		"a size":              {nil, &spec.Logging{Options: options("max-size", "1m")}, true},
		"a size of local":     {&spec.Logging{Driver: "json-file", Options: options("max-size", "1m")}, &spec.Logging{Driver: "local", Options: options("max-size", "1m")}, true},
		"a number of files":   {&spec.Logging{Driver: "json-file", Options: options("max-file", "3")}, &spec.Logging{Driver: "local", Options: options("max-file", "3")}, false},
		"none":                {nil, &spec.Logging{Driver: "none"}, true},
		"a receiver":          {nil, &spec.Logging{Driver: "syslog"}, true},
		"one option of three": {&spec.Logging{Driver: "fluentd"}, &spec.Logging{Driver: "fluentd", Options: options("mode", "blocking", "tag", "x")}, true},
	} {
		ch := diffOf("web", &Applied{Service: &spec.Service{Logging: c.old}}, &Applied{Service: &spec.Service{Logging: c.want}}, "", spec.Places{})
		if len(ch.replace) > 0 != c.replace || len(ch.update) > 0 {
			t.Errorf("%s: %v, %v", name, ch.replace, ch.update)
		}
	}
}
