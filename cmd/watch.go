package cmd

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/watch"
)

func (a *app) watchCommand() *cobra.Command {
	var f watch.Flags
	var prune bool
	c := &cobra.Command{
		Use:   "watch [SERVICE...]",
		Short: "Bring the stack up and keep it in step with the working tree",
		Example: "  orlop watch       sync, restart or rebuild as develop.watch says, or as builds read\n" +
			"  orlop up --watch  the same, beside the stack's logs",
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, args []string) error {
			if !prune {
				return errors.New("--prune=false cannot be carried out: an image that has no name any more is kept for as long as a container is made of it; give it a name with \"orlop image tag\"")
			}
			return watch.Run(c.Context(), a.Invocation, args, f)
		},
	}
	c.Flags().BoolVar(&f.NoUp, "no-up", false, "watch what runs, without bringing it up first")
	allowFlag(c.Flags(), &a.settings.AllowRemotes)
	watchFlagsOf(c, &f)
	c.Flags().BoolVar(&a.settings.QuietBuild, "quiet", false, "don't show how builds go")
	c.Flags().BoolVar(&prune, "prune", true, "remove an image that a rebuild leaves without a name, as ever; it can't be left")
	return c
}

func watchFlagsOf(c *cobra.Command, f *watch.Flags) {
	c.Flags().BoolVar(&f.Ask, "ask", false, "ask before a change of the stack file is applied")
	c.Flags().BoolVar(&f.GitIgnore, "gitignore", false, "leave out what git leaves out: .gitignore files, nested ones too, and git's own excludes")
}
