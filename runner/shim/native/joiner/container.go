//go:build cgo

package joiner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	"github.com/opencontainers/runc/libcontainer/system"
	"golang.org/x/sys/unix"
)

// Container is what is decided once for all processes that join one: it holds for as long as the container's note does.
type Container struct {
	id           string
	config       configs.Config
	init         *os.File // a descriptor of its first process, which nobody else's number can stand for
	namespaces   int
	cgroups      []string // one directory of version 2, or files of version 1
	isCgroup2    bool
	filter       []byte
	filterFlags  uint32
	capabilities map[string]capability.Cap
}

// Of is a container that processes can join in this way, or why they can't.
func Of(c *libcontainer.Container) (*Container, error) {
	state, err := c.State()
	if err != nil {
		return nil, err
	}
	if err := plain(&state.Config); err != nil {
		return nil, err
	}
	if state.IntelRdtPath != "" {
		return nil, errors.New("a container with shares of the cache")
	}
	out := &Container{id: state.ID, config: state.Config}
	if out.namespaces, err = namespacesOf(&state.Config); err != nil {
		return nil, err
	}
	out.isCgroup2 = cgroups.IsCgroup2UnifiedMode()
	if out.cgroups, err = cgroupsOf(state.CgroupPaths, out.isCgroup2); err != nil {
		return nil, err
	}
	if out.filter, out.filterFlags, err = filterOf(state.Config.Seccomp); err != nil {
		return nil, err
	}
	known, err := capability.ListSupported()
	if err != nil {
		return nil, err
	}
	out.capabilities = make(map[string]capability.Cap, len(known))
	for _, k := range known {
		out.capabilities["CAP_"+strings.ToUpper(k.String())] = k
	}
	out.init, err = first(state.InitProcessPid, state.InitProcessStartTime)
	return out, err
}

// plain says what a container has that only libcontainer knows how to give to a process.
func plain(c *configs.Config) error {
	switch {
	case c.RootlessEUID || c.RootlessCgroups:
		return errors.New("a container of an unprivileged user")
	case c.AppArmorProfile != "" || c.ProcessLabel != "":
		return errors.New("a container with a profile or label of a security module")
	case c.Scheduler != nil || c.IOPriority != nil || c.ExecCPUAffinity != nil || c.MemoryPolicy != nil:
		return errors.New("a container with a scheduler, a priority, processors or memory of its own")
	case c.Personality != nil:
		return errors.New("a container with an execution domain")
	case c.ParentDeathSignal != 0:
		return errors.New("a container that ends with its parent")
	case c.Cgroups == nil || c.Cgroups.Resources == nil || c.Cgroups.SkipDevices:
		return errors.New("a container without rules for devices")
	default:
		return nil
	}
}

// plainProcess says what a process has that only libcontainer knows how to give it.
func plainProcess(p *libcontainer.Process, c *configs.Config) error {
	switch {
	case len(p.Args) == 0 || p.Cwd == "":
		return errors.New("a process without a program or a directory")
	case p.AppArmorProfile != "" || p.Label != "":
		return errors.New("a process with a profile or label of a security module")
	case p.Scheduler != nil || p.IOPriority != nil || p.CPUAffinity != nil:
		return errors.New("a process with a scheduler, a priority or processors of its own")
	case p.ConsoleSocket != nil || p.PidfdSocket != nil || len(p.ExtraFiles) > 0 || len(p.SubCgroupPaths) > 0:
		return errors.New("a process with a terminal, files or a cgroup of its own")
	case p.Capabilities == nil && c.Capabilities == nil:
		return errors.New("a process with all capabilities that there are")
	default:
		return nil
	}
}

var namespaceFlags = map[configs.NamespaceType]int{
	configs.NEWNS: unix.CLONE_NEWNS, configs.NEWPID: unix.CLONE_NEWPID, configs.NEWNET: unix.CLONE_NEWNET, configs.NEWIPC: unix.CLONE_NEWIPC,
	configs.NEWUTS: unix.CLONE_NEWUTS, configs.NEWCGROUP: unix.CLONE_NEWCGROUP,
}

func namespacesOf(c *configs.Config) (flags int, err error) {
	for _, n := range c.Namespaces {
		flag, ok := namespaceFlags[n.Type]
		if !ok {
			return 0, fmt.Errorf("a container with a namespace %s", n.Type)
		}
		flags |= flag
	}
	if flags&unix.CLONE_NEWNS == 0 {
		return 0, errors.New("a container that sees the machine's files")
	}
	return flags, nil
}

// mostCgroups is how many hierarchies joiner.c has room for.
const mostCgroups = 32

func cgroupsOf(paths map[string]string, isCgroup2 bool) (out []string, err error) {
	for _, dir := range paths {
		if dir == "" {
			return nil, errors.New("a container with a cgroup that is nowhere")
		}
		if !isCgroup2 {
			dir = filepath.Join(dir, "cgroup.procs")
		}
		out = append(out, dir)
	}
	if len(out) == 0 || len(out) > mostCgroups || isCgroup2 && len(out) != 1 {
		return nil, fmt.Errorf("a container in %d cgroups", len(out))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// first is a descriptor of a container's first process: of no other one that has its number by now.
func first(pid int, began uint64) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	file := os.NewFile(uintptr(fd), "first process of a container")
	stat, err := system.Stat(pid)
	if err == nil && stat.StartTime != began {
		err = errors.New("a container that has ended")
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
