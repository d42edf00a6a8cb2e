package oneoff

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/terminal"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/stackfile"
)

// Image is a container of an image alone, as docker run makes it. It is the one service of a project of its own, on a
// network that all such containers share.
type Image struct {
	Options
	Terminal, PublishAll, Privileged, Init, ReadOnly bool
	Network, Hostname, Memory, ShmSize, Platform     string
	IPC, PID, UTS                                    string
	CPUs                                             string
	Tmpfs, AddHosts, DNS, Groups, SecurityOptions    []string

	CreateOnly, NoHealth                                                 bool
	CIDFile, CgroupParent, IP, IP6, MAC, MemorySwap                      string
	HealthCmd, HealthInterval, HealthRetries, HealthStart, HealthTimeout string
	HealthStartInterval                                                  string
	LogDriver, Runtime, StopSignal, Restart, GPUs                        string
	PidsLimit, StopTimeout                                               int
	Devices, Annotations, LogOptions, Mounts, Aliases, Sysctls, Ulimits  []string
	VolumesFrom                                                          []string
	keys                                                                 keys
}

// SharedNetwork is the network of containers of images alone that name none.
const SharedNetwork = "bridge"

// RunImage makes a container of an image, starts it, and connects to its process.
func RunImage(ctx context.Context, inv *cli.Invocation, image string, command []string, o Image) error {
	o.Name = cmp.Or(o.Name, nameFor(image))
	return reword((&maker{inv}).runImage(ctx, image, command, o), o.Name)
}

// pulls are the values of --pull.
func pulls() []string { return []string{"always", "missing", "never"} }

func (a *maker) runImage(ctx context.Context, image string, command []string, o Image) (err error) {
	isMade, isRead := false, false
	defer func() {
		if !o.CreateOnly || !isRead { // of a create that is understood, the engine's errors have no code of their own
			err = withCode(err, isMade)
		}
	}()
	if o.Detach && o.Terminal && o.Remove {
		o.Terminal = false
	}
	if !containerName.MatchString(o.Name) {
		return fmt.Errorf("%q is no name for a container: use letters, digits, and . _ - inside", o.Name)
	}
	if err := a.readEnvironment(&o); err != nil {
		return err
	}
	tty := o.Terminal && !o.Detach && !o.CreateOnly
	switch {
	case o.Pull != "" && !slices.Contains(pulls(), o.Pull):
		return cli.OneOf("--pull", o.Pull, pulls())
	case tty && o.Interactive && !display.IsTerminal(a.Stdin):
		return cli.Coded{Err: fmt.Errorf("%w: leave -t out", terminal.ErrNoTerminal), Code: cli.ExitFailure}
	case o.Remove && o.Restart != "" && o.Restart != "no":
		return errors.New("--rm and --restart cannot be used together: what is removed when it ends is not started again")
	}
	prepare, cancel := a.Interruptible(ctx)
	defer cancel()
	project, err := a.projectOf(prepare, image, command, &o)
	if err != nil {
		return err
	}
	if a.DryRun {
		_, err := fmt.Fprintf(a.Stdout, " + container %s   of image %s\n dry run: nothing was done\n", o.Name, image)
		return err
	}
	isRead = true
	if err := a.makeShared(prepare, project, &o); err != nil {
		return err
	}
	if o.PublishAll {
		if err := a.publishAll(prepare, project, &o); err != nil {
			return err
		}
	}
	cancel()
	o.NoDeps = true
	ids, err := o.idFile(a.WorkingDir())
	if err != nil {
		return err
	}
	o.made = func(made *api.CreateReply) error {
		isMade = true
		if ids != nil {
			if _, err := ids.WriteString(made.Id); err != nil {
				return fmt.Errorf("cannot write --cidfile %s: %w", o.CIDFile, errors.Unwrap(err))
			}
		}
		if o.Detach || o.CreateOnly {
			fmt.Fprintln(a.Stdout, made.Id)
		}
		return nil
	}
	if ids != nil {
		defer func() {
			ids.Close()
			if !isMade {
				os.Remove(ids.Name())
			}
		}()
	}
	if o.CreateOnly {
		return a.createOnly(ctx, project, o)
	}
	return a.start(ctx, project, o.Name, o.Options, tty)
}

// ExitNotRun is the exit code of "container run", as of docker run, and of "container create" for its flags, for what is no doing of the container's: its own 126 and 127 say that
// its program can't be run, or is not there.
const ExitNotRun = 125

// withCode gives an error of "container run" its exit code; once the container is made, a code alone is that of its process.
func withCode(err error, isMade bool) error {
	var of cli.Exit
	var has cli.Coded
	switch isCode := errors.As(err, &of); {
	case err == nil, isCode && isMade, errors.As(err, &has), errors.Is(err, cli.ErrInterrupted):
		return err
	case isCode:
		return cli.Exit{Code: ExitNotRun}
	}
	return cli.Coded{Err: err, Code: ExitNotRun}
}

// createOnly makes the container without starting it.
func (a *maker) createOnly(ctx context.Context, project *spec.Project, o Image) error {
	prepare, cancel := a.Interruptible(ctx)
	defer cancel()
	client, err := a.Connect(prepare)
	if err != nil {
		return err
	}
	defer client.Close()
	made, err := a.create(prepare, client, project, o.Name, o.Options)
	if err != nil {
		return err
	}
	return o.made(made)
}

// idFile makes the file of --cidfile, which must not be there yet.
func (o *Image) idFile(dir string) (*os.File, error) {
	if o.CIDFile == "" {
		return nil, nil
	}
	path := o.CIDFile
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, fmt.Errorf("cannot write --cidfile %s: %w", o.CIDFile, errors.Unwrap(err))
	}
	return f, nil
}

var (
	containerName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)
	notInProject  = regexp.MustCompile(`[^a-z0-9_-]`)
)

// readEnvironment reads --env-file; --env comes before it.
func (a *maker) readEnvironment(o *Image) error {
	read, err := cli.ReadEnvFiles(a.WorkingDir(), o.EnvFiles)
	o.Environment, o.EnvFiles = append(read, o.Environment...), nil
	return err
}

// nameFor is a name that tells what a container is of.
func nameFor(image string) string {
	base, _, _ := strings.Cut(image[strings.LastIndexByte(image, '/')+1:], "@")
	base, _, _ = strings.Cut(base, ":")
	b := make([]byte, 3)
	_, _ = rand.Read(b)
	return strings.Trim(notInProject.ReplaceAllString(strings.ToLower(base), "-"), "-_") + "-" + hex.EncodeToString(b)
}

// projectOf is the project of the container: a stack file that holds what was asked for is read as any other.
func (a *maker) projectOf(ctx context.Context, image string, command []string, o *Image) (*spec.Project, error) {
	s := map[string]any{"image": literal([]string{image})[0], "networks": []string{"default"}}
	set := func(key, value string) {
		if value != "" {
			s[key] = literal([]string{value})[0]
		}
	}
	list := func(key string, values []string) {
		if len(values) > 0 {
			s[key] = literal(values)
		}
	}
	flag := func(key string, on bool) {
		if on {
			s[key] = true
		}
	}
	if len(command) > 0 {
		s["command"] = literal(command)
	}
	if o.EntrypointSet {
		s["entrypoint"] = literal(strings.Fields(o.Entrypoint))
		if len(command) == 0 {
			s["command"] = []string{}
		}
	}
	set("user", o.User)
	set("working_dir", o.WorkingDir)
	set("hostname", o.Hostname)
	set("mem_limit", o.Memory)
	set("cpus", o.CPUs)
	set("shm_size", o.ShmSize)
	set("platform", o.Platform)
	set("ipc", o.IPC)
	set("pid", o.PID)
	set("uts", o.UTS)
	list("ports", o.Publish)
	list("cap_add", o.CapAdd)
	list("cap_drop", o.CapDrop)
	list("tmpfs", o.Tmpfs)
	list("extra_hosts", o.AddHosts)
	list("dns", o.DNS)
	list("group_add", o.Groups)
	list("security_opt", o.SecurityOptions)
	list("labels", o.Labels)
	flag("privileged", o.Privileged)
	flag("init", o.Init)
	flag("read_only", o.ReadOnly)
	flag("tty", o.Terminal)
	flag("stdin_open", o.Interactive)
	networks, volumes := map[string]any{}, map[string]any{}
	switch mode, _, isOf := strings.Cut(o.Network, ":"); {
	case o.Network == "host" || o.Network == "none" || isOf && mode == "container":
		delete(s, "networks")
		s["network_mode"] = o.Network
	default:
		networks["default"] = map[string]any{"name": cmp.Or(o.Network, SharedNetwork), "external": true}
	}
	mounts := literal(o.Volumes)
	for _, m := range o.Volumes {
		if source, _, two := strings.Cut(m, ":"); two && !strings.HasPrefix(source, ".") && !strings.HasPrefix(source, "/") && !strings.HasPrefix(source, "~") {
			volumes[source] = map[string]any{"name": source, "external": true}
		}
	}
	if len(mounts) > 0 {
		s["volumes"] = mounts
	}
	if err := o.describe(s, volumes); err != nil {
		return nil, err
	}
	doc, err := cli.Marshal(map[string]any{"name": "container", "services": map[string]any{o.Name: s}, "networks": networks, "volumes": volumes})
	if err != nil {
		return nil, err
	}
	project, _, err := stackfile.Load(ctx, stackfile.Options{
		Files: []string{"-"}, Stdin: bytes.NewReader(doc), Dir: a.Dir, ProjectDirectory: cmp.Or(a.Dir, "."), Name: "container",
		Environ: map[string]string{"COMPOSE_ENV_FILES": os.DevNull},
	})
	if err != nil {
		return nil, inWords(err, o.Name)
	}
	project.Name = cli.LonePrefix + o.Name
	one := project.Services[o.Name]
	if one.Environment == nil {
		one.Environment = map[string]*string{}
	}
	return project, a.setVariables(one.Environment, o.Options, a.Variables(ctx))
}

// makeShared makes the network that containers of images share, and volumes that are named, unless they are there: they are of no
// project, and stay.
func (a *maker) makeShared(ctx context.Context, project *spec.Project, o *Image) error {
	if o.Network != "" && len(project.Volumes) == 0 {
		return nil
	}
	return a.WithEngine(ctx, func(ctx context.Context, client *api.Client) error {
		for _, v := range project.Volumes {
			if _, err := client.CreateVolume(ctx, &api.VolumeInfo{Name: v.Name}); err != nil {
				return err
			}
		}
		if o.Network != "" {
			return nil
		}
		all, err := client.Networks(ctx, &api.NetworksRequest{})
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all.Networks, func(n *api.NetworkInfo) bool { return n.Name == SharedNetwork }) {
			return nil
		}
		_, err = client.CreateNetwork(ctx, &api.NetworkInfo{Name: SharedNetwork})
		return err
	})
}

// publishAll publishes what the image exposes on free ports. The image is pulled first if it is not here.
func (a *maker) publishAll(ctx context.Context, project *spec.Project, o *Image) error {
	s := project.Services[o.Name]
	return a.WithEngine(ctx, func(ctx context.Context, client *api.Client) error {
		if err := a.prepare(ctx, client, project, o); err != nil {
			return err
		}
		details, err := client.Image.Describe(ctx, &api.DescribeRequest{Name: s.Image, Platform: s.Platform})
		if err != nil {
			return err
		}
		var config struct {
			Config struct{ ExposedPorts map[string]struct{} }
		}
		if err := json.Unmarshal(details.Config, &config); err != nil {
			return fmt.Errorf("cannot read the configuration of image %s: %w", s.Image, err)
		}
		short, err := a.readShortForms(project, slices.Sorted(maps.Keys(config.Config.ExposedPorts)), nil)
		if err != nil {
			return err
		}
		for _, p := range short.Ports {
			if !slices.ContainsFunc(s.Ports, func(have spec.Port) bool { return have.Target == p.Target && have.Protocol == p.Protocol }) {
				s.Ports = append(s.Ports, p)
			}
		}
		return nil
	})
}

// prepare has the image of a container here.
func (a *maker) prepare(ctx context.Context, client *api.Client, project *spec.Project, o *Image) error {
	req, err := a.Request(ctx, client, cli.Application{
		Project: project, Timeout: -1, Options: planner.Options{Services: []string{o.Name}, NoDeps: true, Prepare: o.Name, Pull: o.Pull},
	})
	if err != nil {
		return err
	}
	defer req.Close()
	stream, err := client.Apply(ctx, req.Message)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	_, err = a.Show(ctx, stream, cli.Progress{Words: display.Words{Of: []string{o.Name}, Done: "is made", Failed: "is not made", Silent: true}, Project: project, Lend: req.Lend})
	return err
}
