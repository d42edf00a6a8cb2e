package oci

import (
	"path"
	"slices"
	"strings"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/spec"
)

// Command joins entrypoint and command: a service's entrypoint puts the image's
// command away (Compose Specification, entrypoint). It is empty where neither
// says what to run.
func Command(s *spec.Service, image *dockerspec.DockerOCIImageConfig) []string {
	entry, cmd := []string(s.Entrypoint), []string(s.Command)
	if s.Entrypoint == nil {
		entry = image.Entrypoint
		if s.Command == nil {
			cmd = image.Cmd
		}
	}
	return slices.Concat(entry, cmd)
}

// Exec is a process that joins a container. What it does not say is as the
// container's own process has it.
type Exec struct {
	Args       []string
	Terminal   bool
	Env        []string // beside the container's
	Cwd        string
	User       *specs.User
	Privileged bool // it has all capabilities that can be given
}

// Process is the part of an OCI document that describes it, made of the
// container's own.
func (e Exec) Process(own *specs.Process) *specs.Process {
	p := *own
	p.Args, p.Terminal = e.Args, e.Terminal
	p.Env = slices.Concat(p.Env, e.Env)
	if e.Terminal {
		p.Env = append([]string{"TERM=xterm"}, p.Env...)
	}
	if e.Cwd != "" {
		p.Cwd = e.Cwd
	}
	if e.User != nil {
		p.User = *e.User
		p.User.Umask = own.User.Umask
	}
	switch {
	case e.Privileged:
		caps := allCaps()
		p.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	case p.Capabilities != nil:
		caps := p.Capabilities.Bounding
		p.Capabilities = &specs.LinuxCapabilities{Bounding: caps}
		if p.User.UID == 0 {
			p.Capabilities.Effective, p.Capabilities.Permitted = caps, caps
		}
	}
	return &p
}

// environment lays the service's environment over the image's.
func environment(image []string, s *spec.Service, terminal bool, hostname, home string) []string {
	set := map[string]string{"HOSTNAME": hostname}
	if terminal {
		set["TERM"] = "xterm"
	}
	set["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, kv := range image {
		if k, v, ok := strings.Cut(kv, "="); ok {
			set[k] = v
		}
	}
	for k, v := range s.Environment {
		if v == nil {
			delete(set, k)
			continue
		}
		set[k] = *v
	}
	if _, ok := set["HOME"]; !ok {
		set["HOME"] = home
	}
	env := make([]string, 0, len(set))
	for k, v := range set {
		env = append(env, k+"="+v)
	}
	slices.Sort(env)
	return env
}

// workdir is a clean absolute path, whatever an image says.
func workdir(service, image string) string {
	dir := service
	if dir == "" {
		dir = image
	}
	if dir == "" {
		return "/"
	}
	return path.Clean("/" + dir)
}
