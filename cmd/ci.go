package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// Exit codes of ci besides that of the first test that failed. The last line
// says which it is: a test may end with these as well.
const (
	ExitBadFile    = 64 // a mistake in the stack file or the command line
	ExitNotBuilt   = 65 // an image could not be built or pulled
	ExitNotUp      = 66 // the environment did not come up
	ExitTimeout    = 67
	ExitNotRemoved = 68 // the tests passed, but something is left behind
	ExitNotRun     = 69 // a test was not run to its end: it was not made, or something else ended it
)

// ciFlags are the flags of ci.
type ciFlags struct {
	timeout   time.Duration
	artifacts string
	junit     []string
	keep      bool
	build     bool
	pull      string
	cache     cacheFlags
}

const ciHelp = `Bring the stack up in an instance of its own, run its tests beside it, remove everything, and end with the tests' code.

The tests are the services that are named, or those of profile "test". All other services are brought up first and
must be ready: healthy where they have a health check, ended with code 0 where they do their work and end. Then the
tests run, each as one container, one after the other in the order of their depends_on.

Whatever happens, the instance is removed with its volumes: after a failure, a time-out or an interrupt, and by the
engine when this command is killed. A second interrupt kills at once.

Exit codes:
  0    every test ended with 0
  N    the code of the first test that failed, as it is
  64   a mistake in the stack file or in the command line; nothing was started
  65   an image could not be built or pulled
  66   the environment did not come up
  67   the time of --timeout is over
  68   the tests passed, but the instance could not be removed
  69   a test was not run to its end: its container could not be made, another command stopped or removed
       it, or no engine could go on
  129  SIGHUP, 130 SIGINT, 143 SIGTERM ended the command
The last line says where the code comes from, for a test may end with any of these.`

func (a *app) ciCommand() *cobra.Command {
	var f ciFlags
	c := &cobra.Command{
		Use:   "ci [SERVICE...]",
		Short: "Test against the stack in an instance of its own, and leave nothing",
		Long:  ciHelp,
		Example: "  orlop ci                                  run the services of profile test\n" +
			"  orlop ci --timeout 10m --artifacts out    with logs, plan and reports in out\n" +
			"  orlop ci e2e --junit '/reports/*.xml'     run one, with the reports that it writes",
		ValidArgsFunction: a.completeServices,
		RunE:              func(c *cobra.Command, args []string) error { return a.ci(c.Context(), args, f) },
	}
	c.Flags().DurationVar(&f.timeout, "timeout", 0, "`time` that all may take, such as 10m; without it there is no limit")
	c.Flags().StringVar(&f.artifacts, "artifacts", "", "`directory` for logs, events, plan, configuration and reports")
	c.Flags().StringArrayVar(&f.junit, "junit", nil, "`files` of the tests' containers to take into the report: /reports/**/*.xml")
	c.Flags().BoolVar(&f.keep, "keep-on-failure", false, "leave a failed instance as it is, to look inside")
	c.Flags().BoolVar(&f.build, "build", false, "build images first, those that changed; \"build --no-cache\" builds in any case")
	c.Flags().StringVar(&f.pull, "pull", "", "pull images: always, missing, never; without it as the stack file says")
	f.cache.flags(c)
	return c
}

func (f *ciFlags) check() error {
	if f.timeout < 0 {
		return fmt.Errorf("--timeout is %s: it must be more than nothing", f.timeout)
	}
	if f.pull == "" {
		return nil
	}
	return choice("pull", f.pull, "always", "missing", "never")
}

// errTimeout is the cause of what --timeout ended.
var errTimeout = errors.New("the time is over")

// signalled is the cause of what a signal ended.
type signalled struct{ signal os.Signal }

func (s signalled) Error() string { return "interrupted by " + signalName(s.signal) }

// code is the exit code of a process that the signal ended.
func (s signalled) code() int {
	if n, ok := s.signal.(unix.Signal); ok {
		return 128 + int(n)
	}
	return cli.ExitInterrupted
}

// ci carries out the verb.
func (a *app) ci(ctx context.Context, names []string, f ciFlags) error {
	c := &ciRun{Invocation: a.Invocation, flags: f, began: a.Now()}
	if err := c.load(ctx, names); err != nil {
		return err
	}
	c.flow = a.Workflow() // what it writes is masked from here on
	if err := c.open(); err != nil {
		return cli.Coded{Err: err, Code: ExitBadFile}
	}
	defer c.record.close()
	all, work, stop := c.limits(ctx)
	defer stop()
	c.carryOut(all, work)
	return cli.Exit{Code: c.end.code}
}

// limits gives the context of the whole, which a second signal ends, and that
// of the work, which the first signal and --timeout end.
func (c *ciRun) limits(ctx context.Context) (all, work context.Context, stop func()) {
	all, cancelAll := context.WithCancelCause(ctx)
	work, cancelWork := context.WithCancelCause(all)
	timer := time.AfterFunc(1<<62, func() { cancelWork(errTimeout) })
	if c.flags.timeout > 0 {
		timer.Reset(c.flags.timeout)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for first := true; ; first = false {
			select {
			case s := <-c.Signals:
				c.Output.Interrupted()
				if !first {
					cancelAll(signalled{s})
					continue
				}
				c.note(fmt.Sprintf("interrupted by %s: the instance is removed; once more to kill it at once", signalName(s)))
				cancelWork(signalled{s})
			case <-all.Done():
				return
			}
		}
	}()
	return all, work, func() { timer.Stop(); cancelAll(nil); <-done }
}
