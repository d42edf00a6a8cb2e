package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/terminal"
	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/deploy/manifest"
)

type execFlags struct {
	place
	pod         podChoice
	noTerminal  bool
	interactive bool
	user        string
	dir         string
	env         []string
}

func execCommand(invocation func() *cli.Invocation) *cobra.Command {
	var f execFlags
	c := &cobra.Command{
		Use: "exec SERVICE COMMAND [ARG...]", Short: "Run a command in a pod of a service",
		Example: "  orlop deploy exec db psql -U shop\n  orlop deploy exec --index 2 web sh  in the second pod\n  orlop deploy exec -e DEBUG=1 -w /srv api ./migrate\n  orlop deploy exec -T web sh -c 'cat > /tmp/in' < file",
		Args:    cli.AtLeast(2, "a service and a command"),
		RunE: func(c *cobra.Command, args []string) error {
			inv := invocation()
			ctx := c.Context()
			if f.user != "" {
				return fmt.Errorf("--user %s: a cluster runs commands as the container's own user alone: write user: in the stack file, or \"orlop deploy exec %s su %s -c COMMAND\" where that one is root and the image has su",
					f.user, args[0], f.user)
			}
			f.env = cli.FillEnvironment(f.env, inv.Variables(ctx))
			if f.noTerminal || !terminal.IsOn(inv) {
				return with(c, inv, func(ctx context.Context, inv *cli.Invocation) error {
					return exec(ctx, inv, f, args[0], cli.CommandOf(args[1:]))
				})
			}
			return exec(cli.Heard(ctx), inv, f, args[0], cli.CommandOf(args[1:])) // the terminal hands every key on
		},
	}
	c.Flags().SetInterspersed(false)
	f.place.flags(c.Flags())
	f.pod.flags(c.Flags(), "; without it the first that is ready")
	c.Flags().BoolVarP(&f.noTerminal, "no-TTY", "T", false, "no terminal for the command; \"-T\" for pipes")
	c.Flags().BoolVarP(&f.interactive, "interactive", "i", true, "connect standard input")
	c.Flags().StringArrayVarP(&f.env, "env", "e", nil, "`NAME=value` to set; the image needs env")
	c.Flags().StringVarP(&f.dir, "workdir", "w", "", "`directory` to run in; the image needs a shell")
	c.Flags().StringVarP(&f.user, "user", "u", "", "no cluster can do that")
	c.Flags().BoolP("tty", "t", true, "a terminal where ours is one")
	c.Flags().BoolVar(&f.noTerminal, "no-tty", false, "no terminal for the command")
	for _, name := range []string{"interactive", "tty", "no-tty"} { // as with exec: what is so anyway
		c.Flags().Lookup(name).Hidden = true
	}
	c.Flags().Lookup("user").Hidden = true // it is there to say what to do instead
	return c
}

func exec(ctx context.Context, inv *cli.Invocation, f execFlags, service string, command []string) error {
	if err := f.pod.check(); err != nil {
		return err
	}
	client, observed, err := deployed(ctx, inv, f.place)
	if err != nil {
		return err
	}
	if _, err := chosen(observed, []string{service}, client.Where()); err != nil {
		return err
	}
	selector := manifest.LabelProject + "=" + manifest.LabelValue(observed.Project) + "," + manifest.LabelService + "=" + manifest.ServiceName(service)
	pods, err := client.List(ctx, cluster.Pod, selector)
	if err != nil {
		return err
	}
	pod, err := pick(pods, f.pod, service)
	if err != nil {
		return err
	}
	p := cluster.Process{Pod: pod, Container: manifest.ServiceName(service), Command: arranged(command, f.env, f.dir), Stdout: inv.Stdout, Stderr: inv.Stderr}
	if f.interactive {
		p.Stdin = inv.Stdin
	}
	if !f.noTerminal && terminal.IsOn(inv) {
		defer terminal.RawTerminal(inv.Stdin)()
		sizes := newSizes(inv)
		defer close(sizes.done)
		p.TTY, p.Sizes = true, sizes
	}
	err = client.Exec(ctx, p)
	var exited *cluster.Exited
	if errors.As(err, &exited) && exited.Why != "" {
		if by := p.Command[0]; by != command[0] && exited.IsMissing() {
			err = fmt.Errorf("%w, which --env and --workdir need", err)
		}
		return cli.Coded{Err: err, Code: exited.Code}
	}
	if errors.As(err, &exited) {
		return cli.Exit{Code: exited.Code}
	}
	return err
}

// arranged is a command that runs with variables and in a directory, by programs of the container: the API has a word for neither.
func arranged(command, env []string, dir string) []string {
	if len(env) > 0 {
		command = slices.Concat([]string{"env"}, env, command)
	}
	if dir != "" {
		command = slices.Concat([]string{"/bin/sh", "-c", `cd "$0" && exec "$@"`, dir}, command)
	}
	return command
}

// pick is the pod that is meant.
func pick(list []cluster.Live, choice podChoice, service string) (string, error) {
	var pods []*cluster.Live
	for i := range list {
		pods = append(pods, &list[i])
	}
	if choice.isMade() {
		pod, err := choice.find(pods, service)
		if err != nil {
			return "", err
		}
		return pod.GetName(), nil
	}
	for _, pod := range inOrder(pods) {
		if cluster.IsReady(pod) {
			return pod.GetName(), nil
		}
	}
	if len(pods) > 0 {
		return "", fmt.Errorf("no pod of %s is ready: see \"orlop deploy status %s\"; --pod or --index names one all the same", service, service)
	}
	return "", fmt.Errorf("%s has no pod: see \"orlop deploy status %s\"", service, service)
}

// sizes tells the process of the terminal's size.
type sizes struct {
	inv   *cli.Invocation
	first bool
	done  chan struct{}
}

func newSizes(inv *cli.Invocation) *sizes {
	return &sizes{inv: inv, first: true, done: make(chan struct{})}
}

// Next waits for the next size; nil is the end.
func (s *sizes) Next() *remotecommand.TerminalSize {
	if !s.first {
		select {
		case <-s.done:
			return nil
		case <-s.inv.Resized:
		}
	}
	s.first = false
	columns, rows := display.Size(s.inv.Stdout)
	return &remotecommand.TerminalSize{Width: uint16(columns), Height: uint16(rows)}
}
