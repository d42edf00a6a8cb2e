package oci

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/spec"
)

// confine puts a container's confinement into its document: what it may call, what
// of /proc and /sys it sees, and what its programs may become. A privileged one has
// what security_opt says, and no more.
func confine(doc *specs.Spec, s *spec.Service, caps []string) (err error) {
	c := s.Confinement()
	doc.Process.NoNewPrivileges = doc.Process.NoNewPrivileges || c.NoNewPrivileges
	if c.AppArmor != "" && c.AppArmor != spec.Unconfined {
		if !hasAppArmor() {
			return &KeyError{Service: s.Name, Key: "security_opt", Text: fmt.Sprintf("this kernel has no AppArmor to confine it by %q", c.AppArmor)}
		}
		doc.Process.ApparmorProfile = c.AppArmor
	}
	if c.WritableCgroups != nil {
		access := map[bool]string{true: "rw", false: "ro"}[*c.WritableCgroups]
		for i, m := range doc.Mounts {
			if m.Destination == "/sys/fs/cgroup" {
				doc.Mounts[i].Options = append(slices.DeleteFunc(slices.Clone(m.Options), func(o string) bool { return o == "ro" || o == "rw" }), access)
			}
		}
	}
	if !s.Privileged && !c.SystemPaths {
		doc.Linux.MaskedPaths = append(slices.Clone(maskedPaths), thermalPaths()...)
		doc.Linux.ReadonlyPaths = readonlyPaths
	}
	switch {
	case c.Seccomp == spec.Unconfined, c.Seccomp == "" && s.Privileged:
		return nil
	case c.Seccomp != "":
		if doc.Linux.Seccomp, err = seccomp.LoadProfile(c.Seccomp, doc); err != nil {
			return &KeyError{Service: s.Name, Key: "security_opt", Text: "cannot use the seccomp profile: " + err.Error(), Err: err}
		}
		return nil
	}
	doc.Linux.Seccomp, err = profile(doc, caps)
	return err
}

// hasAppArmor says that the kernel confines programs by AppArmor.
var hasAppArmor = sync.OnceValue(func() bool {
	text, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return err == nil && strings.HasPrefix(string(text), "Y")
})
