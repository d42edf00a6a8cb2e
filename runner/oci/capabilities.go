package oci

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/moby/sys/capability"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/spec"
)

// defaultCaps are the capabilities that Docker gives a container.
var defaultCaps = []string{
	"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
	"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
}

// hardenedCaps are those that podman gives: not CAP_MKNOD, CAP_NET_RAW and
// CAP_AUDIT_WRITE (containers/common, pkg/config/default.go).
var hardenedCaps = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE",
	"CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
}

// allCaps are the capabilities that the engine has itself and so can give.
var allCaps = sync.OnceValue(func() []string {
	own, err := capability.NewPid2(0)
	if err != nil || own.Load() != nil {
		return nil
	}
	var caps []string
	for _, c := range capability.ListKnown() {
		if own.Get(capability.BOUNDING, c) {
			caps = append(caps, "CAP_"+strings.ToUpper(c.String()))
		}
	}
	return caps
})

// mayRaiseLimits says whether hard limits may be raised.
func mayRaiseLimits() bool { return slices.Contains(allCaps(), "CAP_SYS_RESOURCE") }

// capabilities are the default ones with cap_add and cap_drop applied, ALL
// first (Compose Specification, cap_add and cap_drop).
func capabilities(s *spec.Service) ([]string, error) {
	all := allCaps()
	if s.Privileged {
		return all, nil
	}
	set := map[string]bool{}
	add, addAll, err := capNames(s.CapAdd, all)
	if err != nil {
		return nil, err
	}
	drop, dropAll, err := capNames(s.CapDrop, all)
	if err != nil {
		return nil, err
	}
	base := defaultCaps
	if s.Security == spec.SecurityHardened {
		base = hardenedCaps
	}
	if dropAll {
		base = nil
	}
	if addAll {
		base = all
	}
	for _, c := range base {
		set[c] = true
	}
	for _, c := range drop {
		delete(set, c)
	}
	for _, c := range add {
		set[c] = true
	}
	var caps []string
	for _, c := range all {
		if set[c] {
			caps = append(caps, c)
		}
	}
	return caps, nil
}

func capNames(names, known []string) (list []string, all bool, err error) {
	for _, n := range names {
		n = strings.ToUpper(n)
		if n == "ALL" {
			all = true
			continue
		}
		if !strings.HasPrefix(n, "CAP_") {
			n = "CAP_" + n
		}
		if !slices.Contains(known, n) {
			return nil, false, fmt.Errorf("no capability named %s: see capabilities(7), or leave it out", n)
		}
		list = append(list, n)
	}
	return list, all, nil
}

// privilege gives a container the host's devices and takes the masks off.
func privilege(doc *specs.Spec) error {
	doc.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	return filepath.WalkDir("/dev", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if d.IsDir() {
			switch path {
			case "/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd":
				return fs.SkipDir
			}
			return nil
		}
		if path == "/dev/console" || path == "/dev/ptmx" {
			return nil
		}
		if node, ok := deviceAt(path, path); ok {
			doc.Linux.Devices = append(doc.Linux.Devices, node)
		}
		return nil
	})
}
