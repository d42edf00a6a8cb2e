package deploy

import (
	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
)

func watchCommand(func() *cli.Invocation) *cobra.Command {
	return &cobra.Command{Use: "watch", Hidden: true}
}
