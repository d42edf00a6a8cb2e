package shim

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

func TestARuntimeIsKnownOrRefusedAtItsPlace(t *testing.T) {
	known := Runtimes{"other": {Path: "/bin/sh"}, "gone": {Path: "/nowhere/crun"}, "dir": {Path: "/"}, "nokata": {Type: "io.containerd.nokata.v2"}, "shim": {Type: "io.x.v2", Path: "/bin/sh"}, "noshim": {Type: "io.x.v2", Path: "/nowhere/shim"}}
	for name, want := range map[string]string{
		"": "", "runc": "", "io.containerd.runc.v2": "", "other": "",
		"nosuch":                `the engine has no runtime "nosuch": it has runc, dir, gone, nokata, noshim, other, shim (add it to /r/engine.yaml: runtimes: {nosuch: {path: /usr/bin/nosuch}})`,
		"io.containerd.kata.v2": `add it to /r/engine.yaml: runtimes: {"io.containerd.kata.v2": {type: io.containerd.kata.v2}}`,
		"shim":                  "",
		"nokata":                `the runtime "nokata" can't be called: containerd-shim-nokata-v2 is nowhere in the PATH of the engine (install it, or correct runtimes.nokata in /r/engine.yaml)`,
		"noshim":                `the runtime "noshim" can't be called: /nowhere/shim is not there`,
		"gone":                  `the runtime "gone" can't be called: /nowhere/crun is not there`,
		"dir":                   `the runtime "dir" can't be called: / is not a program`,
	} {
		p := &spec.Project{Services: map[string]*spec.Service{"web": {Runtime: name}}, Places: spec.PlacesOf(map[string]spec.Place{"services.web.runtime": {File: "stack.yaml", Line: 4}})}
		err := known.Allow(p, "/r/engine.yaml")
		switch {
		case want == "" && err != nil, want != "" && err == nil:
			t.Errorf("%s: %v", name, err)
		case want != "" && (!strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "stack.yaml:4")):
			t.Errorf("%s: %v\nwant %s", name, err, want)
		}
	}
}

func TestRuntimesThatCanBeNone(t *testing.T) {
	for _, bad := range []Runtimes{{"runc": {Path: "/bin/sh"}}, {"io.containerd.runc.v2": {Path: "/bin/sh"}}, {"x": {Path: "crun"}}, {"x": {}},
		{"x": {Type: "kata"}}, {"x": {Type: "io.containerd.runc.v2"}}, {"x": {Type: "io.containerd.kata.v2", Path: "shim"}}, {"x": {Type: "io.containerd.kata.v2", Path: "/opt/containerd-shim-runc-v2"}},
		{"x": {Type: "io.containerd.kata.v2", Args: []string{"a"}}}, {"x": {Type: "io.containerd.kata.v2", Config: "a"}}, {"x": {Path: "/bin/sh", Config: "/a"}},
	} {
		if err := bad.Check(func(string, string) string { return "engine.yaml" }); err == nil || !strings.HasPrefix(err.Error(), "engine.yaml: runtimes.") {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if err := (Runtimes{"x": {Path: "/usr/bin/crun"}, "kata": {Type: "io.containerd.kata.v2", Config: "/etc/kata.toml"}}).Check(func(string, string) string { return "engine.yaml" }); err != nil {
		t.Error(err)
	}
}

func TestARuntimeIsCalledWithItsArguments(t *testing.T) {
	dir := t.TempDir()
	p := newPool(Config{Runc: "/own/runc", Wrappers: filepath.Join(dir, "runtimes")})
	p.Runtimes = func() (Runtimes, error) {
		return Runtimes{"plain": {Path: "/bin/echo"}, "with": {Path: "/bin/echo", Args: []string{"a b", "it's", "$HOME"}}}, nil
	}
	for name, want := range map[string]string{"": "/own/runc", "runc": "/own/runc", "plain": "/bin/echo"} {
		if got, err := p.program(name); err != nil || got != want {
			t.Errorf("%q: %s, %v", name, got, err)
		}
	}
	if _, err := p.program("nosuch"); err == nil {
		t.Error("a runtime that nobody knows is called")
	}
	path, err := p.program("with")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, "state", "x").Output()
	if err != nil || string(out) != "a b it's $HOME state x\n" {
		t.Errorf("%q, %v", out, err)
	}
	if again, err := p.program("with"); err != nil || again != path {
		t.Errorf("%s, then %s, %v", path, again, err)
	}
	if left, _ := os.ReadDir(p.Wrappers); len(left) != 1 {
		t.Errorf("%v", left)
	}
}

func TestATaskIsDeletedByTheRuntimeThatMadeIt(t *testing.T) {
	bundle := t.TempDir()
	for text, want := range map[string]string{"": "/own/runc", "/bin/sh": "/bin/sh", "/old/version/runc": "/own/runc"} {
		if err := os.WriteFile(filepath.Join(bundle, "runtime"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := runtimeOf(bundle, "/own/runc"); got != want {
			t.Errorf("%q: %s", text, got)
		}
	}
	if got := runtimeOf(filepath.Join(bundle, "nosuch"), "/own/runc"); got != "/own/runc" {
		t.Error(got)
	}
}

// TestNamespacesOfAVirtualMachineAreNotShared: those of its process may be the machine's own.
func TestNamespacesOfAVirtualMachineAreNotShared(t *testing.T) {
	known := Runtimes{"kata": {Type: "io.x.v2", Path: "/bin/sh"}, "crun": {Path: "/bin/sh"}}
	for _, c := range []struct {
		owner, side spec.Service
		refused     bool
	}{
		{spec.Service{Runtime: "kata"}, spec.Service{PID: "service:web"}, true},
		{spec.Service{Runtime: "kata"}, spec.Service{IPC: "service:web"}, true},
		{spec.Service{}, spec.Service{Runtime: "kata", PID: "service:web"}, true},
		{spec.Service{Runtime: "kata"}, spec.Service{NetworkMode: "service:web"}, false},
		{spec.Service{Runtime: "crun"}, spec.Service{PID: "service:web"}, false},
	} {
		p := &spec.Project{Services: map[string]*spec.Service{"web": &c.owner, "side": &c.side}}
		if err := known.Allow(p, "/r/engine.yaml"); (err != nil) != c.refused || err != nil && !strings.Contains(err.Error(), `of service "web"`) {
			t.Errorf("%s and %s, pid %q, ipc %q: %v", c.owner.Runtime, c.side.Runtime, c.side.PID, c.side.IPC, err)
		}
	}
}
