package up

import (
	"testing"

	"github.com/orlop/orlop/spec"
)

func TestWhoseLogsAreShown(t *testing.T) {
	no := false
	p := &spec.Project{
		Services: map[string]*spec.Service{"web": {}, "db": {}, "hushed": {Attach: &no}}, Disabled: map[string]*spec.Service{"off": {}},
	}
	for name, c := range map[string]struct {
		filter LogFilter
		shown  string
		wrong  string
	}{
		"as the file says":                    {LogFilter{}, "web db gone", ""},
		"some":                                {LogFilter{Only: []string{"hushed", "db"}}, "db hushed", ""},
		"but for some":                        {LogFilter{Not: []string{"db", "off"}}, "web gone", ""},
		"some, but for some":                  {LogFilter{Only: []string{"web", "db"}, Not: []string{"db"}}, "web", ""},
		"one that is not brought up":          {LogFilter{Only: []string{"off"}}, "off", `--attach is "off": no such service is brought up`},
		"none of the file are not to be seen": {LogFilter{Not: []string{"nobody"}}, "web db gone", `--no-attach is "nobody": the stack file has no such service`},
	} {
		shown := ""
		for _, service := range []string{"web", "db", "hushed", "off", "gone"} {
			if service != "off" && c.filter.shows(p, service) || service == "off" && len(c.filter.Only) > 0 && c.filter.shows(p, service) {
				shown += " " + service
			}
		}
		if shown != " "+c.shown {
			t.Errorf("%s: shown are%s", name, shown)
		}
		err := c.filter.check(p, []string{"web", "db", "hushed"})
		if got := text(err); got != c.wrong {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
