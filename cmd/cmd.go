// Package cmd is the orlop command: its verbs, one file each, and the displays
// that show what the engine does. It decides nothing about containers: it
// loads the stack file, asks the engine, and shows events. It must start in
// some ten milliseconds, so it links neither containerd nor BuildKit's servers
// and initialises nothing that a verb does not use.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/ci"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/daemon"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/oneoff"
	"github.com/orlop/orlop/cmd/terminal"
	"github.com/orlop/orlop/spec"
)

// Run carries out a command line, without the program's name, and gives the
// exit code.
func Run(ctx context.Context, args []string, w cli.World) int { return RunWith(ctx, args, w, nil) }

// Verbs makes verbs of a program that has more of them than the command itself. They get the invocation that is made once
// all flags are read.
type Verbs func(invocation func() *cli.Invocation) []*cobra.Command

// RunWith is Run with the verbs about clusters in the program itself; nil: another program has them.
func RunWith(ctx context.Context, args []string, w cli.World, ofCluster Verbs) int {
	a := newApp(w)
	a.args, a.ofCluster = slices.Clone(args), ofCluster
	root := a.root()
	root.SetArgs(joinParallel(root, args))
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	root.SetIn(w.Stdin)
	err := root.ExecuteContext(ctx)
	if _, before := err.(*pflag.NotExistError); before { // it stands before the verb, where cobra asks nobody
		err = flagError(root, err)
	}
	code := a.exitCode(err)
	if code == cli.ExitOK || code == cli.ExitInterrupted {
		a.RememberTold()
	}
	a.output.Flush()
	if lost := a.output.Out.Failed(); lost != nil && code == cli.ExitOK { // else something worse was told
		return a.exitCode(lost)
	}
	return code
}

func (a *app) exitCode(err error) int {
	var quiet cli.Exit
	var with cli.Coded
	switch {
	case err == nil:
		return cli.ExitOK
	case errors.As(err, &quiet):
		return quiet.Code
	case errors.Is(err, cli.ErrInterrupted):
		return cli.ExitInterrupted
	}
	fmt.Fprintln(a.Stderr, a.ErrStyle().Red(display.PrintableLines(err.Error())))
	if errors.Is(err, api.ErrLost) {
		if why := daemon.WhyLost(a.RootDir(), api.LostAt(err)); why != "" {
			fmt.Fprintln(a.Stderr, why)
		}
	}
	if errors.As(err, &with) {
		return with.Code
	}
	return cli.ExitFailure
}

// app is the tree of verbs. Flags are read into settings; a verb works with the
// invocation that is made of them once all are read.
type app struct {
	*cli.Invocation
	settings cli.Settings
	output   *display.Output

	args      []string // of the command line
	ofCluster Verbs    // nil: another program has them
}

func newApp(w cli.World) *app {
	a := &app{settings: cli.NewSettings(w), output: display.NewOutput(w.Stdout, w.Stderr)}
	a.Invocation = cli.New(a.settings, a.output)
	return a
}

// begin makes the invocation of a verb.
func (a *app) begin(c *cobra.Command) error {
	a.settings.Verb = c.Name()
	// Environment files may be pipes.
	if err := a.Interruptibly(c.Context(), func(ctx context.Context) error { return takeDefaults(ctx, c, &a.settings) }); err != nil {
		return misuse(c, err)
	}
	if a.settings.DryRun {
		if err := cli.MayForetell(c); err != nil {
			return misuse(c, err)
		}
	}
	if c.Annotations[quietFlag] != "" && c.Flags().Changed(quietFlag) {
		a.settings.Progress = "quiet"
	}
	a.Invocation = cli.New(a.settings, a.output)
	return nil
}

// quietFlag is -q of a verb whose progress it hides.
const quietFlag = "quiet"

func addQuiet(c *cobra.Command) {
	c.Annotations = map[string]string{quietFlag: "progress"}
	c.Flags().BoolP(quietFlag, "q", false, "show nothing but failures")
}

// Groups of verbs in the help.
const (
	groupMain   = "main"
	groupInside = "inside"
	groupEngine = "engine"
)

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:     "orlop",
		Short:   "Build and run a stack of services from one file",
		Version: a.Version,
		Example: "  orlop up -d        bring the stack of stack.yaml up\n" +
			"  orlop plan         show what up would change, and why\n" +
			"  orlop logs -f api  follow what a service prints",
		SilenceErrors: true, SilenceUsage: true, TraverseChildren: true,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			return unknownVerb(c, args[0])
		},
		PersistentPreRunE: func(c *cobra.Command, _ []string) error { return a.begin(c) },
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.AddGroup(&cobra.Group{ID: groupMain, Title: "The stack:"},
		&cobra.Group{ID: groupInside, Title: "Its services:"},
		&cobra.Group{ID: groupEngine, Title: "Orlop itself:"})
	root.SetHelpCommand(helpCommand())
	root.SetHelpCommandGroupID(groupEngine)
	root.SetFlagErrorFunc(flagError)
	a.globalFlags(root.Flags())
	add(root, groupMain, a.upCommand(), a.downCommand(), a.watchCommand(), a.ciCommand(), a.planCommand(), a.whyCommand(), a.graphCommand(), a.psCommand(), a.lsCommand(), a.logsCommand(),
		a.buildCommand(), a.pullCommand(), a.pushCommand(), a.publishCommand(), a.lockCommand(), a.configCommand(), a.imagesCommand(), a.volumesCommand(), a.createCommand())
	add(root, groupMain, a.clusterCommands()...)
	add(root, groupInside, a.execCommand(), a.attachCommand(), a.runCommand(), a.startCommand(), a.stopCommand(), a.restartCommand(), a.pauseCommand(), a.unpauseCommand(), a.scaleCommand(), a.waitCommand(),
		a.killCommand(), a.rmCommand(), a.portCommand(), a.envCommand(), a.eventsCommand(),
		a.statsCommand(), a.topCommand())
	add(root, groupInside, a.fileCommands()...)
	add(root, groupEngine, a.engineCommand(), a.doctorCommand(), a.diagnoseCommand(), a.gcCommand(), a.traceCommand(), a.containerCommand(), a.imageCommand(), a.volumeCommand(), a.networkCommand(), a.secretCommand(), a.systemCommand(), a.cacheCommand(), a.loginCommand(), a.logoutCommand(), a.versionCommand(), a.completionCommand(),
		a.guardCommand())
	inherit(root, root.Flags())
	sayArguments(root)
	return root
}

// helpCommand shows the help of a verb; a word that is none is a mistake.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Help about a command", Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			of, rest, err := c.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 && of.HasSubCommands() {
				return cli.Coded{Err: unknownVerb(of, rest[0]), Code: ci.ExitBadFile}
			}
			of.InitDefaultHelpFlag()
			return of.Help()
		},
	}
}

// guardCommand is the guard of a terminal, for KeyMode alone.
func (a *app) guardCommand() *cobra.Command {
	return &cobra.Command{
		Use: terminal.GuardVerb, Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return terminal.Guard(a.Stdin, a.Stdout) },
	}
}

func add(root *cobra.Command, group string, verbs ...*cobra.Command) {
	for _, v := range verbs {
		v.GroupID = group
		root.AddCommand(v)
	}
}

func (a *app) globalFlags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringArrayVarP(&a.settings.Files, "file", "f", nil, "stack `file`; may be given many times, later ones override")
	f.StringVarP(&a.settings.Name, "project-name", "p", "", "`name` of the project")
	f.StringVar(&a.settings.Instance, "instance", "", "`name` of a copy of the stack beside others; auto derives it from git work tree and branch")
	f.StringVar(&a.settings.Directory, "project-directory", "", "`directory` that the paths in the stack file start from")
	f.StringVar(&a.settings.Directory, "workdir", "", "`directory` that the paths in the stack file start from, by its former name")
	f.BoolFunc("no-ansi", "do not colour, by a former name", func(string) error { a.settings.ANSI = "never"; return nil })
	_, _ = f.MarkHidden("workdir"), f.MarkHidden("no-ansi")
	f.StringArrayVar(&a.settings.Profiles, "profile", nil, "activate a `profile`")
	f.StringArrayVar(&a.settings.EnvFiles, "env-file", nil, "environment `file` in place of .env")
	f.StringVar(&a.settings.Progress, "progress", "auto", "`how` to show progress: auto, tty, plain, json or quiet")
	f.StringVar(&a.settings.ANSI, "ansi", "auto", "`when` to colour: auto, always or never")
	f.IntVar(&a.settings.Parallel, "parallel", -1, "carry out so many `steps` at once; -1: any number")
	f.BoolVar(&a.settings.DryRun, "dry-run", false, "print what would be done, and do nothing")
	f.StringVar(&a.settings.Trace, "trace", "", "`file` to write a timeline to, in the Chrome trace format; see \"orlop trace\"")
	f.BoolVar(&a.settings.Verbose, "verbose", false, "show every warning with its place, also those that were shown before")
	f.BoolVar(&a.settings.AllResources, "all-resources", false, "also networks and volumes that no service uses")
	f.BoolVar(&a.settings.Compatibility, "compatibility", false, "name containers and built images with _ between the parts, as Compose's first version did")
	f.BoolVar(&a.settings.Strict, "strict", false, "a key that is not supported is an error")
	f.StringArrayVar(&a.settings.InsecureRegistries, "insecure-registry", nil, "`host` of a registry that remote stacks are fetched from without TLS; one of this machine is always")
	f.BoolVar(&a.settings.AllowUnset, "allow-unset", false, "allow unset variables in images and mounts")
}

// inherit lets the global flags stand after the verb too. As in Compose, a
// verb's own flag of the same name or letter comes first ("logs -f").
func inherit(c *cobra.Command, globals *pflag.FlagSet) {
	for _, sub := range c.Commands() {
		globals.VisitAll(func(g *pflag.Flag) {
			if sub.Flags().Lookup(g.Name) != nil {
				return
			}
			flag := *g
			flag.Hidden = true
			if flag.Shorthand != "" && sub.Flags().ShorthandLookup(flag.Shorthand) != nil {
				flag.Shorthand = ""
			}
			sub.Flags().AddFlag(&flag)
		})
		inherit(sub, globals)
	}
}

// unknownVerb is the error for a verb that does not exist.
func unknownVerb(c *cobra.Command, word string) error {
	if text := cli.MissingVerb(word); text != "" && !c.HasParent() {
		return errors.New(text)
	}
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(word); len(near) > 0 {
		return fmt.Errorf("unknown command %q: did you mean %q?", word, cli.Likeliest(word, near))
	}
	return fmt.Errorf("unknown command %q: see %s --help", word, c.CommandPath())
}

func flagError(c *cobra.Command, err error) error {
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		f := invalid.GetFlag()
		if text := wrongValue(f.Value.Type(), invalid.GetValue()); text != "" {
			return misuse(c, fmt.Errorf("--%s: %s", f.Name, text))
		}
	}
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok && unknown.GetSpecifiedShortnames() == "" {
		names := flagNames(c)
		if near := spec.Nearest(strings.ToLower(unknown.GetSpecifiedName()), slices.Sorted(maps.Keys(names))); near != "" {
			return misuse(c, fmt.Errorf("%w: did you mean --%s?", err, names[near]))
		}
	}
	return misuse(c, fmt.Errorf("%w: see %s --help", err, c.CommandPath()))
}

// wrongValue says what is wrong with a value that a flag can't take; "" where
// the parser's own words do.
func wrongValue(kind, value string) string {
	_, notNumber := strconv.ParseFloat(value, 64)
	span, notSpan := time.ParseDuration(value)
	switch {
	case kind == "duration" && notNumber == nil:
		return fmt.Sprintf("%q has no unit, write %ss or %sm", value, value, value)
	case kind == "duration":
		return fmt.Sprintf("%q is not a duration, write a number with a unit: 90s, 10m, 24h", value)
	case kind == "int" && notSpan == nil:
		return fmt.Sprintf("%q has a unit, write the number alone: %d", value, int(span.Seconds()))
	case kind == "int":
		return fmt.Sprintf("%q is not an integer", value)
	}
	return ""
}

// flagNames are the flags that a verb takes and tells of, the global ones too,
// by their names in small letters.
func flagNames(c *cobra.Command) map[string]string {
	names := map[string]string{}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden || c.Root().Flags().Lookup(f.Name) != nil {
			names[strings.ToLower(f.Name)] = f.Name
		}
	})
	return names
}

// misuse gives a mistake in the command line the exit code that the verb has
// for it.
func misuse(c *cobra.Command, err error) error {
	switch {
	case err == nil:
	case c.Name() == "ci":
		return cli.Coded{Err: err, Code: ci.ExitBadFile}
	case c.CommandPath() == "orlop container run", c.CommandPath() == "orlop container create":
		return cli.Coded{Err: err, Code: oneoff.ExitNotRun}
	}
	return err
}

// verbGroup is a command that only holds others.
func verbGroup(use, short, example string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Example: example, Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			return unknownVerb(c, args[0])
		},
	}
	c.AddCommand(subs...)
	return c
}
