package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/consent"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/provider"
	"github.com/orlop/orlop/spec/secret"
	"github.com/orlop/orlop/spec/userfile"
)

// Exit codes of the command. A verb that runs a process passes its code on.
const (
	ExitOK          = 0
	ExitFailure     = 1
	ExitChanges     = 2 // plan --detailed-exitcode: there is something to do
	ExitInterrupted = 130
)

// World is all that the command touches outside of itself.
type World struct {
	Version string
	Dir     string   // working directory
	Environ []string // "NAME=value"
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Signals <-chan os.Signal // interrupts
	Resized <-chan os.Signal // changes of the terminal's size, and when it is ours again
	Root    bool             // the caller may start an engine
	Now     func() time.Time
	Builder Builder // lends build sessions; nil: the engine builds nothing for us
	// KeyMode has a terminal give key by key until release is called; nil: no
	// keys are read.
	KeyMode func(tty *os.File) (release func(), err error)
	// StartEngine starts the keeper for the two directories and returns when
	// its socket accepts connections.
	StartEngine func(ctx context.Context, root, state string) error
}

// Settings are what the command line and the environment ask for. They are read
// before a verb begins and never change afterwards.
type Settings struct {
	World
	Env   map[string]string // Environ by name
	Given *userfile.Given   // what the command line names, and can be read once only
	Verb  string            // the one that runs
	Began time.Time         // of the command: what a user waits for counts from here

	Files         []string
	Name          string
	Instance      string
	Directory     string
	Profiles      []string
	EnvFiles      []string
	Progress      string // auto, tty, plain, json or quiet
	ANSI          string // auto, always or never
	Trace         string // file that a timeline is written to
	Compatibility bool   // "_" stands between the parts of names
	Strict        bool
	AllowUnset    bool
	Verbose       bool // every warning with its line
	AllResources  bool // networks and volumes too that no service uses

	InsecureRegistries []string // hosts that remote stacks are fetched from without TLS
	AllowRemotes       bool     // what remote stacks ask for, by this command
	Frozen             bool     // images must be those of orlop.lock
	UpdateRemotes      bool     // orlop.lock is made anew
	IgnoreOrphans      bool     // nothing is said of them
	Parallel           int      // steps at once; 0: as many as the engine likes
	QuietBuild         bool     // nothing is shown of how builds go
	QuietPull          bool     // nor of pulls
	Patience           int      // seconds that a start waits at most; 0: for ever
	DryRun             bool     // what would be done is printed, and nothing done
}

// NewSettings are those of a command line without any flag.
func NewSettings(w World) Settings {
	s := Settings{World: w, Env: map[string]string{}, Given: &userfile.Given{}, Began: w.Now(), Progress: "auto", ANSI: "auto"}
	for _, kv := range w.Environ {
		if name, value, ok := strings.Cut(kv, "="); ok {
			s.Env[name] = value
		}
	}
	return s
}

// Invocation is one run of the command: its settings, where it writes, and its
// timeline. All goroutines of a verb share it.
type Invocation struct {
	Settings
	Stdout, Stderr *display.Stream // in place of the world's
	Output         *display.Output
	Mask           *secret.Mask    // of the secrets of all that was loaded
	Tracer         *display.Tracer // of --trace and OpenTelemetry; nil: nobody asks for a timeline

	consents *consent.Ledger               // to what remote stacks ask for; nil: nobody was asked yet; of one goroutine at a time
	provided map[string]provider.Variables // by providers that this command has run; of one goroutine at a time
	told     toldOnce

	connected atomic.Bool // once at least

	lockChanged atomic.Bool
}

// New is the invocation with these settings. In the log of a CI system, which
// many may read, no secret is printed at all.
func New(s Settings, o *display.Output) *Invocation {
	inv := &Invocation{Settings: s, Stdout: o.Out, Stderr: o.Err, Output: o, Mask: o.Mask}
	inv.Tracer = inv.NewTracer(s.Trace)
	if inv.InWorkflow() {
		o.HideSecrets()
	}
	return inv
}

// Socket is where the engine listens.
func (s *Settings) Socket() string { return s.StateDir() + "/orlop.sock" }

// StateDir is the engine's directory for what a reboot may forget.
func (s *Settings) StateDir() string { return cmp.Or(s.Env["ORLOP_STATE"], "/run/orlop") }

// RootDir is the engine's directory for what stays.
func (s *Settings) RootDir() string { return cmp.Or(s.Env["ORLOP_ROOT"], "/var/lib/orlop") }

// IsSilent says that nothing is written for people but failures.
func (s *Settings) IsSilent() bool { return s.Progress == "quiet" || s.Progress == "json" }

// ErrInterrupted is the cause of what the user's interrupt ended.
var ErrInterrupted = errors.New("interrupted")

// Exit is an error that was reported already, or needs no words.
type Exit struct{ Code int }

func (e Exit) Error() string { return fmt.Sprintf("exit code %d", e.Code) }

// Coded is an error with an exit code of its own.
type Coded struct {
	Err  error
	Code int
}

func (e Coded) Error() string { return e.Err.Error() }

// Unwrap is the error itself.
func (e Coded) Unwrap() error { return e.Err }

// heard is the key of a context whose verb deals with the user's interrupts.
type heard struct{}

// Heard marks the context of a verb that deals with interrupts in its own way.
func Heard(ctx context.Context) context.Context { return context.WithValue(ctx, heard{}, true) }

// Interruptibly calls f with a context that an interrupt ends, also where the
// verb does not listen yet: a pipe that the stack file comes from may be slow.
func (inv *Invocation) Interruptibly(ctx context.Context, f func(context.Context) error) error {
	if ctx.Value(heard{}) != nil {
		return f(ctx)
	}
	ctx, stop := inv.listen(ctx)
	err := f(ctx)
	if stop() {
		return ErrInterrupted
	}
	return err
}

// Interruptible ends the context when the user interrupts.
func (inv *Invocation) Interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := inv.listen(ctx)
	return ctx, func() { stop() }
}

// listen ends the context when the user interrupts. stop says whether that was
// heard, be it in the last moment: who stops must not lose it.
func (inv *Invocation) listen(ctx context.Context) (_ context.Context, stop func() bool) {
	ctx, cancel := context.WithCancelCause(Heard(ctx))
	done, interrupted := make(chan struct{}), false
	go func() {
		defer close(done)
		select {
		case <-inv.Signals:
			inv.Output.Interrupted()
			interrupted = true
			cancel(ErrInterrupted)
		case <-ctx.Done():
		}
	}()
	return ctx, func() bool { cancel(nil); <-done; return interrupted }
}

// Cause is the error of a call to the engine, in words, with the reason why
// its context ended in place of "context canceled".
func Cause(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	err = api.Cause(err)
	if _, limited := ctx.Deadline(); limited && errors.Is(err, context.DeadlineExceeded) {
		<-ctx.Done() // the transport's clock may be a moment ahead of ours
	}
	if reason := context.Cause(ctx); reason != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return reason
	}
	return err
}

// Detached is a context for what must still be said after ctx has ended.
func Detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
}
