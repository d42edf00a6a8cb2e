// Command up starts a cluster for whoever wants to try something on one, and keeps it until it is interrupted:
//
//	go run -C e2e/cluster ./up [-api-only]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/orlop/orlop/e2e/cluster"
	"github.com/orlop/orlop/e2e/cluster/machine"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "up:", err)
		os.Exit(1)
	}
}

func run() error {
	apiOnly := flag.Bool("api-only", false, "without a node: nothing runs")
	repository := flag.String("repository", "../..", "root of the repository whose bin and .cache are used")
	flag.Parse()
	repo, err := filepath.Abs(*repository)
	if err != nil {
		return err
	}
	dir, err := machine.Enter("/var/tmp")
	if err != nil {
		return err
	}
	ctx, end := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer end()
	began := time.Now()
	c, err := cluster.Start(ctx, cluster.Options{Dir: dir, Programs: filepath.Join(repo, ".cache/cluster"), Shims: filepath.Join(repo, "bin"), HasNode: !*apiOnly})
	if err != nil {
		return err
	}
	defer c.Stop()
	bin, foreign := filepath.Join(repo, "bin"), filepath.Join(repo, ".cache/cluster")
	env := fmt.Sprintf("export KUBECONFIG=%s PATH=%s:%s:$PATH HOME=%s ORLOP_ROOT=%s ORLOP_STATE=/run/orlop REGISTRY=%s ORLOP_REGISTRY=%[6]s NODE=%[7]s OUTLET=%[8]s\n",
		c.Kubeconfig(), bin, foreign, dir, filepath.Join(dir, "orlop"), cluster.Registry, machine.Address, machine.Outlet)
	if err := os.WriteFile(filepath.Join(dir, "env"), []byte(env), 0o644); err != nil {
		return err
	}
	fmt.Printf("the cluster is ready after %.1f s, logs are in %s/log\n%s[PROGRAM ARG...] runs a shell or a program there, with\n%s"+
		"its engine has no images yet: orlop image load %s\n",
		time.Since(began).Seconds(), dir, filepath.Join(dir, machine.Door)+" ", env, filepath.Join(repo, ".cache/images/*.tar"))
	<-ctx.Done()
	return nil
}
