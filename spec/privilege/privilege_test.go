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
				Build:   &spec.Build{Context: "/p", Entitlements: []string{spec.EntitledNetwork, spec.EntitledInsecure}, Privileged: true, Network: "host"},
				Ports:   []spec.Port{{Target: 80, Published: "8080"}}, // nothing is published there
			},
			"open":  {Ports: []spec.Port{{Target: 80, Published: "8080"}, {Target: 81}, {Target: 82, Published: "82", HostIP: "::", Protocol: "udp"}}},
			"guest": {PID: "container:x", NetworkMode: "container:y", UsernsMode: "host", CgroupParent: "/system.slice"},
		},
		Bases:   map[string]*spec.Service{"base": {Build: &spec.Build{Context: "/p", Privileged: true}}},
		Secrets: map[string]*spec.Secret{"in": {File: "/p/s"}, "out": {File: "/etc/shadow"}},
		Configs: map[string]*spec.Config{"c": {File: "/etc/passwd"}},
		Places:  spec.PlacesOf(map[string]spec.Place{"services.web.privileged": {File: "stack.yaml", Line: 3, Column: 17}}),
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
privileged services.web.build.entitlements[1] security.insecure
privileged services.web.build.privileged true
privileged services.base.build.privileged true
engine_socket services.web.volumes[0] /
engine_socket services.web.volumes[1] /var/run/docker.sock
engine_socket services.web.volumes[4] /var/run/containerd/
host_network services.guest.network_mode container:y
host_network services.web.network_mode host
host_network services.web.build.entitlements[0] network.host
host_network services.web.build.network host
host_namespace services.guest.userns_mode host
host_namespace services.guest.pid container:x
host_namespace services.guest.cgroup_parent /system.slice
host_mount services.web.volumes[0] /
host_mount services.web.volumes[1] /var/run/docker.sock
host_mount services.web.volumes[2] /p/../etc
host_mount services.web.volumes[3] /project
host_mount services.web.volumes[4] /var/run/containerd/
cap_add services.web.cap_add[0] NET_ADMIN
host_file secrets.out.file /etc/shadow
host_file configs.c.file /etc/passwd
public_port services.open.ports[0] 8080/tcp
public_port services.open.ports[1] any:81/tcp
public_port services.open.ports[2] 82/udp
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
	if !errors.As(err, &f) || len(f.Requests) != 6 {
		t.Fatalf("forbidden are %v", err)
	}
	lines := strings.Split(err.Error(), "\n")
	for i, want := range map[int]string{
		0: "stack.yaml:3:17: services.web.privileged: true is forbidden on this engine (privileged): it has all devices and capabilities of the host: it can do what root can",
		6: "take these away, or ask who runs the engine to change policy.forbid in /r/engine.yaml",
	} {
		if len(lines) != 7 || lines[i] != want {
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

// TestANetworkOutsideIsTheHosts: who is on one is past the host's firewall.
func TestANetworkOutsideIsTheHosts(t *testing.T) {
	on := map[string]*spec.ServiceNetwork{"lan": nil, "own": nil}
	p := &spec.Project{Services: map[string]*spec.Service{"web": {Networks: on}}, Networks: map[string]*spec.Network{"own": {}, "lan": {
		Driver: spec.DriverMacvlan, DriverOpts: map[string]string{spec.OptParent: "eth0"},
	}}}
	if got := Of(p, "/p"); len(got) != 1 || got[0].Kind != HostNetwork || got[0].Path != "services.web.networks.lan" || got[0].Value != "eth0" {
		t.Errorf("it asks for %v", got)
	}
}

// TestFilesOutsideOfTheProject: what a stack has read into a container's environment or
// labels, or into an image.
//
// Risk privileged flags: a stack of somebody else takes an env_file, a label_file, a Dockerfile or the context of a build from the caller's home
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
			"e": {Develop: &spec.Develop{Watch: []spec.WatchRule{
				{Path: "/p/src", Action: spec.WatchSync, Target: "/x"}, {Path: "/home/me/src", Action: spec.WatchSync, Target: "/x"}, {Path: "/home/me", Action: spec.WatchRebuild},
			}}},
		},
		ReadFiles: map[string]string{
			"services.a.env_file[0]": "/p/.env", "services.a.env_file[1]": "/home/me/.netrc", "services.b.label_file[0]": "/etc/hostname",
			"services.gone.env_file[0]": "/etc/shadow", ".env": "/p/.env", "include[0].env_file[0]": "/home/me/creds",
		},
	}
	var got []string
	for _, r := range Of(p, "/p") {
		got = append(got, fmt.Sprintf("%s %s %s", r.Kind, r.Path, r.Value))
	}
	want := []string{
		"host_file services.a.build.context /home/me",
		"host_file services.a.build.additional_contexts.keys /home/me/.ssh", "host_file services.b.build.dockerfile /etc/passwd",
		"host_file services.e.develop.watch[1].path /home/me/src", "host_file include[0].env_file[0] /home/me/creds",
		"host_file services.a.env_file[1] /home/me/.netrc", "host_file services.b.label_file[0] /etc/hostname",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("it asks for\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if err := Check(p, "/p", []Kind{HostFile}, "engine.yaml"); err == nil {
		t.Error("a policy allows it")
	}
}

// outsideByLinks is a project whose every file leads out of its directory by a link, and
// one that has links which stay inside; both are named as they are written.
func outsideByLinks(t *testing.T) (p *spec.Project, dir string) {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(root, "p")
	for _, made := range []string{"home/deep", "p/in/deep"} {
		if err := os.MkdirAll(filepath.Join(root, made), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"home/creds", "p/in/file"} {
		if err := os.WriteFile(filepath.Join(root, file), []byte("A=1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"p/out.env": "../home/creds", "p/far.env": root + "/home/creds", "p/twice.env": "out.env", "p/ctx": "../home", "p/gone": "../home/not/yet",
		"p/deep": "../home/deep", "p/in.env": "in/file", "p/inctx": dir + "/in", "p/in/Dockerfile": "../../home/creds", "q": "p",
	} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return dir + "/" + name } // not cleaned
	return &spec.Project{
		Services: map[string]*spec.Service{
			"in": {Build: &spec.Build{Context: at("inctx"), Dockerfile: "other"}, Volumes: []spec.Mount{{Type: spec.MountBind, Source: at("inctx")}}},
			"out": {Build: &spec.Build{Context: at("in"), Dockerfile: "Dockerfile", AdditionalContexts: map[string]string{"a": at("ctx")}},
				Volumes: []spec.Mount{{Type: spec.MountBind, Source: at("ctx")}, {Type: spec.MountBind, Source: at("deep/../creds")}, {Type: spec.MountBind, Source: at("gone")}},
				Develop: &spec.Develop{Watch: []spec.WatchRule{{Path: at("ctx/deep"), Action: spec.WatchSync, Target: "/x"}}}},
		},
		Secrets:   map[string]*spec.Secret{"in": {File: at("in.env")}, "out": {File: at("out.env")}},
		Configs:   map[string]*spec.Config{"in": {File: at("in/file")}, "out": {File: at("ctx/creds")}},
		ReadFiles: map[string]string{"services.out.env_file[0]": at("far.env"), "services.out.label_file[0]": at("twice.env"), "services.in.env_file[0]": at("in.env")},
	}, dir
}

// TestLinksOutOfTheProject: what a stack reads by the name of a file of its own.
//
// Risk path escape: an env_file, label_file, secret, config, context, Dockerfile, mount or path of watch is a link out of the project's directory
// Held: it counts as outside, as if it were named so; a link that stays inside, or a directory that is reached by one, doesn't
func TestLinksOutOfTheProject(t *testing.T) {
	p, dir := outsideByLinks(t)
	want := []string{
		"host_mount services.out.volumes[0]", "host_mount services.out.volumes[1]", "host_mount services.out.volumes[2]",
		"host_file services.out.build.dockerfile", "host_file services.out.build.additional_contexts.a", "host_file services.out.develop.watch[0].path",
		"host_file services.out.env_file[0]", "host_file services.out.label_file[0]", "host_file secrets.out.file", "host_file configs.out.file",
	}
	check := func(dir string, want []string) {
		t.Helper()
		var got []string
		for _, r := range Of(p, dir) {
			got = append(got, fmt.Sprintf("%s %s", r.Kind, r.Path))
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("it asks for\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	check(dir, want)
	check(filepath.Join(dir, "..", "q"), want) // a link to the same
}

// TestWhereTheCallerSawLinksLead: the engine may not be able to look at what its caller
// reads, as in a directory that is mounted for the caller alone.
func TestWhereTheCallerSawLinksLead(t *testing.T) {
	p, dir := outsideByLinks(t)
	want := fmt.Sprint(Of(p, dir))
	real := Real(p, dir)
	if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
		t.Fatal(err)
	}
	p.Real = real
	if got := fmt.Sprint(Of(p, dir)); got != want {
		t.Errorf("it asks for\n%s\nwant\n%s", got, want)
	}
}
