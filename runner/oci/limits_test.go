package oci

import (
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

func TestLimitsThatTheKernelWouldRefuse(t *testing.T) {
	for cpus, want := range map[float64]string{0.001: "services.web.cpus: 0.001 is too little: 0.01 is the least", 0.01: "", 0: ""} {
		if err := Check("web", &spec.Service{CPUs: cpus}); want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%g: %v", cpus, err)
		}
	}
}

// TestMoreProcessorsThanThereAre: Docker refuses them too.
func TestMoreProcessorsThanThereAre(t *testing.T) {
	has := float64(len(cpuNumbers(processors())))
	for _, s := range []*spec.Service{{CPUs: has}, {}} {
		if err := Check("web", s); err != nil {
			t.Error(err)
		}
	}
	deployed := &spec.Service{Deploy: &spec.Deploy{Resources: &spec.Resources{Limits: &spec.ResourceLimits{CPUs: has + 1}}}}
	for key, s := range map[string]*spec.Service{"cpus": {CPUs: has + 0.5}, "deploy.resources.limits.cpus": deployed} {
		err := Check("web", s)
		if err == nil || !strings.HasPrefix(err.Error(), "services.web."+key+": ") || !strings.Contains(err.Error(), "this machine has") {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// TestOfAChangeThatWasCutOffAllIsLifted: what is on record may not be what the kernel has.
func TestOfAChangeThatWasCutOffAllIsLifted(t *testing.T) {
	sure, unsure := Limits(&spec.Service{CPUs: 1}, &spec.Service{}), Limits(&spec.Service{CPUs: 1}, nil)
	if sure.CPU.Shares != nil || sure.CPU.Cpus != "" || sure.Memory.Reservation != nil {
		t.Errorf("lifted is what it never had: %+v, %+v", sure.CPU, sure.Memory)
	}
	if unsure.CPU.Shares == nil || *unsure.CPU.Shares != sharesDefault || unsure.CPU.Cpus == "" || unsure.Memory.Reservation == nil {
		t.Errorf("not lifted is what it may have: %+v, %+v", unsure.CPU, unsure.Memory)
	}
}
