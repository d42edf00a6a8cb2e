package cmd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/terminal"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/stackfile"
)

// runFlags alter the service for one container.
type runFlags struct {
	remove, detach, noDeps, noTerminal, servicePorts bool
	build, interactive                               bool
	name, entrypoint, user, workdir, pull            string
	detachKeys                                       string
	env, publish, volumes, labels                    []string
	capAdd, capDrop                                  []string
	entrypointSet                                    bool
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run SERVICE|JOB [COMMAND [ARG...]]",
		Short: "Run a command in a new container of a service, or a job",
		Example: "  orlop run --rm api go test ./...\n" +
			"  orlop run --rm migrate                  a job; what up has scheduled is not changed\n" +
			"  orlop run --rm -e LOG=debug --no-deps api",
		Args:              cli.AtLeast(1, "a service"),
		ValidArgsFunction: a.completeOneService,
		RunE: func(c *cobra.Command, args []string) error {
			f.entrypointSet = c.Flags().Changed("entrypoint")
			return a.run(c.Context(), args[0], args[1:], f)
		},
	}
	fl := c.Flags()
	a.quietPullFlag(c)
	fl.SetInterspersed(false)
	fl.BoolVar(&f.remove, "rm", false, "remove the container when its command has ended")
	fl.BoolVarP(&f.detach, "detach", "d", false, "run it in the background and print its name")
	fl.StringArrayVarP(&f.env, "env", "e", nil, "`NAME=value` to set")
	fl.StringArrayVarP(&f.publish, "publish", "p", nil, "publish a `port`: 8080:80")
	fl.BoolVarP(&f.servicePorts, "service-ports", "P", false, "publish the service's ports")
	fl.StringVar(&f.entrypoint, "entrypoint", "", "`command` in place of the entrypoint")
	fl.BoolVar(&f.noDeps, "no-deps", false, "leave out what the service depends on")
	fl.StringVar(&f.name, "name", "", "`name` of the container")
	fl.StringVarP(&f.user, "user", "u", "", "`user` to run as")
	fl.StringVarP(&f.workdir, "workdir", "w", "", "`directory` to run in")
	fl.StringArrayVarP(&f.volumes, "volume", "v", nil, "mount a `volume`: ./data:/data")
	fl.StringArrayVarP(&f.labels, "label", "l", nil, "`NAME=value` to label it with")
	fl.StringArrayVar(&f.capAdd, "cap-add", nil, "`capability` to add")
	fl.StringArrayVar(&f.capDrop, "cap-drop", nil, "`capability` to drop")
	allowFlag(fl, &a.settings.AllowRemotes)
	noTerminalFlag(c, &f.noTerminal)
	detachFlag(c, &f.detachKeys)
	fl.BoolVarP(&f.interactive, "interactive", "i", true, "connect standard input; of a detached container, keep it open")
	fl.BoolVar(&f.build, "build", false, "build the image first")
	fl.StringVar(&f.pull, "pull", "", "pull the image: always, missing or never")
	hide(c, "interactive")
	return c
}

func (a *app) run(ctx context.Context, service string, command []string, f runFlags) error {
	opts := a.Options([]string{service})
	opts.Only, opts.NoDeps, opts.Jobs = true, f.noDeps, true
	project, err := a.LoadNamed(ctx, opts)
	if err != nil {
		return err
	}
	tty := !f.noTerminal && !f.detach && terminal.IsOn(a.Invocation)
	if err := a.alter(project, service, command, f, tty, f.interactive); err != nil {
		return err
	}
	prepare, cancel := a.Interruptible(ctx)
	defer cancel()
	client, err := a.Connect(prepare)
	if err != nil {
		return err
	}
	defer client.Close()
	made, err := a.create(prepare, client, project, service, f)
	if err != nil {
		return err
	}
	if f.detach {
		fmt.Fprintln(a.Stdout, made.Name)
		return nil
	}
	cancel() // from here on interrupts belong to the process
	ctx, end := context.WithCancel(ctx)
	defer end()
	stream, err := client.Attach(ctx)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	return terminal.Run(ctx, a.Invocation, stream, &api.ProcessStart{Project: project.Name, Container: made.Id, Service: service, Terminal: tty, Stdin: f.interactive}, f.detachKeys)
}

// create prepares what the container needs (its image, networks and volumes,
// and the services that it depends on, until their conditions hold), and makes
// it.
func (a *app) create(ctx context.Context, client *api.Client, project *spec.Project, service string, f runFlags) (*api.CreateReply, error) {
	req, err := a.Request(ctx, client, cli.Application{
		Project: project, Timeout: -1,
		Options: planner.Options{Services: []string{service}, NoDeps: f.noDeps, Prepare: service, Build: f.build, Pull: f.pull},
	})
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
	if a.Progress == "auto" && !display.IsTerminal(a.Stderr) {
		how.Mode = "quiet" // the output of the command is what counts
	}
	if _, err = a.Show(ctx, stream, how); err != nil {
		return nil, err
	}
	made, err := cli.CreateOneOff(ctx, client, &api.CreateRequest{Apply: req.Message, Service: service, Name: f.name, Remove: f.remove, Detach: f.detach}, a.SayNotice)
	a.SayWarnings(made.GetWarnings())
	return made, err
}

// alter makes the service in the project what the flags ask for.
func (a *app) alter(project *spec.Project, name string, command []string, f runFlags, tty, stdin bool) error {
	s := *project.Services[name]
	s.Restart, s.ContainerName, s.Tty, s.StdinOpen = "", "", tty, stdin
	one := 1
	s.Scale, s.Deploy = &one, s.Deploy.OfOne()
	if len(command) > 0 {
		s.Command = command
	}
	if f.entrypointSet {
		s.Entrypoint = strings.Fields(f.entrypoint)
		if len(s.Entrypoint) == 0 {
			s.Entrypoint = spec.Command{}
		}
		if len(command) == 0 {
			s.Command = spec.Command{}
		}
	}
	s.User, s.WorkingDir = cmp.Or(f.user, s.User), cmp.Or(f.workdir, s.WorkingDir)
	s.Environment = maps.Clone(s.Environment)
	if s.Environment == nil {
		s.Environment = map[string]*string{}
	}
	for _, v := range cli.FillEnvironment(f.env, project.Variables) {
		key, value, _ := cutAssignment(v)
		s.Environment[key] = &value
	}
	s.Labels = maps.Clone(s.Labels)
	for _, l := range f.labels {
		if s.Labels == nil {
			s.Labels = map[string]string{}
		}
		key, value, _ := cutAssignment(l)
		s.Labels[key] = value
	}
	s.CapAdd, s.CapDrop = slices.Concat(s.CapAdd, f.capAdd), slices.Concat(s.CapDrop, f.capDrop)
	if !f.servicePorts {
		s.Ports = nil
	}
	if err := a.addShortForms(project, &s, f); err != nil {
		return err
	}
	project.Services[name] = &s
	return nil
}

// addShortForms adds --publish and --volume to the service.
func (a *app) addShortForms(project *spec.Project, s *spec.Service, f runFlags) error {
	if len(f.publish)+len(f.volumes) == 0 {
		return nil
	}
	short, err := a.readShortForms(project, f.publish, f.volumes)
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
func (a *app) readShortForms(project *spec.Project, ports, volumes []string) (*spec.Service, error) {
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
