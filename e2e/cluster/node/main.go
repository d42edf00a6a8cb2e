// Command node is every program of a Kubernetes cluster of one node, but for CNI's plugins: the first argument names it.
// They are one program because they are mostly the same packages, which are linked once. Run by another name than its own, it is the
// program of that name.
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	_ "time/tzdata" // CronJobs have time zones

	_ "github.com/containerd/containerd/v2/cmd/containerd/builtins"
	"github.com/containerd/containerd/v2/cmd/containerd/command"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// programs are those that this one is.
func programs() map[string]func() error {
	return map[string]func() error{
		"etcd":                    func() error { etcdmain.Main(os.Args); return nil },
		"kube-apiserver":          func() error { return run(apiserver.NewAPIServerCommand()) },
		"kube-controller-manager": func() error { return run(controllers.NewControllerManagerCommand()) },
		"kube-scheduler":          func() error { return run(scheduler.NewSchedulerCommand()) },
		"kube-proxy":              func() error { return run(proxy.NewProxyCommand()) },
		"kubelet":                 func() error { return run(kubelet.NewKubeletCommand(context.Background())) },
		"containerd":              func() error { return command.App().Run(context.Background(), os.Args) },
		"kubectl":                 kubectl,
		"coredns":                 nameServer,
		"volumes":                 volumes,
		"policies":                policies,
	}
}

// run runs a command of Kubernetes, which says itself what is wrong.
func run(c *cobra.Command) error {
	if code := cli.Run(c); code != 0 {
		os.Exit(code)
	}
	return nil
}

func main() {
	all := programs()
	program, ok := all[filepath.Base(os.Args[0])]
	if !ok && len(os.Args) > 1 {
		os.Args = os.Args[1:]
		program, ok = all[os.Args[0]]
	}
	if !ok {
		fmt.Fprintf(os.Stderr, "usage: node PROGRAM [ARG...], where PROGRAM is one of %s\n", strings.Join(slices.Sorted(maps.Keys(all)), ", "))
		os.Exit(2)
	}
	if err := program(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
		os.Exit(1)
	}
}
