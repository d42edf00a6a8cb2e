package oci

import (
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
