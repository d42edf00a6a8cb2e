//go:build cgo

package joiner

import (
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runc/libcontainer"
)

// version changes with what joiner.c reads.
const version = 0x6f6a0002

// The flags of a record.
const (
	noNewPrivileges = 1 << iota
	hasUmask
	hasKeyring
	hasOOMScore
)

// head is struct record in joiner.c.
type head struct {
	Version, Size                                                      uint32
	Bounding, Effective, Permitted, Inheritable, Ambient               uint64
	Namespaces, Flags                                                  uint32
	Umask, UID, GID, LastCapability, FilterFlags                       uint32
	Limits, Instructions, Groups, Cgroups, Arguments, Environment, Pad uint32
}

// record is what joiner.c is told of a process: a head, and what it counts.
func (c *Container) record(p *libcontainer.Process) ([]byte, error) {
	if err := plainProcess(p, &c.config); err != nil {
		return nil, err
	}
	env, err := environment(p.Env)
	if err != nil {
		return nil, err
	}
	limits := c.config.Rlimits
	if len(p.Rlimits) > 0 {
		limits = p.Rlimits
	}
	joined := c.cgroups
	if c.isCgroup2 { // it is born there
		joined = nil
	}
	h := head{
		Version: version, Namespaces: uint32(c.namespaces), UID: uint32(p.UID), GID: uint32(p.GID), FilterFlags: c.filterFlags,
		Limits: uint32(len(limits)), Instructions: uint32(len(c.filter) / 8), Groups: uint32(len(p.AdditionalGroups)), Cgroups: uint32(len(joined)),
		Arguments: uint32(len(p.Args)), Environment: uint32(len(env)),
	}
	c.setCapabilities(&h, p)
	strs := []string{c.setFlags(&h, p), "_ses." + c.id, p.Cwd}
	strs = slices.Concat(strs, joined, p.Args, env)

	var rest []byte
	for _, l := range limits {
		rest = binary.NativeEndian.AppendUint32(rest, uint32(l.Type))
		rest = binary.NativeEndian.AppendUint32(rest, 0)
		rest = binary.NativeEndian.AppendUint64(rest, l.Soft)
		rest = binary.NativeEndian.AppendUint64(rest, l.Hard)
	}
	rest = append(rest, c.filter...)
	for _, g := range p.AdditionalGroups {
		rest = binary.NativeEndian.AppendUint32(rest, uint32(g))
	}
	for _, s := range strs {
		if strings.IndexByte(s, 0) >= 0 {
			return nil, errors.New("a process with a zero byte in what it is told")
		}
		rest = append(append(rest, s...), 0)
	}
	h.Size = uint32(len(rest))
	out, err := binary.Append(nil, binary.NativeEndian, h)
	return append(out, rest...), err
}

// setFlags returns the score for when memory is short.
func (c *Container) setFlags(h *head, p *libcontainer.Process) (score string) {
	is := c.config.NoNewPrivileges
	if p.NoNewPrivileges != nil {
		is = *p.NoNewPrivileges
	}
	if is {
		h.Flags |= noNewPrivileges
	}
	if !c.config.NoNewKeyring {
		h.Flags |= hasKeyring
	}
	if u := c.config.Umask; u != nil {
		h.Flags |= hasUmask
		h.Umask = *u
	}
	if s := c.config.OomScoreAdj; s != nil {
		h.Flags |= hasOOMScore
		score = strconv.Itoa(*s)
	}
	return score
}

func (c *Container) setCapabilities(h *head, p *libcontainer.Process) {
	caps := c.config.Capabilities
	if p.Capabilities != nil {
		caps = p.Capabilities
	}
	for _, number := range c.capabilities {
		h.LastCapability = max(h.LastCapability, uint32(number))
	}
	h.Bounding, h.Effective, h.Permitted = c.set(caps.Bounding), c.set(caps.Effective), c.set(caps.Permitted)
	h.Inheritable, h.Ambient = c.set(caps.Inheritable), c.set(caps.Ambient)
}

// set leaves out what this kernel does not know.
func (c *Container) set(names []string) (bits uint64) {
	for _, name := range names {
		if number, ok := c.capabilities[name]; ok {
			bits |= 1 << number
		}
	}
	return bits
}

// environment is that of a program: of a variable that is named twice, the last. It needs HOME, which
// libcontainer looks up in the container.
func environment(env []string) ([]string, error) {
	var out []string
	seen := map[string]bool{}
	for _, e := range slices.Backward(env) {
		name, value, ok := strings.Cut(e, "=")
		if !ok || name == "" {
			return nil, errors.New("a process with a variable that has no name or no value")
		}
		if seen[name] {
			continue
		}
		seen[name] = true
		if name == "HOME" && value == "" {
			return nil, errors.New("a process without a home directory")
		}
		out = append(out, e)
	}
	if !seen["HOME"] {
		return nil, errors.New("a process without a home directory")
	}
	slices.Reverse(out)
	return out, nil
}
