package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	controlapi "github.com/moby/buildkit/api/services/control"
	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"

	"github.com/orlop/orlop/builder"
	"github.com/orlop/orlop/cmd/deploy/buildkit"
	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/planner"
)

// elsewhere is the BuildKit of --builder, and what was built there.
type elsewhere struct {
	*buildkit.Connection
	mu     sync.Mutex
	builds map[string]*remoteBuild // by service; guarded by mu
}

// remoteBuild is the one build of an image, for whoever needs it.
type remoteBuild struct {
	ended chan struct{} // closed when it has; what follows is not changed then
	ref   string
	err   error
}

// dial prepares the connection to the BuildKit of --builder.
func (i *images) dial(ctx context.Context) (*elsewhere, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.elsewhere != nil {
		return i.elsewhere, nil
	}
	at, err := buildkit.Parse(i.what.builder)
	if err != nil {
		return nil, err
	}
	conn, err := buildkit.Connect(ctx, at, i.inPod)
	if err != nil {
		return nil, err
	}
	i.elsewhere = &elsewhere{Connection: conn, builds: map[string]*remoteBuild{}}
	return i.elsewhere, nil
}

// inPod runs a command in a pod of the cluster that is deployed to, unless its address names another.
func (i *images) inPod(ctx context.Context, p buildkit.Pod, command []string, stdio io.ReadWriter, said io.Writer) error {
	client, err := connect(i.Invocation, place{context: cmp.Or(p.Context, i.what.context), namespace: cmp.Or(p.Namespace, i.what.namespace)})
	if err != nil {
		return err
	}
	container, err := client.Running(ctx, p.Name, p.Container)
	if err != nil {
		return err
	}
	err = client.Exec(ctx, cluster.Process{Pod: p.Name, Container: container, Command: command, Stdin: stdio, Stdout: stdio, Stderr: said})
	var exited *cluster.Exited
	if errors.As(err, &exited) && exited.Why == "" {
		return fmt.Errorf("%s there %w", command[0], err)
	}
	return err
}

// buildElsewhere builds the image of a service at --builder, which pushes it, after those that it is built on: once, whoever needs it.
func (i *images) buildElsewhere(ctx context.Context, service string, note func(planner.Event)) (string, error) {
	e, err := i.dial(ctx)
	if err != nil {
		return "", err
	}
	e.mu.Lock()
	b, isBegun := e.builds[service]
	if !isBegun {
		b = &remoteBuild{ended: make(chan struct{})}
		e.builds[service] = b
	}
	e.mu.Unlock()
	if !isBegun {
		b.ref, b.err = i.buildAt(ctx, e, service, note)
		close(b.ended)
	}
	select {
	case <-b.ended:
		return b.ref, b.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func (i *images) buildAt(ctx context.Context, e *elsewhere, service string, note func(planner.Event)) (string, error) {
	var err error
	s := i.project.Buildable(service)
	others := map[string]string{}
	for _, from := range s.Build.AdditionalContexts {
		if other, ok := strings.CutPrefix(from, "service:"); ok {
			if others[other], err = i.buildElsewhere(ctx, other, note); err != nil {
				return "", err
			}
		}
	}
	target := i.pushes[service].target
	if target == "" { // it is there for others alone
		sum := "for-others"
		if target, err = i.target(service, sum); err != nil || target == "" {
			return "", fmt.Errorf("services.%s is built for others, and there is no --registry to push it to", service)
		}
	}
	session, err := builder.NewSession(ctx, i.project, []string{service})
	if err != nil {
		return "", err
	}
	defer session.Close()
	number := e.Number()
	if err := session.Connect(e.ClientConn, service); err != nil {
		return "", err
	}
	registry, _, _ := strings.Cut(target, "/")
	digest, err := builder.New(controlapi.NewControlClient(e), gatewayapi.NewLLBBridgeClient(e)).Build(ctx, builder.Request{
		Project: i.project.Name, Dir: i.project.WorkingDir, Service: service, Build: s.Build, Platforms: s.BuiltFor(), Tag: target, Images: others,
		Session: session.IDs()[service], Places: i.project.Places, Mask: i.Mask,
		Options: builder.Options{NoCache: i.what.build, Push: true, Insecure: buildkit.IsLoopback(registry)},
	}, forward(note))
	var failed *builder.Failure
	switch {
	case err != nil && ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.As(err, &failed) && failed.Step != "":
		return "", err
	case err != nil:
		return "", e.Explain(err, number)
	}
	return repository(target) + "@" + digest, nil
}
