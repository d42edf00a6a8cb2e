package cluster

import (
	"errors"
	"fmt"
	"os"

	"github.com/orlop/orlop/e2e/cluster/machine"
)

// nameService makes the name server, which is no pod, the Service that pods ask.
const nameService = `
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: ` + names + `
  ports:
    - {name: dns, protocol: UDP, port: 53}
    - {name: dns-tcp, protocol: TCP, port: 53}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns-node, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
endpoints:
  - {addresses: [` + machine.Address + `], conditions: {ready: true}}
ports:
  - {name: dns, protocol: UDP, port: 53}
  - {name: dns-tcp, protocol: TCP, port: 53}
`

// configure writes the files that the programs read.
func (c *Cluster) configure() error {
	ca, err := writeKeys(c.path("etc"))
	if err != nil {
		return err
	}
	write := func(name, format string, a ...any) error {
		return os.WriteFile(c.path("etc/"+name), fmt.Appendf(nil, format, a...), 0o600)
	}
	return errors.Join(
		write("kubeconfig", "%s", Kubeconfig("https://"+API, ca, adminsKey, "default")),
		write("tokens.csv", "%s,admin,1,system:masters\n", adminsKey),
		write("resolv.conf", ""),
		write("registry.yml", "version: 0.1\nlog: {level: warn}\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\nhttp: {addr: %q}\n", c.path("registry"), Registry),
		write("containerd.toml", containerdConfig, c.path("containerd"), c.path("containerd-state"), c.path("containerd.sock"), c.Programs, c.path("cni"), Registry+"/"+pauseName),
		os.WriteFile(c.path("cni/10-pods.conflist"), []byte(podNetwork), 0o600),
		write("kubelet.yaml", kubeletConfig, c.path("containerd.sock"), c.path("etc/resolv.conf"), names, c.path("log/pods"), c.path("kubelet-plugins")),
		write("proxy.yaml", proxyConfig, c.Kubeconfig(), pods),
		write("Corefile", nameServerConfig, c.Kubeconfig()),
	)
}

// Kubeconfig is one for a token, at a server whose authority is given in base64.
func Kubeconfig(server, authority, token, namespace string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
clusters:
  - {name: test, cluster: {server: %q, certificate-authority-data: %s}}
users:
  - {name: user, user: {token: %s}}
contexts:
  - {name: test, context: {cluster: test, user: user, namespace: %s}}
current-context: test
`, server, authority, token, namespace)
}

const containerdConfig = `version = 3
root = %q
state = %q
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]

[grpc]
address = %q

[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [%q]
conf_dir = %q
use_internal_loopback = true

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = %q
`

// Each pod has a link of its own to the node, so that all that goes from pod to pod is forwarded, where policies are enforced.
const podNetwork = `{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp",
  "ipam": {"type": "host-local", "ranges": [[{"subnet": "` + pods + `"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "/run/cni"}}]}
`

// Its own cgroups are the machine's; pods are not told apart by quality of service.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://%s
resolvConf: %s
clusterDNS: [%s]
clusterDomain: cluster.local
podLogsDir: %s
volumePluginDir: %s
failCgroupV1: false
failSwapOn: false
cgroupDriver: cgroupfs
cgroupRoot: /
cgroupsPerQOS: false
enforceNodeAllocatable: []
authentication: {webhook: {enabled: false}, anonymous: {enabled: true}}
authorization: {mode: AlwaysAllow}
evictionHard: {memory.available: 1Mi, nodefs.available: 0.1%%, imagefs.available: 0.1%%, nodefs.inodesFree: 0.1%%}
imageGCHighThresholdPercent: 100
serializeImagePulls: false
registryPullQPS: 0
eventRecordQPS: 0
crashLoopBackOff: {maxContainerRestartPeriod: 5s}
`

const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: %s}
mode: nftables
clusterCIDR: %s
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
nftables: {minSyncPeriod: 50ms}
`

const nameServerConfig = `. {
	bind ` + machine.Address + `
	errors
	ready 127.0.0.1:8181
	kubernetes cluster.local in-addr.arpa {
		kubeconfig %s
		ttl 1
	}
}
`
