// Package oneoff makes containers outside of the replicas of services: those of "run", and those of an image alone.
package oneoff

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/terminal"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/stackfile"
	"github.com/orlop/orlop/spec/variables"
)

// Options alter the service for one container.
type Options struct {
	Remove, Detach, NoDeps, NoTerminal, ServicePorts bool
	Build, Interactive, UseAliases, RemoveOrphans    bool
	Name, Entrypoint, User, WorkingDir, Pull         string
	DetachKeys                                       string
	Environment, EnvFiles, Publish, Volumes, Labels  []string
	CapAdd, CapDrop                                  []string
	EntrypointSet                                    bool
	made                                             func(*api.CreateReply) error // called with what was made, to tell of it; nil prints its name
}

// maker makes containers for an invocation.
type maker struct{ *cli.Invocation }

// Run makes a container of a service of the stack, starts it, and connects to its process.
func Run(ctx context.Context, inv *cli.Invocation, service string, command []string, f Options) error {
	a := &maker{inv}
	opts := a.Options([]string{service})
	opts.Only, opts.NoDeps, opts.Jobs = true, f.NoDeps, true
	project, err := a.LoadNamed(ctx, opts)
	if err != nil {
		return err
	}
	tty := !f.NoTerminal && !f.Detach && terminal.IsOn(a.Invocation)
	if err := a.alter(project, service, command, f, tty, f.Interactive); err != nil {
		return err
	}
	return a.start(ctx, project, service, f, tty)
}

// start makes the container of a project's service, starts it, and connects to its process.
func (a *maker) start(ctx context.Context, project *spec.Project, service string, f Options, tty bool) error {
	prepare, cancel := a.Interruptible(ctx)
	defer cancel()
	client, err := a.Connect(prepare)
	if err != nil {
		return err
	}
	defer client.Close()
	made, err := a.create(prepare, client, project, service, f)
	if err != nil || a.DryRun {
		return err
	}
	if f.made != nil {
		if err := f.made(made); err != nil {
			return err
		}
	} else if f.Detach {
		fmt.Fprintln(a.Stdout, made.Name)
	}
	if f.Detach {
		return nil
	}
	cancel() // from here on interrupts belong to the process
	ctx, end := context.WithCancel(ctx)
	defer end()
	stream, err := client.Attach(ctx)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	return terminal.Run(ctx, a.Invocation, stream, &api.ProcessStart{Project: project.Name, Container: made.Id, Service: service, Terminal: tty, Stdin: f.Interactive}, terminal.Options{DetachKeys: f.DetachKeys})
}

// create prepares what the container needs (its image, networks and volumes,
// and the services that it depends on, until their conditions hold), and makes
// it.
func (a *maker) create(ctx context.Context, client *api.Client, project *spec.Project, service string, f Options) (*api.CreateReply, error) {
	needed := cli.Application{
		Project: project, Timeout: -1,
		Options: planner.Options{Services: []string{service}, NoDeps: f.NoDeps, Prepare: service, Build: f.Build, Pull: f.Pull, RemoveOrphans: f.RemoveOrphans},
	}
	if a.DryRun {
		return nil, a.foreseeRun(ctx, client, needed, service, f.Name)
	}
	req, err := a.Request(ctx, client, needed)
	if err != nil {
		return nil, err
	}
	defer req.Close()
	stream, err := client.Apply(ctx, req.Message)
	if err != nil {
		return nil, cli.Cause(ctx, err)
	}
	how := cli.Progress{
		Words:   display.Words{Done: "is ready for " + service, Failed: "is not ready for " + service, Silent: true},
		Project: project, Lend: req.Lend,
	}
	if strings.HasPrefix(project.Name, cli.LonePrefix) {
		how.Words = display.Words{Of: []string{service}, Done: "is made", Failed: "is not made", Silent: true}
	}
	if a.Progress == "auto" && !display.IsTerminal(a.Stderr) {
		how.Mode = "quiet" // the output of the command is what counts
	}
	outcome, err := a.Show(ctx, stream, how)
	if err != nil {
		return nil, err
	}
	a.sayOrphans(outcome.Plan)
	made, err := cli.CreateOneOff(ctx, client, &api.CreateRequest{Apply: req.Message, Service: service, Name: f.Name, Remove: f.Remove, Detach: f.Detach, UseAliases: f.UseAliases}, a.SayNotice)
	a.SayWarnings(made.GetWarnings())
	return made, err
}

// sayOrphans names the containers that nothing removes by itself, so that they do not gather unseen.
func (a *maker) sayOrphans(p *planner.Plan) {
	a.LeaveOrphans(p)
	if p == nil || a.IsSilent() {
		return
	}
	for _, left := range []struct {
		what  string
		names []string
	}{{"no longer in the stack file", p.Orphans}, {"left by earlier runs", p.EndedRuns}} {
		if names := left.names; len(names) > 0 {
			const most = 3
			more := ""
			if len(names) > most {
				more = fmt.Sprintf(" and %d more", len(names)-most)
			}
			fmt.Fprintf(a.Stderr, " %s orphans, %s: %s%s   remove with --remove-orphans\n", a.ErrStyle().Yellow("!"), left.what, strings.Join(names[:min(len(names), most)], ", "), more)
		}
	}
}

// foreseeRun prints what a run would do: what its container needs, and that one.
func (a *maker) foreseeRun(ctx context.Context, client *api.Client, needed cli.Application, service, name string) error {
	plan, err := a.Plan(ctx, client, needed)
	if err != nil {
		return err
	}
	run := &planner.Step{
		ID: "run " + service, Action: planner.Create, Resource: cmp.Or(name, "a run of "+service), Service: service,
		Reasons: []planner.Reason{{Text: strings.Join(needed.Project.Services[service].Command, " ")}},
	}
	plan.Steps = append(plan.Steps, run)
	return a.Foretell(plan, display.Words{})
}

// alter makes the service in the project what the flags ask for.
func (a *maker) alter(project *spec.Project, name string, command []string, f Options, tty, stdin bool) error {
	s := *project.Services[name]
	s.Restart, s.ContainerName, s.Tty, s.StdinOpen = "", "", tty, stdin
	one := 1
	s.Scale, s.Deploy = &one, s.Deploy.OfOne()
	if len(command) > 0 {
		s.Command = command
	}
	if f.EntrypointSet {
		s.Entrypoint = strings.Fields(f.Entrypoint)
		if len(s.Entrypoint) == 0 {
			s.Entrypoint = spec.Command{}
		}
		if len(command) == 0 {
			s.Command = spec.Command{}
		}
	}
	s.User, s.WorkingDir = cmp.Or(f.User, s.User), cmp.Or(f.WorkingDir, s.WorkingDir)
	s.Environment = maps.Clone(s.Environment)
	if s.Environment == nil {
		s.Environment = map[string]*string{}
	}
	if err := a.setVariables(s.Environment, f, project.Variables); err != nil {
		return err
	}
	s.Labels = maps.Clone(s.Labels)
	for _, l := range f.Labels {
		if s.Labels == nil {
			s.Labels = map[string]string{}
		}
		key, value, _ := cutAssignment(l)
		s.Labels[key] = value
	}
	s.CapAdd, s.CapDrop = slices.Concat(s.CapAdd, f.CapAdd), slices.Concat(s.CapDrop, f.CapDrop)
	if !f.ServicePorts {
		s.Ports = nil
	}
	if err := a.addShortForms(project, &s, f); err != nil {
		return err
	}
	project.Services[name] = &s
	return nil
}

// setVariables sets those of --env, and those of --env-from-file that they leave.
func (a *maker) setVariables(into map[string]*string, f Options, known map[string]string) error {
	given := map[string]string{}
	for _, v := range cli.FillEnvironment(f.Environment, known) {
		key, value, _ := cutAssignment(v)
		given[key] = value
	}
	lookup := func(name string) (string, bool) {
		value, ok := given[name]
		return value, ok
	}
	var wrong []error
	for _, name := range f.EnvFiles {
		data, err := os.ReadFile(filepath.Join(a.WorkingDir(), name))
		if filepath.IsAbs(name) {
			data, err = os.ReadFile(name)
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("cannot read --env-from-file %s: %w", name, errors.Unwrap(err)))
			continue
		}
		values := map[string]string{}
		for _, problem := range variables.ReadEnv(string(data), false, values, lookup).Problems {
			wrong = append(wrong, fmt.Errorf("--env-from-file %s:%d:%d: %s", name, problem.Line, problem.Column, problem.Message))
		}
		for key, value := range values {
			if _, ok := given[key]; !ok {
				given[key] = value
			}
		}
	}
	for key, value := range given {
		into[key] = &value
	}
	return errors.Join(wrong...)
}

// addShortForms adds --publish and --volume to the service.
func (a *maker) addShortForms(project *spec.Project, s *spec.Service, f Options) error {
	if len(f.Publish)+len(f.Volumes) == 0 {
		return nil
	}
	short, err := a.readShortForms(project, f.Publish, f.Volumes)
	if err != nil {
		return err
	}
	s.Ports = slices.Concat(s.Ports, short.Ports)
	for _, m := range short.Volumes {
		s.Volumes = slices.DeleteFunc(slices.Clone(s.Volumes), func(old spec.Mount) bool { return old.Target == m.Target })
		s.Volumes = append(s.Volumes, m)
	}
	return nil
}

// readShortForms reads ports and volumes as a stack file's are read: by
// loading one that holds nothing else.
func (a *maker) readShortForms(project *spec.Project, ports, volumes []string) (*spec.Service, error) {
	declared := map[string]any{}
	for name := range project.Volumes {
		declared[name] = nil
	}
	service := map[string]any{"image": "scratch", "ports": literal(ports), "volumes": literal(volumes)}
	doc, err := cli.Marshal(map[string]any{"services": map[string]any{"run": service}, "volumes": declared})
	if err != nil {
		return nil, err
	}
	read, _, err := stackfile.Load(context.Background(), stackfile.Options{
		Files: []string{"-"}, Stdin: bytes.NewReader(doc), Dir: a.Dir, ProjectDirectory: cmp.Or(a.Dir, "."), Name: "run",
		Environ: map[string]string{"COMPOSE_ENV_FILES": os.DevNull},
	})
	var mistakes *spec.Mistakes
	if errors.As(err, &mistakes) {
		d := mistakes.Diagnostics.Errors()[0]
		text := d.Message
		if d.Hint != "" {
			text += " (" + d.Hint + ")"
		}
		return nil, errors.New(text)
	}
	if err != nil {
		return nil, err
	}
	return read.Services["run"], nil
}

// literal keeps "$" from being read as the start of a variable.
func literal(words []string) []string {
	out := []string{}
	for _, w := range words {
		out = append(out, strings.ReplaceAll(w, "$", "$$"))
	}
	return out
}

// cutAssignment splits NAME=value.
func cutAssignment(text string) (name, value string, set bool) { return strings.Cut(text, "=") }
