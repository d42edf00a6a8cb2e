package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
)

// processStream is the stream of Exec and Attach.
type processStream interface {
	Send(*api.ProcessInput) error
	Recv() (*api.ProcessOutput, error)
	CloseSend() error
}

// Options say how a caller is connected to a process.
type Options struct {
	DetachKeys  string // of a terminal; "": none
	KeepSignals bool   // they are not passed on: somebody else hears them
}

// Run connects the caller's streams to a process inside a container until
// that ends; its exit code becomes ours.
func Run(ctx context.Context, inv *cli.Invocation, stream processStream, start *api.ProcessStart, o Options) error {
	p := &processPipe{Invocation: inv, stream: stream}
	if start.Terminal {
		var err error
		if p.detach.keys, err = parseKeys(o.DetachKeys); err != nil {
			return err
		}
	}
	restore := func() {}
	if start.Terminal {
		columns, rows := display.Size(inv.Stdout)
		start.Size = &api.TerminalSize{Columns: uint32(columns), Rows: uint32(rows)}
		if start.Stdin { // else keys are the terminal's, Ctrl-C among them
			restore = RawTerminal(inv.Stdin)
		}
	}
	defer restore()
	if err := p.send(&api.ProcessInput{Of: &api.ProcessInput_Start{Start: start}}); err != nil && !errors.Is(err, io.EOF) { // what ended the stream comes with its end
		return cli.Cause(ctx, err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	signals := inv.Signals
	if o.KeepSignals {
		signals = nil
	}
	wg.Go(func() { p.forwardSignals(done, signals, start.Terminal) })
	defer wg.Wait()
	defer close(done)
	if start.Stdin {
		// Nobody waits for this one: a read of a terminal can't be called off.
		// It ends with the command.
		go p.forwardInput()
	}
	err := p.receive(ctx, start.Detach)
	var ended cli.Exit
	if p.vain.Load() && err != nil && !errors.As(err, &ended) {
		restore()
		fmt.Fprintln(inv.Stderr, "\nsignals do not end the command: it keeps running, see \"orlop ps\" and \"orlop container ls\"")
		return cli.ErrInterrupted
	}
	if p.left.Load() {
		restore()
		fmt.Fprintln(inv.Stderr, "\ndetached: the command keeps running")
		return nil
	}
	return err
}

// processPipe is one running process; messages to it are sent one at a time.
type processPipe struct {
	*cli.Invocation
	mu     sync.Mutex // serialises sending
	stream processStream
	detach detacher    // of the one that forwards input
	left   atomic.Bool // the user has let go
	vain   atomic.Bool // by as many signals as are enough
}

func (p *processPipe) send(m *api.ProcessInput) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stream.Send(m)
}

// receive passes output on until the exit code has come and what follows from
// it is done, which the end of the stream says; for a process that is left to
// itself, until the word comes that it has begun.
func (p *processPipe) receive(ctx context.Context, detach bool) error {
	var code error
	over := false
	for {
		m, err := p.stream.Recv()
		if err != nil && over {
			return code
		}
		if errors.Is(err, io.EOF) {
			return api.ErrLost
		}
		if err != nil {
			return cli.Cause(ctx, err)
		}
		switch of := m.Of.(type) {
		case *api.ProcessOutput_Stdout:
			_, err = p.Stdout.Write(of.Stdout)
		case *api.ProcessOutput_Stderr:
			_, err = p.Stderr.Write(of.Stderr)
		case *api.ProcessOutput_Started:
			if detach {
				return nil
			}
		case *api.ProcessOutput_ExitCode:
			over = true
			if of.ExitCode != 0 {
				code = cli.Exit{Code: int(of.ExitCode)}
			}
		}
		if err != nil {
			return err
		}
	}
}

func (p *processPipe) forwardInput() {
	buf := make([]byte, 32<<10)
	for {
		n, err := p.Stdin.Read(buf)
		typed, detached := p.detach.pass(buf[:n])
		if len(typed) > 0 {
			// gRPC is done with the message when Send returns.
			if p.send(&api.ProcessInput{Of: &api.ProcessInput_Stdin{Stdin: typed}}) != nil {
				return
			}
		}
		if detached {
			p.left.Store(true)
			_ = p.send(&api.ProcessInput{Of: &api.ProcessInput_Detach{Detach: true}})
			return
		}
		if err != nil {
			_ = p.send(&api.ProcessInput{Of: &api.ProcessInput_CloseStdin{CloseStdin: true}})
			return
		}
	}
}

// enoughSignals are as many as who wants to leave a process sends that heeds none, as with Docker.
const enoughSignals = 3

// forwardSignals passes interrupts and changes of the terminal's size on. A process that goes on after enough of them is let go of.
func (p *processPipe) forwardSignals(done <-chan struct{}, signals <-chan os.Signal, terminal bool) {
	sent := 0
	for {
		select {
		case <-done:
			return
		case s := <-signals:
			_ = p.send(&api.ProcessInput{Of: &api.ProcessInput_Signal{Signal: SignalName(s)}})
			if s == os.Interrupt || s == unix.SIGTERM {
				sent++
			}
			if sent == enoughSignals && !p.vain.Load() {
				p.vain.Store(true)
				_ = p.send(&api.ProcessInput{Of: &api.ProcessInput_Detach{Detach: true}})
			}
		case <-p.Resized:
			if terminal {
				columns, rows := display.Size(p.Stdout)
				_ = p.send(&api.ProcessInput{Of: &api.ProcessInput_Resize{
					Resize: &api.TerminalSize{Columns: uint32(columns), Rows: uint32(rows)},
				}})
			}
		}
	}
}

// SignalName is the name of a signal: SIGINT.
func SignalName(s os.Signal) string {
	if number, ok := s.(unix.Signal); ok {
		if name := unix.SignalName(number); name != "" {
			return name
		}
	}
	return "SIGTERM"
}

// RawTerminal hands every key to the process; the returned function takes
// that back.
func RawTerminal(stdin io.Reader) func() {
	f, ok := stdin.(*os.File)
	if !ok {
		return func() {}
	}
	state, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return func() {}
	}
	return func() { _ = term.Restore(int(f.Fd()), state) }
}

// IsOn says that a process may have a terminal: both its ends are one.
func IsOn(inv *cli.Invocation) bool {
	return display.IsTerminal(inv.Stdin) && display.IsTerminal(inv.Stdout)
}
