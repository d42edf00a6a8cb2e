package oci

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"tags.cncf.io/container-device-interface/pkg/cdi"

	"github.com/orlop/orlop/spec"
)

// TestDevicesOfADriverAreThoseThatItDescribes by a document of the Container Device Interface.
func TestDevicesOfADriverAreThoseThatItDescribes(t *testing.T) {
	dir := t.TempDir()
	text := `{"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": [
		{"name": "0", "containerEdits": {"env": ["GPU=0"]}}, {"name": "all", "containerEdits": {"env": ["GPU=all"], "deviceNodes": [{"path": "/dev/null"}]}}]}`
	if err := os.WriteFile(filepath.Join(dir, "nvidia.json"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	was := cdi.DefaultSpecDirs
	cdi.DefaultSpecDirs = []string{dir}
	defer func() { cdi.DefaultSpecDirs = was }()
	for name, c := range map[string]struct {
		service spec.Service
		env     string
		wrong   string
	}{
		"all":          {spec.Service{GPUs: []spec.DeviceRequest{{Count: -1}}}, "GPU=all", ""},
		"one":          {spec.Service{GPUs: []spec.DeviceRequest{{Count: 1}}}, "GPU=0", ""},
		"by its ID":    {spec.Service{GPUs: []spec.DeviceRequest{{IDs: []string{"0"}, Driver: "nvidia"}}}, "GPU=0", ""},
		"by name":      {spec.Service{Devices: []spec.Device{{Source: "nvidia.com/gpu=all"}}}, "GPU=all", ""},
		"the driver's": {spec.Service{GPUs: []spec.DeviceRequest{{IDs: []string{"nvidia.com/gpu=0"}, Driver: spec.DriverCDI}}}, "GPU=0", ""},
		"reserved": {spec.Service{Deploy: &spec.Deploy{Resources: &spec.Resources{Reservations: &spec.ResourceReservations{
			Devices: []spec.DeviceRequest{{Count: 2, Capabilities: []string{"gpu"}}}}}}}, "", "services.a.deploy.resources.reservations.devices[0]: this machine describes no device nvidia.com/gpu=1: " +
			"look for its driver's documents in /etc/cdi (of NVIDIA: nvidia-ctk cdi generate)"},
		"of another": {spec.Service{GPUs: []spec.DeviceRequest{{Count: -1, Driver: "amd"}}}, "", "services.a.gpus[0]: this machine describes no device amd.com/gpu=all: " +
			"look for its driver's documents in /etc/cdi (of NVIDIA: nvidia-ctk cdi generate)"},
	} {
		doc := &specs.Spec{Process: &specs.Process{}, Linux: &specs.Linux{Resources: &specs.LinuxResources{}}}
		c.service.Name = "a"
		err := devices(doc, &c.service)
		switch {
		case c.wrong != "" && (err == nil || err.Error() != c.wrong), c.wrong == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.env != "" && !slices.Contains(doc.Process.Env, c.env):
			t.Errorf("%s has %v", name, doc.Process.Env)
		}
	}
}
