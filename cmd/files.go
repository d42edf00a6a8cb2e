package cmd

import (
	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/files"
)

// files are the verbs about files of containers and images.
func (a *app) files() *files.Verbs { return &files.Verbs{Of: a.invocation} }

// fileCommands are those of them about services.
func (a *app) fileCommands() []*cobra.Command {
	verbs := []*cobra.Command{a.files().Copy(), a.files().Export(), a.files().Commit()}
	for _, c := range verbs[1:] {
		c.ValidArgsFunction = a.completeOneService
	}
	verbs[0].ValidArgsFunction = a.completePlaces
	return verbs
}

// completePlaces completes the services of a copy; paths of the caller's are the shell's.
func (a *app) completePlaces(c *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	services, _ := a.completeServices(c, nil, prefix)
	for i := range services {
		services[i] += ":"
	}
	return services, cobra.ShellCompDirectiveNoSpace
}
