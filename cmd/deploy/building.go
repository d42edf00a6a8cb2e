package deploy

import (
	"context"
	"errors"
	"maps"
	"sync"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// building is one build of all images that are to be built; each step waits for its own.
type building struct {
	images *images
	client *api.Client
	begin  sync.Once

	mu    sync.Mutex
	notes map[string]func(planner.Event)
	ends  map[string]chan error
	over  chan struct{} // closed at the end of all
	err   error         // of all
}

func (i *images) all(client *api.Client) *building {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.builds == nil {
		i.builds = &building{images: i, client: client, notes: map[string]func(planner.Event){}, ends: map[string]chan error{}, over: make(chan struct{})}
		for _, service := range i.toBuild {
			i.builds.ends[service] = make(chan error, 1)
		}
	}
	return i.builds
}

// wait waits until the image of a service is built.
func (b *building) wait(ctx context.Context, service string, note func(planner.Event)) error {
	b.mu.Lock()
	b.notes[service] = note
	ended := b.ends[service]
	b.mu.Unlock()
	b.begin.Do(func() {
		go func() {
			b.err = b.run(ctx)
			close(b.over)
		}()
	})
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case err := <-ended:
		return err
	case <-b.over:
		select {
		case err := <-ended:
			return err
		default:
			return b.err // nothing had to be built, or nothing could be
		}
	}
}

// run asks the engine to build.
func (b *building) run(ctx context.Context) error {
	i := b.images
	request, err := i.Request(ctx, b.client, cli.Application{
		Project: withWork(i.project), Anew: i.what.build, Timeout: -1,
		Options: planner.Options{BuildOnly: true, Build: true, NoDeps: true, Services: i.toBuild},
	})
	if err != nil {
		return err
	}
	defer request.Close()
	stream, err := b.client.Apply(ctx, request.Message)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	_, err = cli.Follow(ctx, stream, request.Lend, b.tell)
	return err
}

// withWork is the project in which the jobs that have a schedule are services, too: what builds knows services alone.
func withWork(p *spec.Project) *spec.Project {
	out := *p
	out.Services, out.Jobs = maps.Clone(p.Services), maps.Clone(p.Jobs)
	for name, job := range p.Work().Services {
		out.Services[name] = job
		delete(out.Jobs, name)
	}
	return &out
}

// tell hands an event on to the step that it is about.
func (b *building) tell(e planner.Event) {
	b.mu.Lock()
	note, ended := b.notes[e.Service], b.ends[e.Service]
	b.mu.Unlock()
	if e.Action != planner.Build || ended == nil {
		return
	}
	switch e.Kind {
	case planner.Done, planner.Unchanged:
		ended <- nil
	case planner.Failed:
		ended <- &failedBuild{e.Text, e.Lines}
	case planner.Cancelled, planner.Skipped:
		ended <- errors.New("its build was not begun")
	default:
		if note != nil {
			forward(note)(e)
		}
	}
}

// failedBuild is a build that failed, with what it printed.
type failedBuild struct {
	text  string
	lines []string
}

func (e *failedBuild) Error() string   { return e.text }
func (e *failedBuild) Lines() []string { return e.lines }
