package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/watch"
	"github.com/orlop/orlop/cmd/watch/loop"
	core "github.com/orlop/orlop/deploy"
	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/deploy/manifest"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/planner/walk"
	"github.com/orlop/orlop/spec"
)

func watchCommand(invocation func() *cli.Invocation) *cobra.Command {
	var w what
	var flags watch.Flags
	c := &cobra.Command{
		Use: "watch", Short: "Deploy, and keep the cluster in step with the working tree", Args: cobra.NoArgs,
		Long: "Deploy, and keep the cluster in step with the working tree until the user leaves: what is saved is built, pushed and rolled out, or by\n" +
			"the rules of develop.watch synced into the pods, which need tar for that.",
		Example: "  orlop deploy watch --registry 127.0.0.1:5000",
		RunE: func(c *cobra.Command, _ []string) error {
			return with(c, invocation(), func(ctx context.Context, inv *cli.Invocation) error { return keep(ctx, inv, w, flags) })
		},
	}
	w.flags(c.Flags())
	w.acting(c.Flags())
	w.making(c.Flags())
	c.Flags().BoolVar(&flags.NoUp, "no-deploy", false, "don't deploy first")
	c.Flags().BoolVar(&flags.GitIgnore, "gitignore", false, "leave out what .gitignore names")
	return c
}

// keep deploys and watches.
func keep(ctx context.Context, inv *cli.Invocation, w what, flags watch.Flags) error {
	since := loop.FileClock()
	d, err := prepare(ctx, inv, w)
	if err != nil {
		return err
	}
	defer func() { d.images.close() }()
	if err := d.makeNamespace(ctx); err != nil {
		return err
	}
	fit(inv, d.project)
	behind := false
	if !flags.NoUp {
		_, err := d.deploy(ctx, "", func() (*core.Plan, error) { return d.plan(ctx, "") })
		var shown cli.Exit
		if behind = errors.As(err, &shown); err != nil && !behind || inv.DryRun {
			return err
		}
	}
	mirror, err := d.cluster.Follow(ctx, []manifest.Kind{cluster.Pod}, manifest.LabelProject+"="+manifest.LabelValue(d.project.Name))
	if err != nil {
		return err
	}
	defer mirror.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	var followers sync.WaitGroup
	defer followers.Wait()
	defer cancel(nil)
	containers := make(chan loop.Container)
	followers.Go(func() {
		if err := followPods(ctx, mirror, d.project, containers); err != nil && ctx.Err() == nil {
			cancel(err)
		}
	})
	x := &syncer{deployment: d, mirror: mirror, built: map[string]string{}}
	return loop.Run(ctx, loop.Config{
		Project: d.project, Files: d.files, Since: since, Behind: behind, Options: loop.Options{GitIgnore: flags.GitIgnore},
		Executor: x, Containers: containers, Report: watch.NewDisplay(inv, "ends it"), Now: inv.Now,
	})
}

// followPods tells of the containers of services as they come and go.
func followPods(ctx context.Context, mirror *cluster.Mirror, p *spec.Project, to chan<- loop.Container) error {
	services := map[string]string{}
	for name := range p.Services {
		services[manifest.ServiceName(name)] = name
	}
	running := map[string]loop.Container{}
	first := true
	for {
		changed := mirror.Changed()
		now := map[string]loop.Container{}
		for _, pod := range mirror.Objects(cluster.Pod, nil) {
			service := services[pod.GetLabels()[manifest.LabelService]]
			statuses, _, _ := unstructured.NestedSlice(pod.Object, "status", "containerStatuses")
			for _, item := range statuses {
				c, _ := item.(map[string]any)
				if _, runs, _ := unstructured.NestedMap(c, "state", "running"); runs && service != "" && pod.GetDeletionTimestamp() == nil {
					id, _ := c["containerID"].(string)
					now[id] = loop.Container{Service: service, ID: id, Running: true, Known: first}
				}
			}
		}
		var news []loop.Container
		for id, c := range now {
			if _, was := running[id]; !was {
				news = append(news, c)
			}
		}
		for id, c := range running {
			if _, is := now[id]; !is {
				c.Running, c.Known = false, false
				news = append(news, c)
			}
		}
		running, first = now, false
		for _, c := range news {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case to <- c:
			}
		}
		if err := mirror.Wait(ctx, changed, 0); err != nil {
			return err
		}
	}
}

// syncer carries out what a watch decides, on the cluster.
type syncer struct {
	*deployment
	mirror *cluster.Mirror

	mu    sync.Mutex        // one deploy at a time
	built map[string]string // references of images that are built, see images.done
}

// pods are those of a service that run.
func (x *syncer) pods(service string) []string {
	var names []string
	for _, pod := range x.mirror.Objects(cluster.Pod, map[string]string{manifest.LabelService: manifest.ServiceName(service)}) {
		phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase")
		if phase == "Running" && pod.GetDeletionTimestamp() == nil {
			names = append(names, pod.GetName())
		}
	}
	slices.Sort(names)
	return names
}

// Sync writes entries into all pods of a service, by the tar that is in its image.
func (x *syncer) Sync(ctx context.Context, service string, each func(put func(loop.Entry) error) error) (loop.Synced, error) {
	var archive treeArchive
	if err := each(archive.put); err != nil {
		return loop.Synced{}, err
	}
	pods := x.pods(service)
	if len(pods) == 0 {
		return loop.Synced{}, fmt.Errorf("%s: %w that runs: see \"orlop deploy status %s\"", service, loop.ErrAbsent, service)
	}
	done := loop.Synced{Files: archive.files, Removed: len(archive.removed)}
	for _, pod := range pods {
		if err := x.unpack(ctx, service, pod, &archive); err != nil {
			if ctx.Err() != nil {
				return loop.Synced{}, context.Cause(ctx)
			}
			done.Failures = append(done.Failures, loop.Failure{Container: pod, Path: "/", Message: err.Error()})
		}
	}
	return done, nil
}

func (x *syncer) unpack(ctx context.Context, service, pod string, archive *treeArchive) error {
	if len(archive.removed) > 0 {
		if err := x.command(ctx, service, pod, nil, append([]string{"rm", "-rf", "--"}, archive.removed...)...); err != nil {
			return err
		}
	}
	data, err := archive.bytes()
	if err != nil || archive.entries == 0 {
		return err
	}
	return x.command(ctx, service, pod, data, "tar", "-xf", "-", "-C", "/")
}

// command runs a command in a pod; what it prints is the error.
func (x *syncer) command(ctx context.Context, service, pod string, input []byte, command ...string) error {
	var out strings.Builder
	p := cluster.Process{Pod: pod, Container: manifest.ServiceName(service), Command: command, Stdout: &out, Stderr: &out}
	if input != nil {
		p.Stdin = newReader(input)
	}
	err := x.cluster.Exec(ctx, p)
	if err == nil {
		return nil
	}
	var exited *cluster.Exited
	text := strings.TrimSpace(out.String())
	if errors.As(err, &exited) && exited.Why == "" && text != "" {
		return errors.New(text)
	}
	if exited != nil && exited.IsMissing() {
		return fmt.Errorf("its image has no %s, which a sync needs: write a rule with action: rebuild", command[0])
	}
	return err
}

// Exec runs a hook in each pod of a service.
func (x *syncer) Exec(ctx context.Context, service string, hook *spec.Hook) (output []string, err error) {
	command := arranged(hook.Command, hook.Variables(), hook.WorkingDir)
	for _, pod := range x.pods(service) {
		var out strings.Builder
		err := x.cluster.Exec(ctx, cluster.Process{Pod: pod, Container: manifest.ServiceName(service), Command: command, Stdout: &out, Stderr: &out})
		output = strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
		if err != nil {
			return output, fmt.Errorf("%s in %s: %w", strings.Join(hook.Command, " "), pod, err)
		}
	}
	return output, nil
}

// Restart replaces the pods of a service: a pod itself is never started anew.
func (x *syncer) Restart(ctx context.Context, service string) error {
	_, err := x.again(ctx, []string{service})
	return err
}

// RestartAll replaces the pods of services.
func (x *syncer) RestartAll(ctx context.Context, services []string, ended func(service string, err error)) error {
	_, err := x.again(ctx, services)
	for _, service := range services {
		ended(service, err)
	}
	return err
}

// Build builds the image of a service and pushes it.
func (x *syncer) Build(ctx context.Context, service string, asked bool, begun func()) (loop.Built, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	began := x.Now()
	i := &images{Invocation: x.Invocation, what: &what{}, project: x.project}
	*i.what = x.what
	i.what.build = asked
	defer i.close()
	observed, err := core.Observe(ctx, x.cluster, x.project.Name, nil, spec.Places{})
	if err != nil {
		return loop.Built{}, err
	}
	document := core.NewDocument(x.project, look)
	made, err := i.decide(ctx, document, observed.Last())
	if err != nil {
		return loop.Built{}, err
	}
	wanted := made["services."+service]
	if wanted == (core.Image{}) {
		return loop.Built{}, nil
	}
	begun()
	i.toBuild = []string{wanted.Step}
	ref, err := i.build(ctx, wanted.Step, func(planner.Event) {})
	if err != nil {
		return loop.Built{Ran: true}, withLines(err)
	}
	if in := document.Inputs[wanted.Step]; in != nil {
		x.built[wanted.Step+" "+in.Sum[:tagLength]] = ref
	}
	isOther := observed.Last() == nil || observed.Last().Document.Images["services."+service] != ref
	return loop.Built{Ran: true, Changed: isOther, Step: "build and push", StepFor: x.Now().Sub(began)}, nil
}

func withLines(err error) error {
	var with interface{ Lines() []string }
	if errors.As(err, &with) {
		return &loop.OutputError{Message: err.Error(), Lines: with.Lines()}
	}
	var step *cli.StepError
	if errors.As(err, &step) {
		return &loop.OutputError{Message: step.Text, Lines: step.Lines}
	}
	return err
}

// Replace rolls out what was built.
func (x *syncer) Replace(ctx context.Context, _ string) (changed bool, err error) {
	return x.again(ctx, nil)
}

// again deploys what there is, without a display.
func (x *syncer) again(ctx context.Context, restarted []string) (changed bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	d := &deployment{Invocation: x.Invocation, what: x.what, cluster: x.cluster, project: x.project, told: true, restarts: restarted}
	d.images = &images{Invocation: x.Invocation, what: &d.what, project: x.project, done: x.built}
	d.what.wait, d.what.restart = true, false
	defer d.images.close()
	p, err := d.plan(ctx, "")
	if err != nil || p.IsEmpty() {
		return false, err
	}
	ctx, release, err := core.Lock(ctx, d.cluster, p.Project, holder(d.Invocation), d.Now, d.SayNotice)
	if err != nil {
		return false, err
	}
	defer release()
	if p, err = d.plan(ctx, ""); err != nil || p.IsEmpty() { // somebody may have deployed meanwhile
		return false, err
	}
	e := &core.Executor{Client: d.cluster, Plan: p, Build: d.images.build, Timeout: d.what.timeout, Now: d.Now}
	if err := e.Begin(ctx); err != nil {
		return false, err
	}
	var lines []string
	err = walk.Plan(ctx, p.Plan, e, limit, d.Now, func(e planner.Event) {
		if e.Kind == planner.Failed {
			lines = append(lines, e.Lines...)
		}
	})
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	if late := e.End(ending, err); err == nil {
		err = late
	}
	if err != nil && ctx.Err() == nil {
		return true, &loop.OutputError{Message: err.Error(), Lines: lines}
	}
	return true, err
}

// Reload reads the stack file again.
func (x *syncer) Reload(ctx context.Context) (p *spec.Project, files []string, err error) {
	p, files, err = cli.Source{}.Load(ctx, x.Invocation)
	if err != nil {
		return nil, files, err
	}
	fit(x.Invocation, p)
	return p, slices.Concat(files, mountedFiles(p)), cli.Rescale(p, x.what.replicasNow)
}

// fit makes rules for containers that are started again such for pods, which are replaced: those have the files of their images.
func fit(inv *cli.Invocation, p *spec.Project) {
	var found spec.Diagnostics
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s := p.Services[name]
		if s.Develop == nil {
			continue
		}
		s.Develop.Watch = slices.Clone(s.Develop.Watch)
		for i := range s.Develop.Watch {
			rule := &s.Develop.Watch[i]
			if rule.Action != spec.WatchSyncRestart {
				continue
			}
			path := fmt.Sprintf("services.%s.develop.watch[%d].action", name, i)
			d := spec.Diagnostic{Severity: spec.Warning, Path: path, Place: p.Places.Nearest(path), Message: "a pod that is started again has the files of its image alone"}
			if s.Build != nil {
				rule.Action, rule.Target = spec.WatchRebuild, ""
				d.Hint = "it is built and rolled out in place of that"
			} else {
				rule.Action = spec.WatchSync
				d.Hint = "the files are synced, and nothing is started again"
			}
			found = append(found, d)
		}
	}
	inv.Warn(found.Sourced(inv.Dir), "orlop deploy watch --verbose")
}

// Apply deploys the project that was loaded last.
func (x *syncer) Apply(ctx context.Context, p *spec.Project) error {
	x.mu.Lock()
	x.project = p
	x.mu.Unlock()
	_, err := x.again(ctx, nil)
	return err
}
