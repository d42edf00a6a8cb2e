package up

import (
	"testing"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

func TestWhatEndsAnUp(t *testing.T) {
	p := &spec.Project{Services: map[string]*spec.Service{
		"migrate": {}, "job": {}, "tests": {},
		"web": {DependsOn: map[string]spec.Dependency{"migrate": {Condition: spec.ServiceCompleted}, "job": {Condition: spec.ServiceStarted}}},
	}}
	type end struct {
		service string
		code    int
	}
	for name, test := range map[string]struct {
		e    Ending
		ends []end
		stop int // index of the end that stops the rest, or -1
		code int
	}{
		"on Exit, an awaited one-shot":         {Ending{OnExit: true}, []end{{"migrate", 0}}, -1, 0},
		"on Exit, a failed one-shot":           {Ending{OnExit: true}, []end{{"migrate", 3}}, 0, 3},
		"on Exit, a job that nobody waits for": {Ending{OnExit: true}, []end{{"migrate", 0}, {"job", 0}}, 1, 0},
		"the first decides":                    {Ending{OnExit: true}, []end{{"web", 5}, {"job", 137}}, 0, 5},
		"on failure, a success":                {Ending{OnFailure: true}, []end{{"job", 0}, {"web", 4}}, 1, 4},
		"code from the tests":                  {Ending{OnExit: true, From: "tests"}, []end{{"migrate", 0}, {"tests", 7}, {"web", 137}}, 1, 7},
		"code from the tests, that passed":     {Ending{OnExit: true, From: "tests"}, []end{{"tests", 0}, {"tests", 137}}, 0, 0},
		"code from one that was stopped":       {Ending{OnExit: true, From: "tests"}, []end{{"web", 1}, {"tests", 143}}, 0, 143},
		"code from an awaited one-shot":        {Ending{OnExit: true, From: "migrate"}, []end{{"migrate", 0}}, 0, 0},
		"nothing is asked for":                 {Ending{}, []end{{"web", 1}}, -1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			stopped := -1
			for i, end := range test.ends {
				if test.e.exited(p, &planner.Container{Service: end.service, ExitCode: end.code}) {
					stopped = i
				}
			}
			code := 0
			if err := test.e.result(); err != nil {
				code = err.(cli.Exit).Code
			}
			if stopped != test.stop || code != test.code {
				t.Errorf("stops at %d with code %d, want %d and %d", stopped, code, test.stop, test.code)
			}
		})
	}
}
