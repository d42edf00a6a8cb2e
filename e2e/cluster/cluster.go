// Package cluster runs a Kubernetes cluster of one node on a machine of namespaces, for tests: an API server with its store and
// controllers, and, if it is asked for, a node that runs pods, with Services, names, volumes, network policies and a registry.
package cluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/orlop/orlop/e2e/cluster/machine"
)

// Addresses that every cluster has: its machine is its own.
const (
	API       = machine.Address + ":6443"
	Registry  = "127.0.0.1:5000"
	services  = "10.96.0.0/16"
	names     = "10.96.0.10" // of the name server's Service
	pods      = "10.244.0.0/24"
	nodeName  = "n1"
	adminsKey = "admin"
)

// Options say what a cluster is made of.
type Options struct {
	Dir      string // where all that it writes is; it must be of a file system that overlays can be on
	Programs string // where node, ptp and host-local are
	Shims    string // where containerd-shim-runc-v2 and runc are; only for a node
	HasNode  bool
	OldAPI   string // program in place of node for the API server, if it is to be another
}

// Cluster is one that runs.
type Cluster struct {
	Options
	mu      sync.Mutex
	running []*process // in the order of their start
}

type process struct {
	name  string
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has
}

// Start starts a cluster, and returns when it is ready. Whatever has been started is stopped when it fails.
func Start(ctx context.Context, o Options) (_ *Cluster, err error) {
	c := &Cluster{Options: o}
	defer func() {
		if err != nil {
			c.Stop()
		}
	}()
	for _, dir := range []string{"log", "etc", "etcd", "volumes", "registry", "kubelet", "cni", "containerd", "containerd-state"} {
		if err := os.MkdirAll(c.path(dir), 0o755); err != nil {
			return nil, err
		}
	}
	if err := c.configure(); err != nil {
		return nil, err
	}
	if err := c.startControl(ctx); err != nil {
		return nil, err
	}
	if c.HasNode {
		if err := c.startNode(ctx); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Kubeconfig is the file by which whoever may do everything reaches the API server.
func (c *Cluster) Kubeconfig() string { return c.path("etc/kubeconfig") }

// Kubectl runs kubectl as the admin.
func (c *Cluster) Kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	k := exec.CommandContext(ctx, filepath.Join(c.Programs, "node"), append([]string{"kubectl"}, args...)...)
	k.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig())
	k.Stdin = strings.NewReader(stdin)
	out, err := k.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Stop ends all processes, last started first.
func (c *Cluster) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range slices.Backward(c.running) {
		_ = p.cmd.Process.Kill() // nothing of it is needed again
		<-p.ended
	}
	c.running = nil
}

func (c *Cluster) path(name string) string { return filepath.Join(c.Dir, name) }

func (c *Cluster) startControl(ctx context.Context) error {
	server := "node"
	if c.OldAPI != "" {
		server = c.OldAPI
	}
	if err := c.start("node", "etcd", "--data-dir", c.path("etcd"), "--unsafe-no-fsync", "--listen-client-urls", "http://127.0.0.1:2379",
		"--advertise-client-urls", "http://127.0.0.1:2379", "--listen-peer-urls", "http://127.0.0.1:2380", "--log-level", "warn"); err != nil {
		return err
	}
	if err := c.start(server, "kube-apiserver", "--etcd-servers", "http://127.0.0.1:2379", "--bind-address", "0.0.0.0", "--secure-port", "6443",
		"--advertise-address", machine.Address, "--tls-cert-file", c.path("etc/server.crt"), "--tls-private-key-file", c.path("etc/server.key"),
		"--cert-dir", c.path("etc"), "--service-account-issuer", "https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file", c.path("etc/accounts.key"), "--service-account-signing-key-file", c.path("etc/accounts.key"),
		"--service-cluster-ip-range", services, "--authorization-mode", "RBAC", "--token-auth-file", c.path("etc/tokens.csv"),
		"--kubelet-preferred-address-types", "InternalIP", "--allow-privileged", "--profiling=false"); err != nil {
		return err
	}
	if err := c.await(ctx, "https://"+API+"/readyz"); err != nil {
		return err
	}
	return c.start("node", "kube-controller-manager", "--kubeconfig", c.Kubeconfig(), "--leader-elect=false", "--use-service-account-credentials=false",
		"--service-account-private-key-file", c.path("etc/accounts.key"), "--root-ca-file", c.path("etc/ca.crt"), "--cert-dir", c.path("etc"),
		"--allocate-node-cidrs=false", "--terminated-pod-gc-threshold", "50", "--concurrent-deployment-syncs", "5")
}

func (c *Cluster) startNode(ctx context.Context) error {
	if err := c.start("docker-registry", "serve", c.path("etc/registry.yml")); err != nil {
		return err
	}
	if err := c.await(ctx, "http://"+Registry+"/v2/"); err != nil {
		return err
	}
	if err := c.start("node", "kube-scheduler", "--kubeconfig", c.Kubeconfig(), "--leader-elect=false", "--cert-dir", c.path("etc")); err != nil {
		return err
	}
	if err := c.start("node", "containerd", "--config", c.path("etc/containerd.toml")); err != nil {
		return err
	}
	if err := c.awaitSocket(ctx, c.path("containerd.sock")); err != nil { // which a kubelet does not wait for
		return err
	}
	if err := pushPause(ctx); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"kubelet", "--config", c.path("etc/kubelet.yaml"), "--kubeconfig", c.Kubeconfig(), "--hostname-override", nodeName, "--node-ip", machine.Address, "--root-dir", c.path("kubelet"), "--cert-dir", c.path("etc")},
		{"kube-proxy", "--config", c.path("etc/proxy.yaml"), "--hostname-override", nodeName},
		{"volumes", c.Kubeconfig(), c.path("volumes")},
		{"policies", c.Kubeconfig()},
		{"coredns", c.path("etc/Corefile")},
	} {
		if err := c.start("node", args...); err != nil {
			return err
		}
	}
	if _, err := c.Kubectl(ctx, nameService, "apply", "-f", "-"); err != nil {
		return err
	}
	if err := c.await(ctx, "http://127.0.0.1:8181/ready"); err != nil {
		return err
	}
	if _, err := c.Kubectl(ctx, "", "wait", "--for=create", "--timeout=60s", "node/"+nodeName); err != nil {
		return c.with(err, "kubelet")
	}
	_, err := c.Kubectl(ctx, "", "wait", "--for=condition=Ready", "--timeout=60s", "node/"+nodeName)
	return c.with(err, "kubelet")
}

// start starts a program of its directory, or of the machine's, whose output goes to a log of its own.
func (c *Cluster) start(program string, args ...string) error {
	name := args[0]
	if program == "docker-registry" {
		name = program
	}
	if program != "docker-registry" && !filepath.IsAbs(program) {
		program = filepath.Join(c.Programs, program)
	}
	out, err := os.Create(c.log(name))
	if err != nil {
		return err
	}
	defer out.Close()
	p := &process{name: name, cmd: exec.Command(program, args...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "PATH="+c.Shims+":"+c.Programs+":"+os.Getenv("PATH"))
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = out, out, c.Dir
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt from the keyboard is for who started it
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", name, err)
	}
	c.mu.Lock()
	c.running = append(c.running, p)
	c.mu.Unlock()
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	return nil
}

func (c *Cluster) log(name string) string { return c.path("log/" + name + ".log") }

// with adds to an error what a program has said last.
func (c *Cluster) with(err error, program string) error {
	if err == nil {
		return nil
	}
	said, _ := os.ReadFile(c.log(program))
	return fmt.Errorf("%w\n%s says:\n%s", err, program, said[max(0, len(said)-4000):])
}

// await returns when a page is there, which is asked for again and again until the last program that was started has ended.
func (c *Cluster) await(ctx context.Context, url string) error {
	client := &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true, DialContext: (&net.Dialer{}).DialContext},
	}
	return c.until(ctx, url, func() bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false
		}
		res, err := client.Do(req)
		if err != nil {
			return false
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// awaitSocket waits until the program that was started last takes connections at a socket.
func (c *Cluster) awaitSocket(ctx context.Context, path string) error {
	return c.until(ctx, path, func() bool {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
}

// until waits until the program that was started last answers somewhere.
func (c *Cluster) until(ctx context.Context, where string, answers func() bool) error {
	c.mu.Lock()
	last := c.running[len(c.running)-1]
	c.mu.Unlock()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !answers() {
		select {
		case <-tick.C:
		case <-last.ended:
			return c.with(fmt.Errorf("%s has ended", last.name), last.name)
		case <-ctx.Done():
			return c.with(fmt.Errorf("nobody answers at %s: %w", where, context.Cause(ctx)), last.name)
		}
	}
	return nil
}
