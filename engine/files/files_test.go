package files

import (
	"context"
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/op"
	"github.com/orlop/orlop/runner/rootfs"
	"github.com/orlop/orlop/spec"
)

type fixed struct {
	noFiles
	list []planner.Container
}

// noFiles has no containers' files.
type noFiles interface {
	OpenRoot(ctx context.Context, id string, wanted chan struct{}) (*rootfs.Root, func(), error)
	Layer(ctx context.Context, id string) ([]mount.Mount, *specs.Spec, error)
}

func (f fixed) Containers(project string) (list []planner.Container) {
	for _, c := range f.list {
		if project == "" || strings.HasPrefix(c.Name, project+"-") {
			list = append(list, c)
		}
	}
	return list
}

// TestWhichContainerIsMeant: names before services, replicas before runs.
func TestWhichContainerIsMeant(t *testing.T) {
	s := &Server{Containers: fixed{list: []planner.Container{
		{ID: "aaaa1111", Name: "shop-web-2", Service: "web", Number: 2},
		{ID: "aaaa2222", Name: "shop-web-1", Service: "web", Number: 1},
		{ID: "bbbb3333", Name: "shop-web-run-1", Service: "web", Number: 1, OneOff: true},
		{ID: "cccc4444", Name: "shop-job-run-7", Service: "job", Number: 7, OneOff: true},
		{ID: "dddd5555", Name: "other-web-1", Service: "web", Number: 1},
		{ID: "eeee6666", Name: "aaaa", Service: "web", Number: 1},
		{ID: "ffff7777", Name: "shop-cc-1", Service: "cc", Number: 1},
	}}}
	for _, c := range []struct {
		name, want, err string
		r               *api.ContainerRequest
	}{
		{"the first", "shop-web-1", "", &api.ContainerRequest{Project: "shop", Service: "web"}},
		{"by number", "shop-web-2", "", &api.ContainerRequest{Project: "shop", Service: "web", Index: 2}},
		{"no such number", "", "service web has no container 3", &api.ContainerRequest{Project: "shop", Service: "web", Index: 3}},
		{"a run's, for want of another", "shop-job-run-7", "", &api.ContainerRequest{Project: "shop", Service: "job"}},
		{"no run's by number", "", "service job has no container 7", &api.ContainerRequest{Project: "shop", Service: "job", Index: 7}},
		{"by name", "other-web-1", "", &api.ContainerRequest{Container: "other-web-1", Project: "shop", Service: "other-web-1"}},
		{"by the beginning of an ID", "shop-job-run-7", "", &api.ContainerRequest{Container: "cccc"}},
		{"by one that two have", "", `"aaa" begins the IDs of 2 containers`, &api.ContainerRequest{Container: "aaa"}},
		{"by a little of one", "shop-job-run-7", "", &api.ContainerRequest{Container: "c"}},
		{"by a name that begins IDs, too", "aaaa", "", &api.ContainerRequest{Container: "aaaa", Project: "hex", Service: "aaaa"}},
		{"a service that begins an ID, too", "shop-cc-1", "", &api.ContainerRequest{Container: "cc", Project: "shop", Service: "cc"}},
		{"none", "", "no container is named x", &api.ContainerRequest{Container: "x"}},
		{"a service where no container is named so", "shop-web-1", "", &api.ContainerRequest{Container: "web", Project: "shop", Service: "web"}},
		{"nothing", "", "service db has no container", &api.ContainerRequest{Project: "shop", Service: "db"}},
	} {
		got, err := s.one(c.r)
		switch {
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: %v", c.name, err)
		case c.err == "" && (err != nil || got.Name != c.want):
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

// TestInstructions: those of a Dockerfile that change no file, as docker commit has them.
func TestInstructions(t *testing.T) {
	config := &dockerspec.DockerOCIImageConfig{ImageConfig: ocispec.ImageConfig{Env: []string{"A=1"}, Labels: map[string]string{"kept": "yes"}}}
	change, err := instructed([]string{
		"ENV B=$A-2 A=3", "LABEL a=\"b c\"", `CMD ["run", "it"]`, "ENTRYPOINT exec sh", "EXPOSE 80 53/UDP 8000-8001", "USER ${B}", "WORKDIR /srv/$A", "VOLUME /data",
		"STOPSIGNAL SIGINT", "ONBUILD RUN true", "HEALTHCHECK --retries=3 CMD true",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := change(config); err != nil {
		t.Fatal(err)
	}
	want := ocispec.ImageConfig{
		Env: []string{"A=3", "B=1-2"}, Labels: map[string]string{"kept": "yes", "a": "b c"}, Cmd: []string{"run", "it"}, Entrypoint: []string{"/bin/sh", "-c", "exec sh"},
		ExposedPorts: map[string]struct{}{"80/tcp": {}, "53/udp": {}, "8000/tcp": {}, "8001/tcp": {}}, User: "1-2", WorkingDir: "/srv/3", Volumes: map[string]struct{}{"/data": {}}, StopSignal: "SIGINT",
	}
	if !reflect.DeepEqual(config.ImageConfig, want) {
		t.Errorf("it became %+v", config.ImageConfig)
	}
	if len(config.OnBuild) != 1 || config.Healthcheck == nil || config.Healthcheck.Retries != 3 {
		t.Errorf("it became %+v", config)
	}
	for text, why := range map[string]string{
		"RUN rm -rf /": "must begin with one of CMD", "COPY a b": "must begin with one of CMD", "": "must begin with one of CMD", "WORKDIR here": "must be an absolute path",
		"EXPOSE http": "must be a port", "EXPOSE 0": "must be a port", "EXPOSE 70000": "must be a port", "EXPOSE 9-8": "must be a port", "EXPOSE 1-": "must be a port",
		"EXPOSE 80/icmp": "must be a port", "ENV A=1\nRUN rm -rf /": "RUN: an instruction must be one of CMD",
	} {
		change, err := instructed([]string{text})
		if err == nil {
			err = change(&dockerspec.DockerOCIImageConfig{})
		}
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestAnImageSaysWhatItsContainerWasMadeWith, but for what makes it one of a stack.
func TestAnImageSaysWhatItsContainerWasMadeWith(t *testing.T) {
	value, provided := "2", "secret"
	config := &dockerspec.DockerOCIImageConfig{
		ImageConfig:             ocispec.ImageConfig{Env: []string{"A=1", "P=x"}, Entrypoint: []string{"/old"}, Cmd: []string{"old"}, User: "app", Labels: map[string]string{"com.docker.compose.project": "shop", "a": "b"}},
		DockerOCIImageConfigExt: dockerspec.DockerOCIImageConfigExt{OnBuild: []string{"RUN true"}},
	}
	err := merge(config, &spec.Service{
		Entrypoint: spec.Command{"/new"}, Environment: map[string]*string{"A": &value, "UNSET": nil, "URL": &provided}, ProvidedEnvironment: []string{"URL"},
		WorkingDir: "/srv", Labels: map[string]string{"tier": "front"}, Expose: []string{"80", "90-91/udp"}, HealthCheck: &spec.HealthCheck{Disable: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := ocispec.ImageConfig{
		Env: []string{"A=2", "P=x"}, Entrypoint: []string{"/new"}, User: "app", WorkingDir: "/srv", Labels: map[string]string{"a": "b", "tier": "front"},
		ExposedPorts: map[string]struct{}{"80/tcp": {}, "90/udp": {}, "91/udp": {}},
	}
	if !reflect.DeepEqual(config.ImageConfig, want) {
		t.Errorf("it says %+v", config.ImageConfig)
	}
	if config.OnBuild != nil || config.Healthcheck == nil || config.Healthcheck.Test[0] != "NONE" {
		t.Errorf("it says %+v", config)
	}
}

// stopped are containers that do not run: each is held by one at a time.
type stopped struct {
	fixed
	t    *testing.T
	slot chan struct{}
	want chan struct{} // of who holds it
	gone bool
}

func (s *stopped) OpenRoot(ctx context.Context, _ string, wanted chan struct{}) (*rootfs.Root, func(), error) {
	select {
	case s.slot <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	s.want = wanted
	root, err := rootfs.Open("web", s.t.TempDir(), &specs.Spec{Process: &specs.Process{}})
	return root, func() { <-s.slot }, err
}

func (s *stopped) Layer(context.Context, string) ([]mount.Mount, *specs.Spec, error) {
	if s.gone {
		return nil, nil, errors.New("no container with ID a")
	}
	return nil, nil, nil
}

// TestACopyWithinAContainerDoesNotWaitForItself, and all that have its root open end when
// another command wants it.
func TestACopyWithinAContainerDoesNotWaitForItself(t *testing.T) {
	c := &stopped{t: t, slot: make(chan struct{}, 1)}
	s := &Server{Containers: c}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	from, err := s.open(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	to, err := s.open(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	from.release()
	if len(c.slot) != 1 || to.ctx.Err() != nil {
		t.Error("who is left has no root")
	}
	c.want <- struct{}{}
	<-to.ctx.Done()
	if err := wantedError(context.Cause(to.ctx)); !errors.Is(err, op.ErrWanted) || !strings.Contains(err.Error(), "run it again") {
		t.Error(err)
	}
	next := make(chan error, 1)
	go func() { // who comes now has one of its own, once those are gone
		o, err := s.open(ctx, "a")
		if err == nil {
			o.release()
		}
		next <- err
	}()
	to.release()
	if err := <-next; err != nil || len(c.slot) != 0 {
		t.Errorf("%v, %d", err, len(c.slot))
	}
}

// TestAReaderWhoStandsStillHoldsNothing.
func TestAReaderWhoStandsStillHoldsNothing(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan struct{})
	defer close(ended)
	send := sending(ctx, func(int) error {
		cancel(op.ErrWanted)
		<-ended
		return nil
	})
	if err := send(1); !errors.Is(err, op.ErrWanted) {
		t.Error(err)
	}
}

// TestWhatIsReadOfAContainerThatGoesIsNotWhole, whether or not somebody has missed a file.
func TestWhatIsReadOfAContainerThatGoesIsNotWhole(t *testing.T) {
	c := &stopped{}
	s := &Server{Containers: c}
	web := &planner.Container{ID: "a", Name: "shop-web-1"}
	if err := s.whole(t.Context(), web, func() error { return nil }); err != nil {
		t.Error(err)
	}
	for _, failed := range []error{nil, fs.ErrNotExist} {
		err := s.whole(t.Context(), web, func() error { c.gone = true; return failed })
		if err == nil || !strings.Contains(err.Error(), "shop-web-1 was removed while its files were read") {
			t.Error(err)
		}
	}
}
