package deploy

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// solver is a BuildKit that is done with a build at once. It notes what it was asked for.
type solver struct {
	controlapi.UnimplementedControlServer
	fails    error
	cuts     bool // it goes away instead
	listener cutting

	mu     sync.Mutex
	solved []*controlapi.SolveRequest // guarded by mu
}

func (s *solver) Solve(_ context.Context, r *controlapi.SolveRequest) (*controlapi.SolveResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.solved = append(s.solved, r)
	if s.cuts {
		s.listener.cut()
	}
	if s.fails != nil {
		return nil, s.fails
	}
	return &controlapi.SolveResponse{ExporterResponse: map[string]string{"containerimage.digest": "sha256:1"}}, nil
}

// cutting is a listener that can cut the connections it has accepted.
type cutting struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn // guarded by mu
}

func (c *cutting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

func (c *cutting) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

// tags are what was built, in order.
func (s *solver) tags() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, r := range s.solved {
		out = append(out, r.Exporters[0].Attrs["name"])
	}
	return strings.Join(out, " ")
}

// sending is a deploy that has the images of two services to build, both on a third's, at a BuildKit.
func sending(t *testing.T, s *solver) *images {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "buildkit.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	controlapi.RegisterControlServer(server, s)
	s.listener.Listener = listener
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(&s.listener) })
	t.Cleanup(func() { server.Stop(); serving.Wait() })
	on := func(contexts map[string]string) *spec.Service {
		return &spec.Service{Build: &spec.Build{Context: dir, AdditionalContexts: contexts}}
	}
	p := &spec.Project{Name: "shop", WorkingDir: dir, Services: map[string]*spec.Service{
		"base": on(nil), "web": on(map[string]string{"base": "service:base"}), "api": on(map[string]string{"base": "service:base"}),
	}}
	i := &images{Invocation: &cli.Invocation{}, project: p, what: &what{registry: "r.example", builder: "unix://" + listener.Addr().String()}, pushes: map[string]pushing{}}
	for name := range p.Services {
		i.pushes[name] = pushing{target: "r.example/" + name + ":1"}
	}
	t.Cleanup(i.close)
	return i
}

func TestWhatSeveralAreBuiltOnIsBuiltOnceElsewhere(t *testing.T) {
	s := &solver{}
	i := sending(t, s)
	var builds sync.WaitGroup
	for _, service := range []string{"web", "api", "base"} {
		builds.Go(func() {
			ref, err := i.buildElsewhere(t.Context(), service, func(planner.Event) {})
			if want := "r.example/" + service + "@sha256:1"; err != nil || ref != want {
				t.Errorf("%s is %q (%v), want %q", service, ref, err, want)
			}
		})
	}
	builds.Wait()
	tags := s.tags()
	if strings.Count(tags, "/base:") != 1 || !strings.HasPrefix(tags, "r.example/base:1 ") || len(s.solved) != 3 {
		t.Errorf("built is %s, want base once, and first", tags)
	}
	for _, r := range s.solved[1:] {
		if got := r.FrontendAttrs["context:base"]; got != "docker-image://r.example/base@sha256:1" {
			t.Errorf("%s is built on %s", r.Exporters[0].Attrs["name"], got)
		}
	}
}

func TestAFailureElsewhereIsTheBuildsOwnWhereTheBuilderIsThere(t *testing.T) {
	s := &solver{fails: grpcstatus.Error(codes.Unavailable, "registry r.example: 503 Service Unavailable")}
	i := sending(t, s)
	_, err := i.buildElsewhere(t.Context(), "web", func(planner.Event) {})
	if err == nil || strings.Contains(err.Error(), "builder") || !strings.Contains(err.Error(), "503 Service Unavailable") {
		t.Error(err)
	}
	if _, err := i.buildElsewhere(t.Context(), "api", func(planner.Event) {}); err == nil || s.tags() != "r.example/base:1" {
		t.Errorf("built is %s (%v): what has failed is not tried again in one deploy", s.tags(), err)
	}
}

// lose cuts the connection to the BuildKit, and waits until that is known.
func lose(t *testing.T, i *images, s *solver) {
	t.Helper()
	s.listener.cut()
	for i.elsewhere.GetState() == connectivity.Ready {
		i.elsewhere.WaitForStateChange(t.Context(), connectivity.Ready)
	}
}

func TestAConnectionThatWasLostBetweenBuildsExplainsNoLaterFailure(t *testing.T) {
	s := &solver{}
	i := sending(t, s)
	if _, err := i.buildElsewhere(t.Context(), "base", func(planner.Event) {}); err != nil {
		t.Fatal(err)
	}
	lose(t, i, s)
	s.mu.Lock()
	s.fails = grpcstatus.Error(codes.Unavailable, "registry r.example: 503 Service Unavailable")
	s.mu.Unlock()
	if _, err := i.buildElsewhere(t.Context(), "web", func(planner.Event) {}); err == nil || strings.Contains(err.Error(), "went away") || !strings.Contains(err.Error(), "503 Service Unavailable") {
		t.Error(err)
	}
	lose(t, i, s)
	s.mu.Lock()
	s.cuts = true
	s.mu.Unlock()
	if _, err := i.buildElsewhere(t.Context(), "api", func(planner.Event) {}); err == nil || !strings.Contains(err.Error(), "went away: ") {
		t.Error(err)
	}
}
