package cmd_test

import (
	"strings"
	"testing"
)

// TestWhatIsOnlyOnceIsNotScaled holds that --scale is refused where the file
// fixes a name or an address, as more replicas in the file are.
func TestWhatIsOnlyOnceIsNotScaled(t *testing.T) {
	file := "services:\n  named: {image: a, container_name: me}\n  placed: {image: a, networks: {n: {ipv4_address: 10.5.0.2}}}\n  free: {image: a}\n" +
		"networks: {n: {ipam: {config: [{subnet: 10.5.0.0/24}]}}}\n"
	for line, want := range map[string]string{
		"up -d --scale named=2":  "--scale named=2: replicas cannot share one container_name (stack.yaml:2:37)",
		"plan --scale placed=3":  "--scale placed=3: replicas cannot share one ipv4_address (stack.yaml:3:51)",
		"up -d --scale placed=1": "",
		"up -d --scale free=2":   "",
	} {
		_, stderr, code := newDesk(t, file).serve().run(line)
		if (code == 0) != (want == "") || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %s", line, code, stderr)
		}
	}
}
