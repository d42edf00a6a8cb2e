package oci

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/spec"
)

// TestSeccompIsMobys holds the seccomp profile of a container with the default
// capabilities to testdata/seccomp.txt: what github.com/moby/profiles at the version
// that the file names gives. A newer version of it shows here what it changes.
//
// Risk seccomp: a container makes system calls that no program of its kind needs
// Held: Docker's default profile, always; AF_ALG and AF_VSOCK sockets, keyctl, mount and io_uring are refused
func TestSeccompIsMobys(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("needs amd64: the profile differs by architecture")
	}
	doc := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: defaultCaps}}}
	p, err := profile(doc, defaultCaps)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{"# github.com/moby/profiles/seccomp v0.2.3, read 2026-11-29", "default " + string(p.DefaultAction)}
	for _, call := range p.Syscalls {
		names := slices.Sorted(slices.Values(call.Names))
		args := ""
		for _, a := range call.Args {
			args += fmt.Sprintf(" arg%d %s %d", a.Index, a.Op, a.Value)
		}
		for _, name := range names {
			lines = append(lines, string(call.Action)+" "+name+args)
		}
	}
	slices.Sort(lines[2:])
	got := strings.Join(lines, "\n") + "\n"
	path := filepath.Join("testdata", "seccomp.txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("the profile is not that of %s (-update writes it): %v", path, err)
	}
	for _, name := range []string{"keyctl", "mount", "io_uring_setup", "bpf", "userfaultfd", "kexec_load", "init_module", "unshare", "setns"} {
		if strings.Contains(got, "ALLOW "+name+"\n") {
			t.Errorf("%s is allowed", name)
		}
	}
	for _, s := range []string{"ALLOW socket\n", "ALLOW socket arg0 SCMP_CMP_EQ 38\n", "ALLOW socket arg0 SCMP_CMP_EQ 40\n"} {
		if strings.Contains(got, s) {
			t.Errorf("AF_ALG or AF_VSOCK are allowed: %q", s)
		}
	}
}

// TestOnlyAPrivilegedServiceGoesWithoutSeccomp: only a privileged service goes without the profile.
func TestOnlyAPrivilegedServiceGoesWithoutSeccomp(t *testing.T) {
	for _, s := range []*spec.Service{{}, {CapAdd: []string{"ALL"}}, {NetworkMode: "host"}, {Security: spec.SecurityHardened}} {
		doc, _, err := Document(Input{Service: s, Image: &dockerspec.DockerOCIImageConfig{}, Args: []string{"x"}})
		if err != nil || doc.Linux.Seccomp == nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
}
