package join

import (
	"slices"
	"testing"

	"github.com/opencontainers/runc/libcontainer/configs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestProcessIsAsItsDocumentSays(t *testing.T) {
	doc := &specs.Process{
		Args: []string{"true"}, Env: []string{"A=b"}, Cwd: "/x", NoNewPrivileges: true, ApparmorProfile: "a", ConsoleSize: &specs.Box{Width: 80, Height: 24},
		User:         specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{5, 6}},
		Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}, Ambient: []string{"CAP_CHOWN"}},
		Rlimits:      []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 10, Hard: 20}},
	}
	p, err := ProcessOf(doc)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.Args, doc.Args) || !slices.Equal(p.Env, doc.Env) || p.Cwd != "/x" || p.UID != 1000 || p.GID != 1001 || !slices.Equal(p.AdditionalGroups, []int{5, 6}) ||
		!*p.NoNewPrivileges || p.AppArmorProfile != "a" || p.ConsoleWidth != 80 || p.ConsoleHeight != 24 || !slices.Equal(p.Capabilities.Bounding, []string{"CAP_KILL"}) ||
		!slices.Equal(p.Capabilities.Ambient, []string{"CAP_CHOWN"}) || len(p.Capabilities.Effective) > 0 || !slices.Equal(p.Rlimits, []configs.Rlimit{{Type: unix.RLIMIT_NOFILE, Soft: 10, Hard: 20}}) {
		t.Errorf("%+v", p)
	}
	for what, doc := range map[string]*specs.Process{
		"none": nil, "no program": {Cwd: "/"}, "no directory": {Args: []string{"sh"}}, "half a directory": {Args: []string{"sh"}, Cwd: "x"},
		"an unknown limit": {Args: []string{"true"}, Cwd: "/", Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_LOVE"}}},
	} {
		if _, err := ProcessOf(doc); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
}
