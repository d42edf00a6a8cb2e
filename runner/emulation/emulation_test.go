package emulation

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

const (
	arm64 = "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: OCF\noffset 0\nmagic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n"
	s390x = "enabled\ninterpreter /usr/bin/qemu-s390x-static\nflags: F\noffset 0\nmagic 7f454c4602020100000000000000000000020016\n"
)

func TestWhatAnEntryOfTheRegistryStandsFor(t *testing.T) {
	for name, c := range map[string]struct{ entry, want string }{
		"arm64":           {arm64, "arm64"},
		"s390x":           {s390x, "s390x"},
		"not held open":   {strings.Replace(arm64, "OCF", "OC", 1), ""},
		"turned off":      {strings.Replace(arm64, "enabled", "disabled", 1), ""},
		"by an extension": {"enabled\ninterpreter /usr/bin/wine\nflags: F\nextension .exe\n", ""},
		"no program":      {"enabled\ninterpreter /usr/bin/x\nflags: F\noffset 0\nmagic 4d5a\n", ""},
		"nothing":         {"", ""},
	} {
		if got := architecture(c.entry); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestWhichServicesThisMachineDoesNotRun(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"status": "enabled\n", "register": "", "qemu-s390x": s390x} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := &spec.Project{Services: map[string]*spec.Service{
		"own": {}, "named": {Platform: Machine()}, "emulated": {Platform: "linux/s390x"}, "not": {Platform: "linux/mips64le"}, "no Linux": {Platform: "windows/s390x"},
		"several": {Build: &spec.Build{Platforms: []string{"linux/mips64le", Machine()}}}, "others": {Build: &spec.Build{Platforms: []string{"linux/mips64le"}}},
	}}
	got := foreign(p, dir)
	if len(got) != 3 || got["no Linux"] != "windows/s390x" || got["not"] != "linux/mips64le" || got["others"] != "linux/mips64le" {
		t.Errorf("%v", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "status"), []byte("disabled\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := foreign(p, dir); got["emulated"] == "" {
		t.Errorf("with the registry turned off: %v", got)
	}
	if got := foreign(p, dir+"/none"); got["emulated"] == "" {
		t.Errorf("without a registry: %v", got)
	}
}
