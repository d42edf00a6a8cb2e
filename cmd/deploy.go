package cmd

import (
	"fmt"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
)

// clusterCommands hand the whole command line to orlop-deploy, which alone knows Kubernetes: its libraries would make
// every other verb slower to start.
func (a *app) clusterCommands() []*cobra.Command {
	if a.ofCluster != nil {
		return a.ofCluster(func() *cli.Invocation { return a.Invocation })
	}
	verb := func(use, short, example string) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: short, Example: example, DisableFlagParsing: true,
			RunE: func(*cobra.Command, []string) error { return handOver(a.args, a.Environ) },
			ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
				_ = handOver(a.args, a.Environ)
				return nil, cobra.ShellCompDirectiveError
			},
		}
	}
	return []*cobra.Command{
		verb("deploy", "Bring the stack to a Kubernetes cluster", "  orlop deploy --registry REGISTRY  build, push, apply, and wait until all is ready\n  orlop deploy plan                 show what would change, and why"),
		verb("bridge", "Write the stack as manifests of Kubernetes, as Compose's bridge does", "  orlop bridge convert -o k8s  see also: orlop deploy render"),
	}
}

// handOver becomes orlop-deploy.
func handOver(args, environ []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot tell where the command is installed: %w", err)
	}
	path, err := cli.FindProgram(self, "orlop-deploy")
	if err != nil {
		return fmt.Errorf("cannot deploy: %w", err)
	}
	err = syscall.Exec(path, append([]string{"orlop"}, args...), environ)
	return fmt.Errorf("cannot run %s: %w", path, err)
}
