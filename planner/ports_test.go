package planner_test

import (
	"strings"
	"testing"

	. "github.com/orlop/orlop/planner"
)

// A port that two services want is known before anything is built or made.
func TestAPortThatIsWantedTwiceIsRefused(t *testing.T) {
	p := load(t, "services:\n  a:\n    build: .\n    ports: [\"8080:80\"]\n  b:\n    image: busybox\n    ports:\n      - \"127.0.0.1:8080:81\"\n")
	_, err := Converge(p, &Observed{}, Options{})
	if err == nil || !strings.Contains(err.Error(), "stack.yaml:8:9: services.b.ports[0]: port 8080/tcp of this machine is taken: service a publishes it (stack.yaml:4:13)") {
		t.Errorf("got %v", err)
	}
	if _, err := Converge(p, &Observed{}, Options{Services: []string{"b"}}); err != nil {
		t.Errorf("b alone: %v", err)
	}
	if _, err := Converge(p, &Observed{}, Options{BuildOnly: true}); err != nil {
		t.Errorf("build: %v", err)
	}
}
