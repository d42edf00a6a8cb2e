package privilege

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

func stack() *spec.Project {
	bind := func(source string, ro bool) spec.Mount {
		return spec.Mount{Type: spec.MountBind, Source: source, Target: "/x", ReadOnly: ro}
	}
	return &spec.Project{
		Services: map[string]*spec.Service{
			"db": {Volumes: []spec.Mount{{Type: spec.MountVolume, Source: "data", Target: "/data"}, bind("/p/conf", true)}, Ports: []spec.Port{{Target: 5432, Published: "5432", HostIP: "127.0.0.1"}}},
			"web": {
				Privileged: true, CapAdd: []string{"NET_ADMIN"}, NetworkMode: "host", Security: spec.SecurityDefault,
				Volumes: []spec.Mount{bind("/", false), bind("/var/run/docker.sock", true), bind("/p/../etc", true), bind("/project", true), bind("/var/run/containerd/", false)},
				Ports:   []spec.Port{{Target: 80, Published: "8080"}, {Target: 81}, {Target: 82, Published: "82", HostIP: "::", Protocol: "udp"}},
			},
		},
		Secrets: map[string]*spec.Secret{"in": {File: "/p/s"}, "out": {File: "/etc/shadow"}},
		Configs: map[string]*spec.Config{"c": {File: "/etc/passwd"}},
		Places:  spec.Places{"services.web.privileged": {File: "stack.yaml", Line: 3, Column: 17}},
	}
}

// TestWhatAStackAsksFor is the golden list.
//
// Risk privileged flags: a stack asks for what makes it root on the host
// Held: config --security lists each with its place, and an engine's policy can forbid each kind
func TestWhatAStackAsksFor(t *testing.T) {
	var got []string
	for _, r := range Of(stack(), "/p") {
		got = append(got, fmt.Sprintf("%s %s %s", r.Kind, r.Path, r.Value))
	}
	want := `privileged services.web.privileged true
engine_socket services.web.volumes[0] /
engine_socket services.web.volumes[1] /var/run/docker.sock
engine_socket services.web.volumes[4] /var/run/containerd/
host_network services.web.network_mode host
host_mount services.web.volumes[0] /
host_mount services.web.volumes[1] /var/run/docker.sock
host_mount services.web.volumes[2] /p/../etc
host_mount services.web.volumes[3] /project
host_mount services.web.volumes[4] /var/run/containerd/
cap_add services.web.cap_add[0] NET_ADMIN
host_file secrets.out.file /etc/shadow
host_file configs.c.file /etc/passwd
public_port services.web.ports[0] 8080/tcp
public_port services.web.ports[1] any:81/tcp
public_port services.web.ports[2] 82/udp
no_hardening services.web.x-orlop-security default`
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("it asks for\n%s\nwant\n%s", text, want)
	}
}

func TestAPolicyForbidsByKind(t *testing.T) {
	if err := Check(stack(), "/p", nil, "engine.yaml"); err != nil {
		t.Errorf("no policy: %v", err)
	}
	err := Check(stack(), "/p", []Kind{Privileged, HostFile}, "/r/engine.yaml")
	var f *Forbidden
	if !errors.As(err, &f) || len(f.Requests) != 3 {
		t.Fatalf("forbidden are %v", err)
	}
	lines := strings.Split(err.Error(), "\n")
	for i, want := range map[int]string{
		0: "stack.yaml:3:17: services.web.privileged: true is forbidden on this engine (privileged): it has all devices and capabilities of the host: it can do what root can",
		3: "take these away, or ask who runs the engine to change policy.forbid in /r/engine.yaml",
	} {
		if len(lines) != 4 || lines[i] != want {
			t.Errorf("said is\n%s\nwant in line %d\n%s", err, i+1, want)
		}
	}
}

func TestHardenedUnlessAServiceSaysOtherwise(t *testing.T) {
	p := stack()
	Harden(p)
	if p.Services["db"].Security != spec.SecurityHardened || p.Services["web"].Security != spec.SecurityDefault {
		t.Errorf("they are %q and %q", p.Services["db"].Security, p.Services["web"].Security)
	}
}

// TestAnEngineIsReachedByManyPaths: whatever is above an engine's socket, below
// its directory or a link to either has it.
func TestAnEngineIsReachedByManyPaths(t *testing.T) {
	dir := t.TempDir()
	link, gone := filepath.Join(dir, "link"), filepath.Join(dir, "gone")
	for name, to := range map[string]string{link: "/run", gone: "/run/nobody/is/here"} {
		if err := os.Symlink(to, name); err != nil {
			t.Fatal(err)
		}
	}
	own := []string{"/srv/state/orlop", "/srv/data"}
	for path, want := range map[string]bool{
		"/": true, "/run": true, "/var/run": true, "/var": true, "/run/": true, "/./run": true, "/proc/1/root": true, "/proc/self/task/1/cwd/x": true, "/proc": false, "/proc/sys": false,
		"/run/orlop": true, "/run/orlop/containerd": true, "/run/orlop/containerd/containerd.sock.ttrpc": true, "/var/run/orlop/x": true,
		"/run/docker": true, "/run/user": true, "/run/user/1000": true, "/run/user/1000/podman": true, "/run/user/1000/podman/x": true,
		"/srv": true, "/srv/state": true, "/srv/state/orlop/net": true, "/srv/data": true, "/home/ann/docker.sock": true,
		link: true, link + "/containerd": true, link + "/not/there": false, gone: false,
		"/srv/database": false, "/srv/state/other": false, "/run/user/1000/wayland-0": false, "/run/orlopped": false, "/etc": false, dir: false,
	} {
		s := &spec.Project{Services: map[string]*spec.Service{"web": {Volumes: []spec.Mount{{Type: spec.MountBind, Source: path, Target: "/x"}}}}}
		if err := Check(s, "/p", []Kind{EngineSocket}, "engine.yaml", own...); (err != nil) != want {
			t.Errorf("%s has an engine's socket: %v, want %v", path, err != nil, want)
		}
	}
}

// TestAPortIsPublicByWhateverName: all addresses have many spellings.
func TestAPortIsPublicByWhateverName(t *testing.T) {
	for host, want := range map[string]bool{
		"": true, "0.0.0.0": true, "::": true, "::0": true, "0:0:0:0:0:0:0:0": true, "::ffff:0.0.0.0": true, "[::]": true, "[::0]": true,
		"127.0.0.1": false, "::1": false, "::ffff:127.0.0.1": false, "192.0.2.1": false,
	} {
		for _, published := range []string{"", "80"} {
			p := &spec.Project{Services: map[string]*spec.Service{"web": {Ports: []spec.Port{{Target: 80, Published: published, HostIP: host}}}}}
			if got := len(Of(p, "/p")) == 1; got != want {
				t.Errorf("port %q at %q is public: %v, want %v", published, host, got, want)
			}
		}
	}
}

// TestFilesOutsideOfTheProject: what a stack has read into a container's environment or
// labels, or into an image.
//
// Risk privileged flags: a stack of somebody else takes an env_file, a label_file, a Dockerfile or the context of a build from the
// caller's home
// Held: `config --security` lists each with its place as host_file, and an engine's policy can forbid it
func TestFilesOutsideOfTheProject(t *testing.T) {
	p := &spec.Project{
		Services: map[string]*spec.Service{
			"a": {Build: &spec.Build{Context: "/home/me", Dockerfile: "Dockerfile", AdditionalContexts: map[string]string{
				"keys": "/home/me/.ssh", "in": "/p/in", "image": "docker-image://busybox", "other": "service:b", "git": "https://example.com/x.git",
			}}},
			"b": {Build: &spec.Build{Context: "/p", Dockerfile: "../etc/passwd"}},
			"c": {Build: &spec.Build{Context: "https://example.com/x.git", Dockerfile: "Dockerfile"}},
			"d": {Build: &spec.Build{Context: "/p/d", Dockerfile: "/p/Dockerfile"}},
		},
		ReadFiles: map[string]string{
			"services.a.env_file[0]": "/p/.env", "services.a.env_file[1]": "/home/me/.netrc", "services.b.label_file[0]": "/etc/hostname",
			"services.gone.env_file[0]": "/etc/shadow",
		},
	}
	var got []string
	for _, r := range Of(p, "/p") {
		got = append(got, fmt.Sprintf("%s %s %s", r.Kind, r.Path, r.Value))
	}
	want := []string{
		"host_file services.a.build.context /home/me",
		"host_file services.a.build.additional_contexts.keys /home/me/.ssh", "host_file services.a.env_file[1] /home/me/.netrc",
		"host_file services.b.build.dockerfile /etc/passwd", "host_file services.b.label_file[0] /etc/hostname",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("it asks for\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if err := Check(p, "/p", []Kind{HostFile}, "engine.yaml"); err == nil {
		t.Error("a policy allows it")
	}
}
