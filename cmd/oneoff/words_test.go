package oneoff

import (
	"errors"
	"fmt"
	"testing"

	"github.com/orlop/orlop/spec"
)

// TestAFlagIsNamedWhereAStackFileWouldBe: there is none to look into.
func TestAFlagIsNamedWhereAStackFileWouldBe(t *testing.T) {
	for text, want := range map[string]string{
		"services.a-1.devices[0]: this machine has no /dev/x":                                                                            "--device: this machine has no /dev/x",
		"<stdin>:1:178: services.a-1.runtime: the engine has no runtime \"x\"":                                                           "--runtime: the engine has no runtime \"x\"",
		"cannot prepare a-1: services.a-1.pid: no container of container \"b\" is there to share the PID namespace of: run \"orlop up\"": "cannot prepare a-1: --pid: no container \"b\" is there to share the PID namespace of: start it first",
		"services.b.devices[0]: of another":                                                                                              "services.b.devices[0]: of another",
		"image x for a-1 is not here and pull_policy is never: load it":                                                                  "image x for a-1 is not here and --pull is never: load it",
		"<stdin>:1:33: external network n does not exist: create it with \"orlop network create n\", or remove `external: true`":         "external network n does not exist: create it with \"orlop network create n\"",
		"the disk is full": "the disk is full",
	} {
		was := errors.New(text)
		got := reword(was, "a-1")
		if got.Error() != want || !errors.Is(got, was) {
			t.Errorf("%q is said as %q", text, got)
		}
	}
	mistakes := &spec.Mistakes{Diagnostics: spec.Diagnostics{
		{Severity: spec.Error, Path: "services.a-1.ports[0]", Message: `bad port "x"`, Hint: "write it so"},
		{Severity: spec.Error, Path: "services.a-1.healthcheck.interval", Message: "no duration"},
	}}
	if got := inWords(mistakes, "a-1").Error(); got != "--publish: bad port \"x\" (write it so)\n--health-interval: no duration" {
		t.Errorf("mistakes are said as %q", got)
	}
}

// TestGPUsAreReadAsDockerReadsThem and given to the container as a stack file gives them.
func TestGPUsAreReadAsDockerReadsThem(t *testing.T) {
	for text, want := range map[string]string{
		"all": "map[count:all]", "2": "map[count:2]", `"device=0,GPU-1"`: "map[device_ids:[0 GPU-1]]",
		"count=1,driver=nvidia,\"capabilities=compute,utility\"": "map[capabilities:[compute utility] count:1 driver:nvidia]",
		"some": "!", "x=1": "!", `"device=0`: "!",
	} {
		s := map[string]any{}
		err := (&Image{GPUs: text}).describeGPUs(s)
		got := "!"
		if err == nil {
			got = fmt.Sprint(s["gpus"].([]any)[0])
		}
		if got != want {
			t.Errorf("%s is %s, %v", text, got, err)
		}
	}
}
