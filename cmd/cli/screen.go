package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
)

// StyleOf is the style for a stream: --ansi, NO_COLOR, TERM, and what it is.
func (inv *Invocation) StyleOf(stream any) display.Style {
	switch inv.ANSI {
	case "always":
		return display.Style{Color: true}
	case "never":
		return display.Style{}
	}
	return display.Style{Color: display.IsTerminal(stream) && inv.Env["NO_COLOR"] == "" && inv.Env["TERM"] != "dumb"}
}

// ErrStyle is the style of stderr.
func (inv *Invocation) ErrStyle() display.Style { return inv.StyleOf(inv.Stderr) }

// DisplayMode is the display in force: auto is a tree on a terminal, and lines
// elsewhere.
func (inv *Invocation) DisplayMode() string {
	switch {
	case inv.Progress != "auto":
		return inv.Progress
	case display.IsTerminal(inv.Stderr) && inv.Env["TERM"] != "dumb" && inv.ANSI != "never":
		return "tty"
	}
	return "plain"
}

// newDisplay is the display of a progress.
func (inv *Invocation) newDisplay(p *Progress) display.Display {
	return display.New(display.Config{
		Mode: cmp.Or(p.Mode, inv.DisplayMode()), W: inv.Stderr, Style: inv.ErrStyle(), Words: p.Words, Services: p.Services,
		Began: inv.Now(), Now: inv.Now, Tracer: cmp.Or(p.Tracer, inv.Tracer), Flow: inv.Workflow(), Project: p.Project, Beside: p.Beside,
		Compose: inv.Progress == "plain",
	})
}

// NewTracer records a timeline for a file and for what the environment asks
// for; nil where neither is.
func (inv *Invocation) NewTracer(file string) *display.Tracer {
	if file != "" && !filepath.IsAbs(file) {
		file = filepath.Join(inv.Dir, file)
	}
	return display.NewTracer(inv.Verb, inv.Began, file, inv.Env, inv.Now, inv.Stderr)
}

// Workflow marks lines for the CI system that runs us. Only lines that stay can
// be marked: a tree on a terminal or JSON is left alone.
func (inv *Invocation) Workflow() *display.Workflow {
	return display.NewWorkflow(inv.Stderr, inv.WorkingDir(), inv.Env, inv.Now, inv.DisplayMode() == "plain")
}

// InWorkflow says that a CI system runs us, whose logs many may read.
func (inv *Invocation) InWorkflow() bool {
	return inv.Env["GITHUB_ACTIONS"] == "true" || inv.Env["GITLAB_CI"] == "true"
}

// WorkingDir is the working directory, absolute.
func (s *Settings) WorkingDir() string {
	dir, err := filepath.Abs(s.Dir)
	if err != nil {
		return s.Dir
	}
	return dir
}

// NewLogPrinter prints the logs of containers of which some are known.
func (inv *Invocation) NewLogPrinter(f display.LogFormat, known []planner.Container) *display.LogPrinter {
	st, errStyle := inv.StyleOf(inv.Stdout), inv.ErrStyle()
	f.Compose = inv.Progress == "plain"
	if f.NoColor {
		st, errStyle = display.Style{}, display.Style{}
	}
	return display.NewLogPrinter(inv.Stdout, inv.Stderr, st, errStyle, f, known)
}

// SayNotice tells whom the command waits for, or whose work it ends.
func (inv *Invocation) SayNotice(text string) {
	if text != "" && !inv.IsSilent() {
		fmt.Fprintln(inv.Stderr, " "+inv.ErrStyle().Dim(display.Printable(text)))
	}
}

// SayWarnings tells what steps had to warn of.
func (inv *Invocation) SayWarnings(warnings []string) {
	if inv.IsSilent() {
		return
	}
	for _, w := range warnings {
		fmt.Fprintln(inv.Stderr, inv.ErrStyle().Yellow(" ! "+display.Printable(w)))
	}
}

// SayRunsOn says what goes on when its user lets go.
func (inv *Invocation) SayRunsOn(project string) {
	if !inv.IsSilent() {
		fmt.Fprintf(inv.Stderr, " %s keeps running; see: orlop ps, orlop logs; stop it with: orlop down\n", project)
	}
}

// Confirm asks on a terminal; only yes is a yes. An error is that the user interrupts.
func (inv *Invocation) Confirm(ctx context.Context, question string) (bool, error) {
	yes, _, err := inv.ask(ctx, question)
	return yes, err
}

// Ask asks at the terminal, or takes the answer that a script has put on standard input ("echo y | orlop ...").
// It is not answered where there is neither. An error is that the user interrupts.
func (inv *Invocation) Ask(ctx context.Context, question string) (yes, isAnswered bool, err error) {
	switch {
	case display.IsTerminal(inv.Stdin) && display.IsTerminal(inv.Stderr):
		yes, err = inv.Confirm(ctx, question)
		return yes, true, err
	case isPipe(inv.Stdin):
		yes, isAnswered, err = inv.ask(ctx, question)
		if err == nil {
			fmt.Fprintln(inv.Stderr) // nobody has typed it
		}
		return yes, isAnswered, err
	}
	return false, false, nil
}

// MayRemove asks before something is removed; a no is an error, too.
func (inv *Invocation) MayRemove(ctx context.Context, question string) error {
	switch yes, isAnswered, err := inv.Ask(ctx, question); {
	case err != nil:
		return err
	case !isAnswered:
		return errors.New("nothing was removed: say --force where nobody can be asked")
	case !yes:
		return ErrNothingRemoved
	}
	return nil
}

// ErrNothingRemoved is the error of a removal that the user said no to.
var ErrNothingRemoved = errors.New("nothing was removed")

// ask asks, until there is an answer or the user interrupts: then what reads it is left behind, for nothing ends a read
// of a terminal or a pipe.
func (inv *Invocation) ask(ctx context.Context, question string) (yes, isAnswered bool, err error) {
	fmt.Fprint(inv.Stderr, question+" [y/N] ")
	got := make(chan string, 1) // "" is none
	go func() {
		var answer [64]byte
		n, err := inv.Stdin.Read(answer[:])
		if err != nil && err != io.EOF {
			n = 0
		}
		got <- string(answer[:n])
	}()
	err = inv.Interruptibly(ctx, func(ctx context.Context) error {
		select {
		case text := <-got:
			yes, isAnswered = strings.HasPrefix(strings.ToLower(text), "y"), text != ""
			return nil
		case <-ctx.Done():
			fmt.Fprintln(inv.Stderr)
			return context.Cause(ctx)
		}
	})
	return yes, isAnswered, err
}

// isPipe says that something may have been put on an input.
func isPipe(in io.Reader) bool {
	f, is := in.(interface{ Stat() (fs.FileInfo, error) })
	if !is {
		return false
	}
	info, err := f.Stat()
	return err == nil && (info.Mode()&fs.ModeNamedPipe != 0 || info.Mode().IsRegular())
}
