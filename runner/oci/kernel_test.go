package oci

import (
	"slices"
	"testing"

	"github.com/orlop/orlop/spec"
)

// What this kernel can't do is told by its key, and only where it was asked for; which of
// them it is, the kernel says.
func TestWhatAKernelCannotDoIsTold(t *testing.T) {
	if got := unable(&spec.Service{}); len(got) > 0 {
		t.Errorf("of a service that asks for nothing it tells %v", got)
	}
	swappiness := spec.Bytes(10)
	for _, tt := range []struct {
		key     string
		service spec.Service
		can     bool
	}{
		{"mem_swappiness", spec.Service{MemSwappiness: &swappiness}, !isUnified()},
		{"oom_kill_disable", spec.Service{OOMKillDisable: true}, !isUnified()},
		{"memswap_limit", spec.Service{MemSwapLimit: 1 << 20}, countsSwap()},
		{"cpu_rt_runtime", spec.Service{CPURTRuntime: 1000}, hasRealtime()},
		{"cpu_rt_runtime", spec.Service{CPURTPeriod: 1000}, hasRealtime()},
		{"blkio_config.weight", spec.Service{BlkioConfig: &spec.BlkioConfig{Weight: 300}}, weighsDisks()},
		{"blkio_config.weight", spec.Service{BlkioConfig: &spec.BlkioConfig{WeightDevice: []spec.DeviceWeight{{Path: "/dev/sda", Weight: 300}}}}, weighsDisks()},
	} {
		got := unable(&tt.service)
		told := slices.ContainsFunc(got, func(w Warning) bool { return w.Key == tt.key && w.Text != "" })
		if told == tt.can || len(got) > 1 {
			t.Errorf("%s, which this kernel can do: %t; it tells %v", tt.key, tt.can, got)
		}
	}
}
