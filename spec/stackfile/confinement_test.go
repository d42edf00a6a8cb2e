package stackfile

import (
	"path/filepath"
	"testing"
)

// TestASeccompProfileIsTakenAsItStands: a number of 64 bits rounded would be another filter.
func TestASeccompProfileIsTakenAsItStands(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "stack.yaml"), "services: {a: {image: x, security_opt: ['seccomp:p.json']}}\n")
	write(t, filepath.Join(dir, "p.json"), `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"args": [{"value": 9007199254740993, "valueTwo": 18446744073709551615}]}]}`)
	p, _, err := Load(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"args":[{"value":9007199254740993,"valueTwo":18446744073709551615}]}]}`
	if got := p.Services["a"].SeccompProfile; got != want {
		t.Errorf("the profile is %s", got)
	}
	write(t, filepath.Join(dir, "stack.yaml"), "services: {a: {image: x, security_opt: ['seccomp:none.json']}}\n")
	if _, _, err := Load(t.Context(), Options{Dir: dir, SkipPayloads: true}); err != nil {
		t.Errorf("where no payloads are asked for: %v", err)
	}
}
