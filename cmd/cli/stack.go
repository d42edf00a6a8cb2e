package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orlop/orlop/cmd/remote"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/stackfile"
	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/userfile"
)

// LonePrefix begins the names of the projects of containers that are of an image alone, one each. No stack file can have such a name:
// nothing that is done to a stack is done to them.
const LonePrefix = spec.LonePrefix

// Options are those of a load, from the global flags and the environment. It
// fetches nothing.
func (s *Settings) Options(services []string) stackfile.Options {
	return stackfile.Options{
		Files: s.Files, Dir: s.Dir, ProjectDirectory: s.Directory, Name: s.Name, Compatibility: s.Compatibility, Profiles: s.Profiles,
		EnvFiles: s.EnvFiles, Environ: s.Env, Services: services, AllowUnset: s.AllowUnset, AllResources: s.AllResources, Strict: s.Strict,
		Stdin: s.Stdin, Given: s.Given, Remotes: remote.New(s.remoteStacks()),
	}
}

// Load reads the stack file with the contents of secrets, as far as the named
// services need them, and shows every complaint. They must exist.
func (inv *Invocation) Load(ctx context.Context, services []string, noDeps bool) (*spec.Project, error) {
	opts := inv.Options(services)
	opts.Only, opts.NoDeps = true, noDeps
	return inv.LoadNamed(ctx, opts)
}

// LoadNamed loads a stack file that must have the services asked for.
func (inv *Invocation) LoadNamed(ctx context.Context, opts stackfile.Options) (*spec.Project, error) {
	project, err := inv.LoadWith(ctx, opts)
	if err != nil {
		return nil, err
	}
	project.SetProvidedAside()
	if _, err := project.Select(opts.Services, true); err != nil {
		return nil, err
	}
	return project, nil
}

// LoadWith loads a stack file, with the remote stacks that it names, shows every
// complaint, and hides its secrets from here on.
func (inv *Invocation) LoadWith(ctx context.Context, opts stackfile.Options) (*spec.Project, error) {
	stacks := inv.fetchedStacks()
	opts.Remotes = stacks
	project, err := read(ctx, inv, opts, stackfile.Load)
	if err != nil {
		return nil, err
	}
	inv.keepLock(stacks, project)
	for _, payload := range project.Payloads {
		if payload.Secret {
			inv.Mask.Add(payload.Content)
		}
	}
	return project, nil
}

// LoadModel reads the stack file without making a project of it, with the remote stacks
// that it names, and shows every complaint.
func (inv *Invocation) LoadModel(ctx context.Context, opts stackfile.Options) (*tree.Node, error) {
	opts.Remotes = inv.fetchedStacks()
	return read(ctx, inv, opts, stackfile.Model)
}

// read reads a stack file and shows what there is to complain of.
func read[T any](ctx context.Context, inv *Invocation, opts stackfile.Options, how func(context.Context, stackfile.Options) (T, spec.Diagnostics, error)) (out T, err error) {
	var none T
	if opts.Instance == "" {
		if opts.Instance, err = inv.InstanceOf(); err != nil {
			return none, err
		}
	}
	var diagnostics spec.Diagnostics
	err = inv.Interruptibly(ctx, func(ctx context.Context) (err error) {
		out, diagnostics, err = how(ctx, opts)
		return err
	})
	if mistakes, is := errors.AsType[*spec.Mistakes](err); is {
		return none, inv.Complain(mistakes.Diagnostics)
	}
	if err != nil {
		return none, err
	}
	inv.warn(diagnostics.Warnings(), allPlaces)
	inv.note(diagnostics.Notes())
	return out, nil
}

// Complain shows the mistakes of a stack file.
func (inv *Invocation) Complain(mistakes spec.Diagnostics) error {
	inv.warn(mistakes.Warnings(), allPlaces)
	_ = mistakes.Errors().Render(inv.Stderr, inv.ErrStyle().Color)
	inv.Workflow().Diagnostics(mistakes.Errors())
	return Exit{ExitFailure}
}

// Stack is what a verb about what runs knows: the project is nil where its
// name is all that can be told.
type Stack struct {
	Name    string
	Project *spec.Project
}

// Identify finds the project's name. What runs can be seen and stopped without
// a faultless Stack file: a mistake in it is a warning here, and with -p or
// COMPOSE_PROJECT_NAME there need be none.
func (inv *Invocation) Identify(ctx context.Context, services []string) (Stack, error) {
	opts := inv.Options(services)
	opts.SkipPayloads = true
	var err error
	if opts.Instance, err = inv.InstanceOf(); err != nil {
		return Stack{}, err
	}
	project, _, err := stackfile.Load(ctx, opts)
	var mistakes *spec.Mistakes
	switch {
	case err == nil:
		project.SetProvidedAside()
		s := Stack{Name: project.Name, Project: project}
		return s, inv.mustKnow(ctx, s, services)
	case errors.As(err, &mistakes) && mistakes.Project != "":
		inv.sayMistakes(mistakes)
		return Stack{Name: mistakes.Project}, nil
	case errors.As(err, &mistakes):
		err := inv.Complain(mistakes.Diagnostics)
		if inv.Name == "" {
			fmt.Fprintln(inv.Stderr, inv.ErrStyle().Yellow(" ! cannot tell the project's name: pass it with -p NAME"))
		}
		return Stack{}, err
	}
	var none *userfile.NoStack
	name := cmp.Or(inv.Name, inv.Variables(ctx)["COMPOSE_PROJECT_NAME"])
	if name == "" || !errors.As(err, &none) && len(inv.Files) > 0 {
		return Stack{}, err
	}
	name, err = spec.InstanceProject(name, opts.Instance)
	return Stack{Name: name}, err
}

// mustKnow checks that the services are in the stack file, or that the engine
// has a container of them.
func (inv *Invocation) mustKnow(ctx context.Context, s Stack, services []string) error {
	_, unknown := s.Project.Select(services, true)
	if unknown == nil {
		return nil
	}
	client, err := inv.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	there, err := Observe(ctx, client, Stack{Name: s.Name})
	if err != nil {
		return err
	}
	for _, name := range services {
		_, known := s.Project.Services[name]
		_, disabled := s.Project.Disabled[name]
		_, provided := s.Project.Provided[name]
		if !known && !disabled && !provided && !slices.ContainsFunc(there, func(c planner.Container) bool { return c.Service == name }) {
			return unknown
		}
	}
	return nil
}

// sayMistakes warns of a stack file that is left aside, and says which project
// the verb is about all the same.
func (inv *Invocation) sayMistakes(m *spec.Mistakes) {
	if inv.IsSilent() {
		return
	}
	errs := m.Diagnostics.Errors()
	text := fmt.Sprintf(" ! %s", errs[0])
	if len(errs) > 1 {
		text += fmt.Sprintf(", and %s more", spec.Plural(len(errs)-1, "mistake"))
	}
	fmt.Fprintln(inv.Stderr, inv.ErrStyle().Yellow(text+"; the stack file is ignored, the project is "+m.Project))
}

// Document is the project as the engine reads it; empty where there is none.
func (s Stack) Document() ([]byte, error) {
	if s.Project == nil {
		return nil, nil
	}
	return Marshal(asDocument(s.Project))
}

// Disabled are the services of profiles that are not active.
func (s Stack) Disabled() []string {
	if s.Project == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.Project.Disabled))
}

// Variables are those that the stack file sees: the caller's environment over
// the environment files.
func (s *Settings) Variables(ctx context.Context) map[string]string {
	return stackfile.Variables(ctx, s.Options(nil))
}

// FillEnvironment gives NAME without a value the one of the variables that the
// stack file sees, as Compose does, and drops it where there is none.
func FillEnvironment(assignments []string, variables map[string]string) []string {
	var out []string
	for _, v := range assignments {
		if name, _, set := strings.Cut(v, "="); !set {
			value, known := variables[name]
			if !known {
				continue
			}
			v = name + "=" + value
		}
		out = append(out, v)
	}
	return out
}
