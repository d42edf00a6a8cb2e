package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	core "github.com/orlop/orlop/deploy"
	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/deploy/manifest"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/planner/walk"
	"github.com/orlop/orlop/spec"
)

// limit is how many steps are carried out at once.
const limit = 16

// deployment is one deploy, from the stack file to its verdict.
type deployment struct {
	*cli.Invocation
	what     what
	cluster  *cluster.Client
	project  *spec.Project
	images   *images
	files    []string // that the stack was read from
	told     bool     // of warnings
	restarts []string // services whose pods are replaced in any case
}

// connect reads the kubeconfig.
func connect(inv *cli.Invocation, p place) (*cluster.Client, error) {
	return cluster.Connect(cluster.Options{Context: p.context, Namespace: p.namespace, Agent: "orlop/" + inv.Version})
}

// load reads the stack file, for a deploy of all of it. files are those that it was read from, and what else is deployed with it.
func load(ctx context.Context, inv *cli.Invocation, w *what) (project *spec.Project, files []string, err error) {
	if err := w.check(inv.Variables(ctx)); err != nil {
		return nil, nil, err
	}
	opts := inv.Options(nil)
	opts.Only, opts.Reading = true, func(path string) { files = append(files, path) }
	if project, err = inv.LoadNamed(ctx, opts); err != nil {
		return nil, nil, err
	}
	return project, slices.Concat(files, mountedFiles(project)), cli.Rescale(project, w.replicasNow)
}

// mountedFiles are the files of this machine that services mount, which become ConfigMaps; one that is away for a moment, too.
func mountedFiles(p *spec.Project) (files []string) {
	for _, s := range containers(p) {
		for _, m := range manifest.Mounts(p, s) {
			if info, err := os.Stat(m.Source); m.Type == spec.MountBind && (err != nil || info.Mode().IsRegular()) {
				files = append(files, m.Source)
			}
		}
	}
	return files
}

func prepare(ctx context.Context, inv *cli.Invocation, w what) (*deployment, error) {
	project, files, err := load(ctx, inv, &w)
	if err != nil {
		return nil, err
	}
	client, err := connect(inv, w.place)
	if err != nil {
		return nil, err
	}
	d := &deployment{Invocation: inv, what: w, cluster: client, project: project, files: files}
	d.images = &images{Invocation: inv, what: &d.what, project: project}
	return d, nil
}

// plan looks at the cluster and decides what to change. The images that have to be built are not built yet.
func (d *deployment) plan(ctx context.Context, note string) (*core.Plan, error) {
	document, set, err := d.document()
	if err != nil {
		return nil, err
	}
	observed, err := core.Observe(ctx, d.cluster, d.project.Name, set, d.project.Places)
	if err != nil {
		return nil, err
	}
	if last := observed.Last(); last != nil {
		document.Restarts = last.Document.Restarts
		if d.what.publish == "" { // as it was asked for before
			document.Publish = last.Document.Publish
		}
	}
	document.Deadline = d.what.deadline(observed.Last())
	for name := range d.project.Services {
		if d.what.restart || slices.Contains(d.restarts, name) {
			document.Restart(name, observed.Next())
		}
	}
	rebuilt, err := d.images.decide(ctx, document, observed.Last())
	if err != nil {
		return nil, err
	}
	set, found := document.Set(look)
	if err := d.complain(found); err != nil {
		return nil, err
	}
	return core.Converge(ctx, d.cluster, document, set, observed, core.Options{
		Force: d.what.force, Adopt: d.what.adopt, NewNamespace: d.what.makeSpace && d.DryRun, Wait: d.what.wait, Images: rebuilt, Note: note, By: holder(d.Invocation),
	}, d.project.Places)
}

// document is what is to be deployed, as far as the stack file says it.
func (d *deployment) document() (*core.Document, *manifest.Set, error) {
	document := core.NewDocument(d.project, look)
	document.Publish = d.what.publish
	checks := document.Checks
	document.Checks = nil // those of images are not known yet
	set, found := document.Set(look)
	document.Checks = checks
	if len(found.Errors()) > 0 {
		return nil, nil, d.complain(found)
	}
	return document, set, nil
}

// complain shows what the stack file asks for and a cluster has not.
func (d *deployment) complain(found spec.Diagnostics) error {
	if len(found.Errors()) > 0 {
		return d.Complain(found.Sourced(d.Dir))
	}
	if !d.told {
		d.told = true
		found = slices.Concat(found, d.images.notes)
		d.Warn(found.Sourced(d.Dir).Warnings(), "orlop deploy render --verbose")
	}
	return nil
}

// look finds out about a file that a service mounts.
func look(path string) (*manifest.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	f := &manifest.File{Mode: info.Mode()}
	if info.Mode().IsRegular() && info.Size() <= manifest.MaxFile {
		if f.Content, err = os.ReadFile(path); err != nil {
			return nil, err
		}
		if f.Content == nil {
			f.Content = []byte{}
		}
	}
	return f, nil
}

func holder(inv *cli.Invocation) string {
	name, host := "somebody", "somewhere"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return core.HolderName(name, host, os.Getpid(), inv.Began)
}

// services counts what a header tells.
func (d *deployment) services() int { return len(d.project.Services) + len(d.project.Scheduled()) }

func showPlan(ctx context.Context, inv *cli.Invocation, w what) error {
	w.wait, w.planOnly = true, true
	d, err := prepare(ctx, inv, w)
	if err != nil {
		return err
	}
	defer d.images.close()
	p, err := d.plan(ctx, "")
	if err != nil {
		return cli.Cause(ctx, err)
	}
	if err := d.print(p, w.format); err != nil {
		return err
	}
	if err := refused(p); err != nil {
		return err
	}
	if w.detailed && !p.IsEmpty() {
		return cli.Exit{Code: cli.ExitChanges}
	}
	return nil
}

// refused is an error where steps of a plan would fail: the warnings say why.
func refused(p *core.Plan) error {
	if steps := p.Refused(); len(steps) > 0 {
		return fmt.Errorf("%s can't be deployed like this: %s would fail", p.Project, strings.Join(steps, ", "))
	}
	return nil
}

// print writes a plan, with where it is for.
func (d *deployment) print(p *core.Plan, format string) error {
	shown := p.Masked(d.Mask.Text)
	if format != "json" {
		fmt.Fprintf(d.Stdout, " %s on %s  %s\n", d.StyleOf(d.Stdout).Bold(p.Project), d.cluster.Where(), spec.Plural(d.services(), "service"))
	}
	return display.WritePlan(d.Stdout, shown, format, d.StyleOf(d.Stdout))
}

func run(ctx context.Context, inv *cli.Invocation, w what) error {
	d, err := prepare(ctx, inv, w)
	if err != nil {
		return err
	}
	defer d.images.close()
	if err := d.makeNamespace(ctx); err != nil {
		return err
	}
	changed, err := d.deploy(ctx, "", func() (*core.Plan, error) { return d.plan(ctx, "") })
	if err == nil && changed && w.detailed {
		return cli.Exit{Code: cli.ExitChanges}
	}
	return err
}

// makeNamespace makes the namespace, if that is asked for, and if there is something to deploy.
func (d *deployment) makeNamespace(ctx context.Context) error {
	if !d.what.makeSpace || d.DryRun {
		return nil
	}
	if _, _, err := d.document(); err != nil {
		return err
	}
	return d.cluster.MakeNamespace(ctx)
}

// deploy carries out what plan decides, alone: the plan is made anew if it had to wait for somebody else's deploy.
func (d *deployment) deploy(ctx context.Context, note string, plan func() (*core.Plan, error)) (changed bool, err error) {
	p, err := plan()
	if err != nil {
		return false, cli.Cause(ctx, err)
	}
	if d.DryRun {
		return !p.IsEmpty(), errors.Join(d.print(p, "text"), refused(p))
	}
	words := display.Words{Done: "is deployed", Nothing: "is up to date", Failed: "is not deployed", Header: true, Logs: "orlop deploy logs", Fold: "deploy " + p.Project}
	if p.IsEmpty() {
		return false, d.show(ctx, p, words, func(func(planner.Event)) error { return nil })
	}
	waited := false
	ctx, release, err := core.Lock(ctx, d.cluster, p.Project, holder(d.Invocation), d.Now, func(text string) {
		waited = true
		d.SayNotice(text)
	})
	if err != nil {
		return false, cli.Cause(ctx, err)
	}
	defer release()
	stale, err := p.Observed.IsStale(ctx, d.cluster)
	if err != nil {
		return false, cli.Cause(ctx, err)
	}
	if waited || stale {
		if p, err = plan(); err != nil {
			return false, cli.Cause(ctx, err)
		}
		if p.IsEmpty() {
			return false, d.show(ctx, p, words, func(func(planner.Event)) error { return nil })
		}
	}
	e := &core.Executor{Client: d.cluster, Plan: p, Build: d.images.build, Timeout: d.what.timeout, Now: d.Now}
	return true, d.show(ctx, p, words, func(emit func(planner.Event)) error {
		if err := e.Begin(ctx); err != nil {
			return err
		}
		err := walk.Plan(ctx, p.Plan, e, limit, d.Now, emit)
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
		defer cancel()
		if late := e.End(ending, err); err == nil {
			return late
		}
		return err
	})
}

// endTime is how long the end of a deploy may be written down, also of one that was interrupted.
const endTime = 10 * time.Second

// stream has the displays read what we do ourselves as what the engine does.
type stream struct {
	messages chan *api.Progress
}

func (s *stream) Recv() (*api.Progress, error) {
	m, ok := <-s.messages
	if !ok {
		return nil, io.EOF
	}
	return m, nil
}

// show shows a plan and what happens while work is done.
func (d *deployment) show(ctx context.Context, p *core.Plan, words display.Words, work func(emit func(planner.Event)) error) error {
	return show(ctx, d.Invocation, d.cluster, p, words, d.services(), d.project, work)
}

func show(ctx context.Context, inv *cli.Invocation, c *cluster.Client, p *core.Plan, words display.Words, services int, project *spec.Project, work func(emit func(planner.Event)) error) error {
	s := &stream{make(chan *api.Progress, 64)}
	shown := *p.Plan
	shown.Project += " on " + c.Where()
	go func() {
		defer close(s.messages)
		s.messages <- &api.Progress{Of: &api.Progress_Plan{Plan: api.NewPlan(&shown)}}
		for _, text := range p.Told() {
			s.messages <- &api.Progress{Of: &api.Progress_Event{Event: api.NewEvent(planner.Event{Time: inv.Now(), Kind: planner.Warned, Text: text})}}
		}
		err := work(func(e planner.Event) { s.messages <- &api.Progress{Of: &api.Progress_Event{Event: api.NewEvent(e)}} })
		verdict := &api.Verdict{Ok: err == nil, UpToDate: p.IsEmpty()}
		if err != nil {
			verdict.Error = cli.Cause(ctx, err).Error()
		}
		s.messages <- &api.Progress{Of: &api.Progress_Verdict{Verdict: verdict}}
	}()
	_, err := inv.Show(ctx, s, cli.Progress{Words: words, Services: services, Project: project})
	if err != nil && errors.Is(context.Cause(ctx), cli.ErrInterrupted) {
		return cli.ErrInterrupted
	}
	return err
}

// chosen are the services that a verb names; all of them where it names none. They must be there.
func chosen(observed *core.Observed, named []string, where string) ([]string, error) {
	var all []string
	last := observed.Last()
	if last == nil {
		return nil, fmt.Errorf("%s is not deployed on %s: orlop deploy brings it there; --context and --namespace name another place", observed.Project, where)
	}
	for name := range last.Document.Project.Services {
		all = append(all, name)
	}
	all = append(all, last.Document.Project.Scheduled()...)
	slices.Sort(all)
	for _, name := range named {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("no service %q is deployed%s", name, hint(name, all))
		}
	}
	if len(named) > 0 {
		return named, nil
	}
	return all, nil
}

func hint(name string, all []string) string {
	if near := spec.Nearest(name, all); near != "" {
		return fmt.Sprintf(": did you mean %q?", near)
	}
	return ""
}
