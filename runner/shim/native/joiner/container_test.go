//go:build cgo

package joiner

import (
	"os"
	"slices"
	"testing"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What only libcontainer knows how to do is left to it.
func TestOnlyPlainContainersAreJoined(t *testing.T) {
	usualOne := func() *configs.Config {
		return &configs.Config{Cgroups: &cgroups.Cgroup{Resources: &cgroups.Resources{}}}
	}
	if err := plain(usualOne()); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(c *configs.Config){
		"rootless":              func(c *configs.Config) { c.RootlessEUID = true },
		"rootless cgroups":      func(c *configs.Config) { c.RootlessCgroups = true },
		"AppArmor":              func(c *configs.Config) { c.AppArmorProfile = "x" },
		"SELinux":               func(c *configs.Config) { c.ProcessLabel = "x" },
		"scheduler":             func(c *configs.Config) { c.Scheduler = &configs.Scheduler{} },
		"priority":              func(c *configs.Config) { c.IOPriority = &configs.IOPriority{} },
		"processors":            func(c *configs.Config) { c.ExecCPUAffinity = &configs.CPUAffinity{} },
		"memory":                func(c *configs.Config) { c.MemoryPolicy = &configs.LinuxMemoryPolicy{} },
		"personality":           func(c *configs.Config) { c.Personality = &configs.LinuxPersonality{} },
		"end with parent":       func(c *configs.Config) { c.ParentDeathSignal = 9 },
		"no cgroups":            func(c *configs.Config) { c.Cgroups = nil },
		"no rules for devices":  func(c *configs.Config) { c.Cgroups.SkipDevices = true },
		"no rules for anything": func(c *configs.Config) { c.Cgroups.Resources = nil },
	} {
		c := usualOne()
		change(c)
		if plain(c) == nil {
			t.Errorf("%s: taken", what)
		}
	}
}

func TestOnlyPlainProcessesAreBegun(t *testing.T) {
	if err := plainProcess(usual("true"), &configs.Config{}); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(p *libcontainer.Process){
		"no program":      func(p *libcontainer.Process) { p.Args = nil },
		"no directory":    func(p *libcontainer.Process) { p.Cwd = "" },
		"AppArmor":        func(p *libcontainer.Process) { p.AppArmorProfile = "x" },
		"SELinux":         func(p *libcontainer.Process) { p.Label = "x" },
		"scheduler":       func(p *libcontainer.Process) { p.Scheduler = &specs.Scheduler{} },
		"priority":        func(p *libcontainer.Process) { p.IOPriority = &specs.LinuxIOPriority{} },
		"processors":      func(p *libcontainer.Process) { p.CPUAffinity = &configs.CPUAffinity{} },
		"terminal":        func(p *libcontainer.Process) { p.ConsoleSocket = os.Stdin },
		"who waits":       func(p *libcontainer.Process) { p.PidfdSocket = os.Stdin },
		"files":           func(p *libcontainer.Process) { p.ExtraFiles = []*os.File{os.Stdin} },
		"cgroup":          func(p *libcontainer.Process) { p.SubCgroupPaths = map[string]string{"": "x"} },
		"no capabilities": func(p *libcontainer.Process) { p.Capabilities = nil },
	} {
		p := usual("true")
		change(p)
		if plainProcess(p, &configs.Config{}) == nil {
			t.Errorf("%s: taken", what)
		}
	}
}

func TestNamespacesAndCgroups(t *testing.T) {
	with := func(types ...configs.NamespaceType) *configs.Config {
		c := &configs.Config{}
		for _, n := range types {
			c.Namespaces = append(c.Namespaces, configs.Namespace{Type: n})
		}
		return c
	}
	if flags, err := namespacesOf(with(configs.NEWNS, configs.NEWNET, configs.NEWCGROUP)); err != nil || flags != unix.CLONE_NEWNS|unix.CLONE_NEWNET|unix.CLONE_NEWCGROUP {
		t.Errorf("%x, %v", flags, err)
	}
	for what, c := range map[string]*configs.Config{"of users": with(configs.NEWNS, configs.NEWUSER), "of time": with(configs.NEWNS, configs.NEWTIME), "not of files": with(configs.NEWPID)} {
		if _, err := namespacesOf(c); err == nil {
			t.Errorf("namespaces %s: taken", what)
		}
	}
	files, err := cgroupsOf(map[string]string{"memory": "/c/memory/x", "cpu": "/c/cpu,cpuacct/x", "cpuacct": "/c/cpu,cpuacct/x"}, false)
	if err != nil || !slices.Equal(files, []string{"/c/cpu,cpuacct/x/cgroup.procs", "/c/memory/x/cgroup.procs"}) {
		t.Errorf("%q, %v", files, err)
	}
	if dirs, err := cgroupsOf(map[string]string{"": "/c/x"}, true); err != nil || !slices.Equal(dirs, []string{"/c/x"}) {
		t.Errorf("%q, %v", dirs, err)
	}
	for what, paths := range map[string]map[string]string{"none": {}, "one that is nowhere": {"memory": ""}} {
		if _, err := cgroupsOf(paths, false); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
}
