package cmd

import (
	"fmt"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
)

// deployCommand hands the whole command line to orlop-deploy, which alone knows Kubernetes: its libraries would make
// every other verb slower to start.
func (a *app) deployCommand() *cobra.Command {
	if a.deploy != nil {
		return a.deploy(func() *cli.Invocation { return a.Invocation })
	}
	return &cobra.Command{
		Use: "deploy", Short: "Bring the stack to a Kubernetes cluster",
		Example:            "  orlop deploy --registry REGISTRY  build, push, apply, and wait until all is ready\n  orlop deploy plan                 show what would change, and why",
		DisableFlagParsing: true,
		RunE:               func(*cobra.Command, []string) error { return handOver(a.args, a.Environ) },
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
