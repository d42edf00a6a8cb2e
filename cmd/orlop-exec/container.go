//go:build cgo

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// containers are those that were asked for, as runc has noted them.
type containers struct {
	mu    sync.Mutex
	known map[string]known // guarded by mu; by the path of runc's note
}

// known is a container, and of which file.
type known struct {
	container *libcontainer.Container
	inode     uint64
	changed   time.Time
}

// mostKnown is how many containers are held at most.
const mostKnown = 1000

// load is a container that runc has made, read anew when runc has noted something else.
func (c *containers) load(state, id string) (*libcontainer.Container, error) {
	note := filepath.Join(state, id, "state.json")
	info, err := os.Stat(note)
	if err != nil {
		return nil, err
	}
	inode := info.Sys().(*syscall.Stat_t).Ino
	c.mu.Lock()
	k, ok := c.known[note]
	c.mu.Unlock()
	if ok && k.inode == inode && k.changed.Equal(info.ModTime()) {
		return k.container, nil
	}
	container, err := libcontainer.Load(state, id)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= mostKnown {
		c.known = map[string]known{}
	}
	c.known[note] = known{container, inode, info.ModTime()}
	return container, nil
}

// canJoin says why no process can join a container.
func canJoin(c *libcontainer.Container) error {
	status, err := c.Status()
	switch {
	case err != nil:
		return err
	case status == libcontainer.Stopped:
		return errors.New("cannot exec in a stopped container")
	case status == libcontainer.Paused:
		return errors.New("cannot exec in a paused container")
	default:
		return nil
	}
}

// processOf is a process of the OCI runtime specification as libcontainer has it.
func processOf(p *specs.Process) (*libcontainer.Process, error) {
	if p == nil || len(p.Args) == 0 || p.Terminal {
		return nil, errors.New("a process without a program, or with a terminal")
	}
	out := &libcontainer.Process{
		Args: p.Args, Env: p.Env, UID: int(p.User.UID), GID: int(p.User.GID), Cwd: p.Cwd, Label: p.SelinuxLabel, NoNewPrivileges: &p.NoNewPrivileges,
		AppArmorProfile: p.ApparmorProfile, Scheduler: p.Scheduler, IOPriority: p.IOPriority,
	}
	for _, g := range p.User.AdditionalGids {
		out.AdditionalGroups = append(out.AdditionalGroups, int(g))
	}
	if c := p.Capabilities; c != nil {
		out.Capabilities = &configs.Capabilities{Bounding: c.Bounding, Effective: c.Effective, Inheritable: c.Inheritable, Permitted: c.Permitted, Ambient: c.Ambient}
	}
	for _, l := range p.Rlimits {
		number, ok := rlimits[l.Type]
		if !ok {
			return nil, fmt.Errorf("unknown limit %s", l.Type)
		}
		out.Rlimits = append(out.Rlimits, configs.Rlimit{Type: number, Hard: l.Hard, Soft: l.Soft})
	}
	var err error
	out.CPUAffinity, err = configs.ConvertCPUAffinity(p.ExecCPUAffinity)
	return out, err
}

var rlimits = map[string]int{
	"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_CPU": unix.RLIMIT_CPU, "RLIMIT_DATA": unix.RLIMIT_DATA,
	"RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS, "RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK, "RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE,
	"RLIMIT_NICE": unix.RLIMIT_NICE, "RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_RSS": unix.RLIMIT_RSS,
	"RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO, "RLIMIT_RTTIME": unix.RLIMIT_RTTIME, "RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING, "RLIMIT_STACK": unix.RLIMIT_STACK,
}
