package ci

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/spec"
)

// testProfile is the profile of the services that are tests.
const testProfile = "test"

// load reads the stack file as an instance that nobody else has, and tells the
// tests from the environment.
func (c *run) load(ctx context.Context, names []string) error {
	if err := c.flags.check(); err != nil {
		return cli.Coded{Err: err, Code: ExitBadFile}
	}
	opts := c.Options(names)
	if !slices.Contains(opts.Profiles, testProfile) {
		opts.Profiles = append(slices.Clone(opts.Profiles), testProfile)
	}
	c.instance = "ci-" + strings.ToLower(rand.Text()[:6])
	if c.Instance != "" {
		var err error
		if c.instance, err = c.InstanceOf(); err != nil {
			return cli.Coded{Err: err, Code: ExitBadFile}
		}
	}
	opts.Instance = c.instance
	project, err := c.LoadNamed(ctx, opts)
	var quiet cli.Exit
	switch {
	case errors.As(err, &quiet):
		return cli.Exit{Code: ExitBadFile}
	case err != nil:
		return cli.Coded{Err: err, Code: ExitBadFile}
	}
	c.Output.HideSecrets()
	if c.tests, err = testServices(project, names); err != nil {
		return cli.Coded{Err: err, Code: ExitBadFile}
	}
	if c.project, err = withoutOtherTests(project, c.tests); err != nil {
		return cli.Coded{Err: err, Code: ExitBadFile}
	}
	if err = c.CheckBuilds(c.project, cli.Builders(c.project, c.project)); errors.As(err, &quiet) {
		return cli.Exit{Code: ExitBadFile}
	}
	return err
}

// testServices are the services that run as tests, in the order in which they
// run: those named, else those of profile test. One of the profile that
// another waits for to be healthy belongs to the environment.
func testServices(p *spec.Project, named []string) ([]string, error) {
	tests := map[string]bool{}
	for _, name := range named {
		tests[name] = true
	}
	if len(named) == 0 {
		for name := range profileTests(p) {
			tests[name] = true
		}
	}
	if len(tests) == 0 {
		return nil, errors.New(`the stack has no tests: name a service, or give it "profiles: [test]"`)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		for dep := range p.Services[name].DependsOn {
			if tests[dep] && !tests[name] && !profileTests(p)[name] {
				return nil, fmt.Errorf("%s is a test, but %s of the environment depends on it", dep, name)
			}
		}
	}
	return inOrder(p, tests), nil
}

func profileTests(p *spec.Project) map[string]bool {
	tests := map[string]bool{}
	for name, s := range p.Services {
		if slices.Contains(s.Profiles, testProfile) {
			tests[name] = true
		}
	}
	for _, s := range p.Services {
		for dep, how := range s.DependsOn {
			if how.Condition == spec.ServiceHealthy {
				delete(tests, dep)
			}
		}
	}
	return tests
}

// inOrder sorts services so that each comes after what it depends on.
func inOrder(p *spec.Project, chosen map[string]bool) []string {
	var order []string
	seen := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		if seen[name] || p.Services[name] == nil {
			return
		}
		seen[name] = true
		for _, dep := range slices.Sorted(maps.Keys(p.Services[name].DependsOn)) {
			visit(dep)
		}
		if chosen[name] {
			order = append(order, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(chosen)) {
		visit(name)
	}
	return order
}

// withoutOtherTests leaves out the tests that are not run and that nothing
// else needs.
func withoutOtherTests(p *spec.Project, tests []string) (*spec.Project, error) {
	keep := slices.Clone(tests)
	others := profileTests(p)
	for name := range p.Services {
		if !others[name] {
			keep = append(keep, name)
		}
	}
	return p.Select(keep, false)
}

// environment is the project with no container of a test: their images,
// networks and volumes are made with the rest.
func environment(p *spec.Project, tests []string) *spec.Project {
	out := *p
	out.Services, out.Jobs = maps.Clone(p.Services), nil // a test is disturbed by no schedule
	for _, name := range tests {
		s := *p.Services[name]
		setReplicas(&s, 0)
		out.Services[name] = &s
	}
	return &out
}

func setReplicas(s *spec.Service, n int) {
	s.Scale, s.Deploy = &n, s.Deploy.OfOne()
}

// oneRun is the project with a test as a single run has it: one container
// that nothing restarts, that publishes nothing and has no terminal.
func oneRun(p *spec.Project, name string) *spec.Project {
	out := *p
	out.Services = maps.Clone(p.Services)
	s := *p.Services[name]
	setReplicas(&s, 1)
	s.Restart, s.ContainerName, s.Ports = "", "", nil
	s.Tty, s.StdinOpen = false, false
	out.Services[name] = &s
	return &out
}
