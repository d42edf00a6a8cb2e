package files

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"google.golang.org/grpc"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/api/archive"
	"github.com/orlop/orlop/engine/tarball"
	"github.com/orlop/orlop/runner/emulation"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/spec"
)

// Commit implements api.FilesServer.
func (s *Server) Commit(ctx context.Context, r *api.CommitRequest) (*api.CommitReply, error) {
	instructions, err := instructed(r.Changes)
	if err != nil {
		return nil, err
	}
	c, err := s.one(r.Of)
	if err != nil {
		return nil, err
	}
	if c.Applied == nil || c.Applied.Service == nil {
		return nil, fmt.Errorf("cannot make an image of %s: it is not known what it was made of", c.Name)
	}
	service := c.Applied.Service
	base, err := s.Images.At(ctx, cmp.Or(service.Image, c.Name), c.Applied.Image, service.PlatformOn(emulation.Machine()))
	if err != nil {
		return nil, fmt.Errorf("cannot make an image of %s: its own is gone: %w", c.Name, err)
	}
	change := func(config *dockerspec.DockerOCIImageConfig) error {
		if err := merge(config, service); err != nil {
			return err
		}
		return instructions(config)
	}
	if err := tried(base.Config, change); err != nil {
		return nil, fmt.Errorf("cannot make an image of %s: %w", c.Name, err)
	}
	l, mounts, err := s.layerOf(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	made, err := s.Images.Make(ctx, image.Making{
		Name: r.Name, Prefix: strings.ToLower(c.Name), Base: base, Author: r.Author, Comment: r.Message, By: "orlop commit " + c.Name, Now: s.Now().UTC(),
		Layer: func(ctx context.Context, out io.Writer) error {
			if r.Pause {
				thaw, err := s.Freezer.Freeze(ctx, c.ID)
				if err != nil {
					return fmt.Errorf("cannot pause %s: %w: --pause=false goes without", c.Name, err)
				}
				defer thaw()
			}
			return s.whole(ctx, c, func() error { return l.Write(ctx, out, mounts) })
		},
		Change: change,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot make an image of %s: %w", c.Name, err)
	}
	return &api.CommitReply{Name: made.Name, Digest: made.Digest.String(), Id: made.ID.String()}, nil
}

// tried is the error of a change, which is told before anything is read or written.
func tried(config dockerspec.DockerOCIImageConfig, change func(*dockerspec.DockerOCIImageConfig) error) error {
	config.ExposedPorts, config.Labels, config.Volumes = maps.Clone(config.ExposedPorts), maps.Clone(config.Labels), maps.Clone(config.Volumes)
	config.OnBuild = slices.Clone(config.OnBuild)
	return change(&config)
}

// merge lays what a service says over what its image says of itself, as docker commit does
// with what a container was made with. The labels that other tools know a project's
// containers by are the container's, not the image's.
func merge(config *dockerspec.DockerOCIImageConfig, s *spec.Service) error {
	if s.Entrypoint != nil {
		config.Entrypoint, config.Cmd = s.Entrypoint, nil
	}
	if s.Command != nil {
		config.Cmd = s.Command
	}
	for _, name := range slices.Sorted(maps.Keys(s.Environment)) {
		if value := s.Environment[name]; value != nil && !slices.Contains(s.ProvidedEnvironment, name) {
			config.Env = setVariable(config.Env, name, *value)
		}
	}
	config.User, config.WorkingDir = cmp.Or(s.User, config.User), cmp.Or(s.WorkingDir, config.WorkingDir)
	config.StopSignal = cmp.Or(s.StopSignal, config.StopSignal)
	if err := expose(config, s.Expose, func(text string) (string, error) { return text, nil }); err != nil {
		return err
	}
	labels := maps.Clone(config.Labels)
	for name, value := range s.Labels {
		if labels == nil {
			labels = map[string]string{}
		}
		labels[name] = value
	}
	maps.DeleteFunc(labels, func(name, _ string) bool {
		return strings.HasPrefix(name, "com.docker.compose.") || strings.HasPrefix(name, "io.orlop.")
	})
	config.Labels = labels
	config.Healthcheck = healthOf(s.HealthCheck, config.Healthcheck)
	config.OnBuild = nil // they were for what was built on it
	return nil
}

// healthOf lays a service's own probe over that of its image.
func healthOf(h *spec.HealthCheck, of *dockerspec.HealthcheckConfig) *dockerspec.HealthcheckConfig {
	if h == nil {
		return of
	}
	out := dockerspec.HealthcheckConfig{}
	if of != nil {
		out = *of
	}
	if h.Disable {
		return &dockerspec.HealthcheckConfig{Test: []string{"NONE"}}
	}
	if len(h.Test) > 0 {
		out.Test = h.Test
	}
	for _, f := range []struct {
		to   *time.Duration
		from *spec.Duration
	}{{&out.Interval, h.Interval}, {&out.Timeout, h.Timeout}, {&out.StartPeriod, h.StartPeriod}, {&out.StartInterval, h.StartInterval}} {
		if f.from != nil {
			*f.to = time.Duration(*f.from)
		}
	}
	if h.Retries != nil {
		out.Retries = *h.Retries
	}
	return &out
}

// Import implements api.FilesServer.
func (s *Server) Import(stream grpc.ClientStreamingServer[api.ImportInput, api.CommitReply]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	start := first.GetStart()
	if start == nil {
		return errors.New("internal error: an import does not begin with what is made")
	}
	change, err := instructed(start.Changes)
	if err != nil {
		return err
	}
	if err := tried(dockerspec.DockerOCIImageConfig{}, change); err != nil {
		return fmt.Errorf("cannot import an image: %w", err)
	}
	in := archive.Incoming(func() ([]byte, error) {
		m, err := stream.Recv()
		return m.GetData(), err
	})
	defer in.Close()
	made, err := s.Images.Make(stream.Context(), image.Making{
		Name: start.Name, Prefix: "imported", Platform: start.Platform, Comment: start.Message, By: "orlop image import", Now: s.Now().UTC(),
		Layer: func(_ context.Context, out io.Writer) error {
			whole, err := tarball.Open(in, "orlop image import - NAME")
			if err != nil {
				return err
			}
			defer whole.Close()
			return copyFiles(out, whole)
		},
		Change: change,
	})
	if err != nil {
		return fmt.Errorf("cannot import an image: %w", err)
	}
	return stream.SendAndClose(&api.CommitReply{Name: made.Name, Digest: made.Digest.String(), Id: made.ID.String()})
}

// copyFiles copies an archive of files. One of images is an error: as files they would be of no use.
func copyFiles(out io.Writer, in io.Reader) error {
	var has image.Contents
	if err := tarball.Copy(out, in, has.Note); err != nil {
		return err
	}
	if has.AreImages() {
		return errors.New(`it is an archive of images and not of the files of one: "orlop image load" loads them`)
	}
	return nil
}
