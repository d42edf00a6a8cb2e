package ci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/terminal"
)

// Exit codes of ci besides that of the first test that failed. The last line
// says which it is: a test may end with these as well.
const (
	ExitBadFile    = 64 // a mistake in the stack file or the command line
	ExitNotBuilt   = 65 // an image could not be built or pulled
	ExitNotUp      = 66 // the environment did not come up
	ExitTimeout    = 67
	ExitNotRemoved = 68 // the tests passed, but something is left behind
	ExitNotRun     = 69 // a test did not run to completion: it was not made, or something else ended it
)

// Options are the flags of the verb.
type Options struct {
	Timeout   time.Duration
	Artifacts string
	JUnit     []string
	Keep      bool
	Build     bool
	Pull      string
	Builds    cli.BuildOptions
}

func (f *Options) check() error {
	if f.Timeout < 0 {
		return fmt.Errorf("--timeout is %s: it must be positive", f.Timeout)
	}
	return nil
}

// errTimeout is the cause of what --timeout ended.
var errTimeout = errors.New("timed out")

// signalled is the cause of what a signal ended.
type signalled struct{ signal os.Signal }

func (s signalled) Error() string { return "interrupted by " + terminal.SignalName(s.signal) }

// code is the exit code of a process that the signal ended.
func (s signalled) code() int {
	if n, ok := s.signal.(unix.Signal); ok {
		return 128 + int(n)
	}
	return cli.ExitInterrupted
}

// Run carries out the verb. The tests are the named services, or those of
// profile test.
func Run(ctx context.Context, inv *cli.Invocation, names []string, f Options) error {
	c := &run{Invocation: inv, flags: f, began: inv.Now()}
	if err := c.load(ctx, names); err != nil {
		return err
	}
	c.flow = inv.Workflow() // what it writes is masked from here on
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
func (c *run) limits(ctx context.Context) (all, work context.Context, stop func()) {
	all, cancelAll := context.WithCancelCause(ctx)
	work, cancelWork := context.WithCancelCause(all)
	timer := time.AfterFunc(1<<62, func() { cancelWork(errTimeout) })
	if c.flags.Timeout > 0 {
		timer.Reset(c.flags.Timeout)
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
				c.note(fmt.Sprintf("interrupted by %s: removing the instance; interrupt again to kill it at once", terminal.SignalName(s)))
				cancelWork(signalled{s})
			case <-all.Done():
				return
			}
		}
	}()
	return all, work, func() { timer.Stop(); cancelAll(nil); <-done }
}
