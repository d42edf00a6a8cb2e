package stackfile

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

// What no kernel takes of a service's resources, or what contradicts itself, is refused
// where it stands.
func TestResourcesThatCannotBeAreRefused(t *testing.T) {
	const host = "it is a parameter of the whole machine"
	for service, want := range map[string]string{
		"sysctls: {kernel.panic: 1}":                                               "services.a.sysctls.kernel.panic: " + host,
		"sysctls: [vm.swappiness=10]":                                              "services.a.sysctls.vm.swappiness: " + host,
		"sysctls: {fs.file-max: 1}":                                                "services.a.sysctls.fs.file-max: " + host,
		"sysctls: {kernel.shmmaxx: 1}":                                             "services.a.sysctls.kernel.shmmaxx: " + host,
		"sysctls: {net.core.somaxconn: }":                                          "services.a.sysctls.net.core.somaxconn: a value is missing",
		"sysctls: {net.core.somaxconn: 1}, network_mode: host":                     "it is the host's, whose network the service uses",
		"sysctls: {net.core.somaxconn: 1, kernel.msgmax: 1, fs.mqueue.msg_max: 5}": "",
		"sysctls: {kernel.shmmax: 1}, network_mode: host":                          "",
		"sysctls: {kernel.shmmax: 1}, ipc: host":                                   "services.a.sysctls.kernel.shmmax: it is the host's, whose IPC namespace the service has",
		"sysctls: {fs.mqueue.msg_max: 5}, ipc: host":                               "services.a.sysctls.fs.mqueue.msg_max: it is the host's",
		"sysctls: {kernel.domainname: x}, ipc: host":                               "",
		"security_opt: ['no-new-privileges:True', writable-cgroups=0, disable]":    "",
		"security_opt: ['no-new-privileges:maybe']":                                "(write no-new-privileges=true, or no-new-privileges=false)",
		"uts: '', hostname: web, userns_mode: '', cgroup: '', pid: ''":             "",
		"uts: hots": "services.a.uts: \"hots\" is not one of host (",
		"pids_limit: 50, deploy: {resources: {limits: {pids: 60}}}":                            "services.a.deploy.resources.limits.pids: pids is 60, and pids_limit is 50",
		"cpus: 1, deploy: {resources: {limits: {cpus: '0.5'}}}":                                "services.a.deploy.resources.limits.cpus: cpus is 0.5, and cpus is 1",
		"mem_limit: 8m, deploy: {resources: {limits: {memory: 9m}}}":                           "services.a.deploy.resources.limits.memory: memory is",
		"mem_reservation: 8m, deploy: {resources: {reservations: {memory: 9m}}}":               "services.a.deploy.resources.reservations.memory: memory is",
		"cpus: 0.50, deploy: {resources: {limits: {cpus: '0.5'}}}":                             "",
		"mem_limit: 8m, deploy: {resources: {limits: {memory: 8192k}}}":                        "",
		"mem_limit: 8m, memswap_limit: 7m":                                                     "services.a.memswap_limit: 7340032 is less than the limit of memory, 8388608",
		"memswap_limit: 7m":                                                                    "services.a.memswap_limit: memory and swap have a limit together",
		"deploy: {resources: {limits: {memory: 8m}}}, memswap_limit: 7m":                       "services.a.memswap_limit: 7340032 is less",
		"mem_limit: 8m, memswap_limit: -1":                                                     "",
		"mem_limit: 8m, memswap_limit: 8m":                                                     "",
		"mem_limit: 8m, mem_reservation: 9m":                                                   "services.a.mem_reservation: 9437184 is more than the limit, 8388608",
		"deploy: {resources: {limits: {memory: 8m}, reservations: {memory: 9m}}}":              "services.a.deploy.resources.reservations.memory: 9437184 is more than the limit",
		"mem_reservation: 9m":                                                                  "",
		"mem_limit: 9m, mem_reservation: 9m":                                                   "",
		"blkio_config: {weight: 9}":                                                            "services.a.blkio_config.weight: 9 is below 10",
		"blkio_config: {weight: 1001}":                                                         "services.a.blkio_config.weight: 1001 is above 1000",
		"blkio_config: {weight_device: [{path: /dev/sda, weight: 5}]}":                         "services.a.blkio_config.weight_device[0].weight: 5 is below 10",
		"blkio_config: {device_read_bps: [{path: sda, rate: 1mb}]}":                            "services.a.blkio_config.device_read_bps[0].path: \"sda\" is not the path of a device",
		"blkio_config: {device_write_iops: [{path: /dev/sda, rate: 1}, {path: zda, rate: 1}]}": "services.a.blkio_config.device_write_iops[1].path: \"zda\" is not the path of a device",
		"blkio_config: {weight: 10, device_read_bps: [{path: /dev/sda, rate: 1mb}]}":           "",
		"mem_swappiness: 101":                                                                  "services.a.mem_swappiness: 101 is above 100",
		"oom_score_adj: -1001":                                                                 "services.a.oom_score_adj: -1001 is below -1000",
		"pids_limit: -2":                                                                       "services.a.pids_limit: -2 is below -1",
		"pids_limit: 4194305":                                                                  "services.a.pids_limit: 4194305 is above 4194304",
		"deploy: {resources: {limits: {pids: 4194305}}}":                                       "services.a.deploy.resources.limits.pids: 4194305 is above 4194304",
		"labels: {'': x}":                                                                      "services.a.labels: a label has no name",
		"pids_limit: -1":                                                                       "",
		"cpu_shares: 262145":                                                                   "services.a.cpu_shares: 262145 is above 262144",
		"cpu_period: 999":                                                                      "services.a.cpu_period: 999 is below 1000",
		"cpu_rt_runtime: 2000000000":                                                           "services.a.cpu_rt_runtime: 2000000000 is above 1000000000",
	} {
		switch got := mistakesOf(t, "services: {a: {image: a, "+service+"}}"); {
		case want == "" && got != "":
			t.Errorf("%s is refused: %s", service, got)
		case !strings.Contains(got, want):
			t.Errorf("%s: %q does not say %q", service, got, want)
		}
	}
}

// Each device of a list has its limit; the later of two for one device stands.
func TestEachDeviceIsLimited(t *testing.T) {
	p, _, err := Load(context.Background(), Options{Dir: os.TempDir(), ProjectDirectory: "/nowhere", Files: []string{"-"}, SkipPayloads: true,
		Stdin: strings.NewReader(`services: {a: {image: a, blkio_config: {
  device_read_bps: [{path: /dev/a, rate: 1}, {path: /dev/b, rate: 2}, {path: /dev/a, rate: 3}],
  weight_device: [{path: /dev/a, weight: 10}, {path: /dev/b, weight: 20}]}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	got := p.Services["a"].BlkioConfig
	if want := []spec.DeviceRate{{Path: "/dev/a", Rate: 3}, {Path: "/dev/b", Rate: 2}}; !slices.Equal(got.DeviceReadBps, want) {
		t.Errorf("limits are %v, want %v", got.DeviceReadBps, want)
	}
	if want := []spec.DeviceWeight{{Path: "/dev/a", Weight: 10}, {Path: "/dev/b", Weight: 20}}; !slices.Equal(got.WeightDevice, want) {
		t.Errorf("weights are %v, want %v", got.WeightDevice, want)
	}
}
