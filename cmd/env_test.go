package cmd_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/orlop/orlop/planner"
)

func published() []planner.Container {
	both := func(port, target int) []planner.Binding {
		return []planner.Binding{{HostIP: "0.0.0.0", HostPort: port, Target: target, Protocol: "tcp"}, {HostIP: "::", HostPort: port, Target: target, Protocol: "tcp"}}
	}
	return []planner.Container{
		{Service: "db", Number: 1, Published: []planner.Binding{{HostIP: "127.0.0.2", HostPort: 15432, Target: 5432, Protocol: "tcp"}}},
		{Service: "dns-1", Number: 1, Published: []planner.Binding{{HostIP: "::1", HostPort: 5353, Target: 53, Protocol: "udp"}}},
		{Service: "web", Number: 1, Published: append(both(41001, 80), both(41009, 80)...)},
		{Service: "web", Number: 2, Published: both(41002, 80)},
		{Service: "web", Number: 1, OneOff: true, Published: both(41003, 80)},
	}
}

const publishing = shop + "  dns-1: {image: dns}\n"

func TestEnvNamesWherePortsAre(t *testing.T) {
	d := newDesk(t, publishing).serve()
	d.engine.observed.Containers = published()
	for line, want := range map[string]string{
		"env": "DB_5432_PORT=15432\nDB_5432_ADDRESS=127.0.0.2:15432\nDB_5432_URL=tcp://127.0.0.2:15432\n" +
			"DNS_1_53_UDP_PORT=5353\nDNS_1_53_UDP_ADDRESS=[::1]:5353\nDNS_1_53_UDP_URL=udp://[::1]:5353\n" +
			"WEB_80_PORT=41001\nWEB_80_ADDRESS=127.0.0.1:41001\nWEB_80_URL=http://127.0.0.1:41001\n" +
			"WEB_2_80_PORT=41002\nWEB_2_80_ADDRESS=127.0.0.1:41002\nWEB_2_80_URL=http://127.0.0.1:41002\n",
		"env --format shell db": "export DB_5432_PORT='15432'\nexport DB_5432_ADDRESS='127.0.0.2:15432'\nexport DB_5432_URL='tcp://127.0.0.2:15432'\n",
		"env --format json db":  "{\n  \"DB_5432_ADDRESS\": \"127.0.0.2:15432\",\n  \"DB_5432_PORT\": \"15432\",\n  \"DB_5432_URL\": \"tcp://127.0.0.2:15432\"\n}\n",
		"port --json db": "[\n  {\n    \"service\": \"db\",\n    \"index\": 1,\n    \"target\": 5432,\n    \"protocol\": \"tcp\",\n" +
			"    \"host\": \"127.0.0.2\",\n    \"port\": 15432,\n    \"url\": \"tcp://127.0.0.2:15432\"\n  }\n]\n",
	} {
		stdout, stderr, _ := d.run(line)
		equal(t, line, stdout+stderr, want)
	}
}

func TestEnvWritesAFileInOneStep(t *testing.T) {
	d := newDesk(t, publishing).serve()
	d.engine.observed.Containers = published()
	path := filepath.Join(d.dir, "test.env")
	if err := os.WriteFile(path, []byte("OLD=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if stdout, stderr, code := d.run("env --file test.env db"); code != 0 || stdout+stderr != "" {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the file", string(text), "DB_5432_PORT=15432\nDB_5432_ADDRESS=127.0.0.2:15432\nDB_5432_URL=tcp://127.0.0.2:15432\n")
	if left, _ := filepath.Glob(filepath.Join(d.dir, ".test.env.*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if _, stderr, code := d.run("env --file no/such/file"); code != 1 || stderr == "" {
		t.Errorf("a directory that is not there: exit code %d, %q", code, stderr)
	}
}
