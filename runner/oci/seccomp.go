package oci

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// profiles caches seccomp profiles: they differ only by the capabilities.
var profiles sync.Map // joined capabilities -> *specs.LinuxSeccomp

// profile is Docker's default seccomp profile for a document, but for x32.
func profile(doc *specs.Spec, caps []string) (*specs.LinuxSeccomp, error) {
	key := strings.Join(caps, ",")
	if p, ok := profiles.Load(key); ok {
		return p.(*specs.LinuxSeccomp), nil
	}
	p, err := seccomp.GetDefaultProfile(doc)
	if err != nil {
		return nil, fmt.Errorf("cannot make the seccomp profile: %w", err)
	}
	p = withoutX32(p)
	profiles.Store(key, p)
	return p, nil
}

// withoutX32 is a seccomp profile that has no rules for the x32 ABI, whose
// calls then end the program: next to no kernel carries them out, and the rules
// cost each process of each container, and each probe, more time than all
// others together (docs/adr/seccomp-without-x32.md).
func withoutX32(p *specs.LinuxSeccomp) *specs.LinuxSeccomp {
	if p == nil {
		return nil
	}
	lean := *p
	lean.Architectures = slices.DeleteFunc(slices.Clone(p.Architectures), func(a specs.Arch) bool { return a == specs.ArchX32 })
	return &lean
}
